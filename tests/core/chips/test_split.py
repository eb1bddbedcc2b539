import sqlite3
from itertools import combinations

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.chips.ground import footprints, ground_groups, local_crs
from instageo_plugin.core.chips.split import assign_splits, split_chips
from instageo_plugin.core.contract.dataset import SPLITS
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import CreateChipsJob, SplitChipsJob
from instageo_plugin.core.handlers import run_job
from instageo_plugin.core.reporting import SilentReporter

UTM = Affine(10, 0, 731810, 0, -10, 5694090)
LONLAT = Affine(1e-4, 0, 12.0, 0, -1e-4, 51.0)


class Notes(SilentReporter):
    def __init__(self):
        self.lines = []

    def log(self, message, level="info"):
        self.lines.append((level, message))

    def text(self, level):
        return "\n".join(message for found, message in self.lines if found == level)


@pytest.fixture
def points(write_dataset):
    """320 x 320 pixels in chips of 16, one labelled pixel in most, three classes."""
    random = np.random.default_rng(1)
    labels = np.full((320, 320), -1)
    for row in range(8, 320, 16):
        for column in range(8, 320, 16):
            if random.random() < 0.8:
                labels[row, column] = random.choice([0, 1, 4], p=[0.5, 0.4, 0.1])
    return write_dataset(labels, chip_size=16)


def parts_of(folder):
    dataset = open_dataset(folder)
    return {name: dataset.part(name) for name in SPLITS}


def pixels(chips):
    return sum(sum(chip.class_counts.values()) for chip in chips)


@pytest.mark.parametrize("strategy", ["random", "stratified", "block"])
def test_every_chip_gets_a_part_and_the_parts_have_their_shares(points, strategy):
    outputs = split_chips(SplitChipsJob(str(points), strategy, block_size=400, val=20, test=30), SilentReporter())
    parts = parts_of(points)
    assert outputs == {
        "OUTPUT": str(points),
        **{f"{name.upper()}_COUNT": len(chips) for name, chips in parts.items()},
    }
    total = pixels(open_dataset(points).chips)
    shares = {name: round(100 * pixels(chips) / total) for name, chips in parts.items()}
    assert shares == pytest.approx({"train": 50, "val": 20, "test": 30}, abs=3)
    assert sum(map(len, parts.values())) == len(open_dataset(points).chips)


def test_stratified_gives_each_part_its_share_of_each_class(points):
    split_chips(SplitChipsJob(str(points), "stratified"), SilentReporter())
    parts = parts_of(points)
    for value in (0, 1, 4):
        counts = {name: sum(c.class_counts.get(value, 0) for c in chips) for name, chips in parts.items()}
        assert counts["test"] == pytest.approx(0.2 * sum(counts.values()), abs=1)


def test_block_keeps_the_chips_of_a_block_together(points):
    dataset = open_dataset(points)
    job = SplitChipsJob(str(points), "block", block_size=800)
    assigned = assign_splits(dataset.chips, job, dataset.spec)
    crs = local_crs(dataset.chips)
    middles = shapely.centroid(footprints(dataset.chips, crs))
    cell = np.random.default_rng(job.seed).uniform(0, 800, 2)
    blocks = {}
    for middle, chip in zip(middles, dataset.chips):
        key = np.floor((middle.x - cell[0]) / 800), np.floor((middle.y - cell[1]) / 800)
        blocks.setdefault(key, set()).add(assigned[chip.chip][0])
    assert len(blocks) > 12
    assert all(len(parts) == 1 for parts in blocks.values())


def test_a_seed_repeats_a_split_and_another_changes_it(points):
    dataset = open_dataset(points)
    layouts = [
        assign_splits(dataset.chips, SplitChipsJob(str(points), "block", block_size=400, seed=seed), dataset.spec)
        for seed in (0, 0, 1)
    ]
    assert layouts[0] == layouts[1] != layouts[2]


def test_folds_are_balanced_and_the_split_column_holds_out_the_first(points):
    notes = Notes()
    split_chips(SplitChipsJob(str(points), "block", block_size=400, folds=5), notes)
    chips = open_dataset(points).chips
    sizes = [pixels([c for c in chips if c.fold == fold]) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 0.1 * sum(sizes)
    assert {c.fold for c in chips if c.split == "test"} == {0}
    assert {c.fold for c in chips if c.split == "train"} == {2, 3, 4}
    assert "fold 4:" in notes.text("info")


@pytest.mark.parametrize("folds", [0, 4])
@pytest.mark.parametrize("transform", [UTM, LONLAT])
def test_buffer_keeps_parts_apart(write_dataset, folds, transform):
    crs = "EPSG:32632" if transform is UTM else "EPSG:4326"
    folder = write_dataset(np.zeros((240, 240), int), chip_size=16, crs=crs, transform=transform, name=crs[5:])
    notes = Notes()
    split_chips(SplitChipsJob(str(folder), "block", block_size=700, buffer=100, folds=folds), notes)
    chips = [c for c in open_dataset(folder).chips if c.split]
    assert 0 < len(chips) < 225
    assert "no split" in notes.text("warning")
    shapes = footprints(chips, pyproj.CRS("EPSG:32632"))
    part = (lambda c: c.fold) if folds else (lambda c: c.split)
    for (a, first), (b, second) in combinations(zip(chips, shapes), 2):
        assert part(a) == part(b) or first.distance(second) > 99


def test_chips_that_share_labelled_ground_stay_together(write_dataset):
    # 40 columns in chips of 16: the third column of chips starts at 24 and overlaps the second by 8 columns.
    folder = write_dataset(np.zeros((40, 40), int), chip_size=16, starts=(0, 16, 24))
    dataset = open_dataset(folder)
    groups = ground_groups(dataset, dataset.chips, SilentReporter())
    assert len(set(groups)) == 4
    for seed in range(5):
        assigned = assign_splits(dataset.chips, SplitChipsJob(str(folder), "random", seed=seed), dataset.spec)
        for group in set(groups):
            assert len({assigned[c.chip] for c, g in zip(dataset.chips, groups) if g == group}) == 1


def test_chips_that_overlap_in_unlabelled_ground_are_free(write_dataset):
    labels = np.full((16, 40), -1)
    labels[3, [4, 20, 36]] = 0
    folder = write_dataset(labels, chip_size=16, starts=(0, 16, 24))
    dataset = open_dataset(folder)
    assert len(set(ground_groups(dataset, dataset.chips, SilentReporter()))) == 3


def test_shared_ground_is_found_across_crs_and_pixel_sizes(write_dataset):
    coarse = np.full((8, 8), -1)
    coarse[2, 2] = 0
    west, north = pyproj.Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True).transform(731810, 5694090)
    folder = write_dataset(
        [coarse, np.zeros((16, 16), int)],
        chip_size=(8, 16),
        crs=["EPSG:32632", "EPSG:4326"],
        transform=[UTM, Affine(5e-5, 0, west, 0, -3e-5, north)],
    )
    dataset = open_dataset(folder)
    assert len(dataset.chips) == 2
    assert len(set(ground_groups(dataset, dataset.chips, SilentReporter()))) == 1


def test_a_dataset_without_labels_is_split_by_chips(write_dataset):
    folder = write_dataset(np.full((64, 64), -1), chip_size=16)
    outputs = split_chips(SplitChipsJob(str(folder), "random", val=25, test=25), SilentReporter())
    assert [outputs[f"{name}_COUNT"] for name in ("TRAIN", "VAL", "TEST")] == [8, 4, 4]


def test_a_part_asked_for_is_never_empty(points):
    outputs = split_chips(SplitChipsJob(str(points), "block", block_size=400, val=0.01, test=0.01), SilentReporter())
    assert outputs["VAL_COUNT"] > 0
    assert outputs["TEST_COUNT"] > 0
    assert split_chips(SplitChipsJob(str(points), "random", val=0), SilentReporter())["VAL_COUNT"] == 0


def test_too_few_blocks_says_how_many_there_are(points):
    before = (points / "chips.gpkg").read_bytes()
    with pytest.raises(InstaGeoError, match=r"3 parts .* form only \d blocks") as error:
        split_chips(SplitChipsJob(str(points), "block", block_size=1e6), SilentReporter())
    assert "BLOCK_SIZE below" in error.value.hint
    assert (points / "chips.gpkg").read_bytes() == before


def test_a_buffer_that_empties_a_part_is_an_error(points):
    with pytest.raises(InstaGeoError, match=r"BUFFER 5000 m leaves no chip in train"):
        split_chips(SplitChipsJob(str(points), "random", buffer=5000), SilentReporter())


def test_a_class_missing_in_a_part_is_a_warning(write_dataset):
    labels = np.zeros((64, 64), int)
    labels[:16, :16] = 1
    notes = Notes()
    split_chips(SplitChipsJob(str(write_dataset(labels, chip_size=16)), "random"), notes)
    assert notes.text("warning").count("has no pixel of class 1") == 2


def test_a_locked_index_is_a_clear_error(points, monkeypatch):
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout: real(path, timeout=0.1))
    other = real(points / "chips.gpkg")
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(InstaGeoError, match="cannot be changed"):
            split_chips(SplitChipsJob(str(points), "random"), SilentReporter())
    finally:
        other.close()


def test_a_deleted_row_stays_deleted(points):
    connection = sqlite3.connect(points / "chips.gpkg")
    connection.execute("DELETE FROM chips WHERE fid = 1")
    connection.commit()
    connection.close()
    count = len(open_dataset(points).chips)
    split_chips(SplitChipsJob(str(points), "random"), SilentReporter())
    assert len(open_dataset(points).chips) == count


def test_neighbours_across_the_antimeridian_are_near_in_the_local_crs(write_dataset):
    folder = write_dataset(
        [np.zeros((16, 16), int)] * 2,
        chip_size=16,
        crs=["EPSG:4326"] * 2,
        transform=[Affine(1e-4, 0, 179.998, 0, -1e-4, -17), Affine(1e-4, 0, -179.999, 0, -1e-4, -17)],
    )
    first, second = footprints(open_dataset(folder).chips, local_crs(open_dataset(folder).chips))
    assert first.distance(second) < 200


def test_five_layouts_of_leipzig_hold_every_point_once(shared_data, tmp_path):
    chips = CreateChipsJob(
        str(tmp_path / "chips"),
        rasters=(str(shared_data / "leipzig/leipzig_raster.tif"),),
        labels=str(shared_data / "leipzig/leipzig_points.gpkg"),
        class_field="land_cover",
        chip_size=16,
    )
    folder = run_job(chips, SilentReporter())["OUTPUT"]
    layouts = set()
    for seed in range(5):
        run_job(SplitChipsJob(folder, "block", block_size=300, folds=5, seed=seed), SilentReporter())
        dataset, held = open_dataset(folder), {}
        for chip in dataset.chips:
            for row, column in zip(*np.nonzero(dataset.read_label(chip) != -1)):
                held.setdefault(Affine(*chip.transform) * (int(column), int(row)), set()).add(chip.fold)
        assert len(held) == 97
        assert all(len(folds) == 1 for folds in held.values())
        assert set.union(*held.values()) == {0, 1, 2, 3, 4}
        layouts.add(tuple(chip.fold for chip in dataset.chips))
    assert len(layouts) == 5
