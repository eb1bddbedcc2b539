"""Merged datasets: all chips, one name each, classes united, splits only where they stay honest."""

import numpy as np
import pytest
from affine import Affine
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.chips.index import SkippedRow, read_skipped_rows, update_splits
from instageo_plugin.core.chips.merge import merge_chips
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import MergeChipsJob

EAST = Affine(10, 0, 741810, 0, -10, 5694090)


@pytest.fixture
def merge(tmp_path, recorder):
    def run(*datasets):
        reporter = recorder()
        outputs = merge_chips(MergeChipsJob(tuple(map(str, datasets)), str(tmp_path / "merged")), reporter)
        return open_dataset(outputs["OUTPUT"]), outputs, reporter

    return run


@pytest.fixture
def west(write_dataset):
    """Two chips of class 0."""
    return write_dataset(np.zeros((16, 32), int), chip_size=16, images=np.full((1, 16, 32), 7.0), name="west")


@pytest.fixture
def east(write_dataset):
    """Two chips of class 3, ten kilometres further; they have the same names."""
    images = np.full((1, 16, 32), 8.0)
    return write_dataset(np.full((16, 32), 3), chip_size=16, images=images, name="east", transform=EAST)


def split(folder, *splits):
    chips = open_dataset(folder).chips
    update_splits(folder / "chips.gpkg", {c.chip: (name, -1) for c, name in zip(chips, splits)})


def test_all_chips_come_with_their_own_pixels_and_classes(west, east, merge):
    merged, outputs, _ = merge(west, east)
    assert outputs["CHIP_COUNT"] == 4
    assert len({chip.chip for chip in merged.chips}) == 4
    assert merged.spec.class_table.values == (0, 3)
    assert [merged.read_image(c, merged.spec.inputs[0]).max() for c in merged.chips] == [7, 7, 8, 8]
    assert [set(c.class_counts) for c in merged.chips] == [{0}, {0}, {3}, {3}]
    assert [c.transform[2] for c in merged.chips] == [731810, 731970, 741810, 741970]
    assert len(list((merged.folder / "images").iterdir())) == 4


def test_splits_stay_where_no_ground_is_shared(west, east, merge):
    split(west, "train", "val")
    split(east, "train", "")
    merged, _, reporter = merge(west, east)
    assert [chip.split for chip in merged.chips] == ["train", "val", "train", ""]
    assert reporter.warnings == []


def test_splits_that_would_leak_are_left_out(west, write_dataset, merge):
    again = write_dataset(np.zeros((16, 32), int), chip_size=16, name="again")
    split(west, "train", "train")
    split(again, "train", "test")
    merged, _, reporter = merge(west, again)
    assert {chip.split for chip in merged.chips} == {""}
    assert "in 1 places the same labelled ground would be in two parts" in reporter.warnings[0]


def test_splits_of_some_only_are_left_out(west, east, merge):
    split(west, "train", "val")
    merged, _, reporter = merge(west, east)
    assert {chip.split for chip in merged.chips} == {""}
    assert f"{east} has none" in reporter.warnings[0]


def test_all_differences_are_listed_and_nothing_is_written(west, write_dataset, merge, tmp_path):
    other = write_dataset(
        np.zeros((32, 32), int), chip_size=32, bands=2, name="other", transform=Affine(20, 0, 731810, 0, -20, 5694090)
    )
    with pytest.raises(InstaGeoError) as raised:
        merge(west, other)
    message = str(raised.value)
    for words in ("chip size 32, but 16", "pixels of 20 x 20 metre, but of 10 x 10", "bands b1 b2, but b1"):
        assert words in message
    assert {path.name for path in tmp_path.iterdir()} == {"west", "other"}


def test_a_class_value_with_two_names_is_refused(west, east, merge):
    path = east / "dataset.json"
    path.write_text(path.read_text().replace('"value": 3', '"value": 0').replace('"source": "3"', '"source": "0"'))
    with pytest.raises(InstaGeoError, match=r"class 0 is 'class 0' in .*west, but 'class 3' in .*east"):
        merge(west, east)


def test_skipped_rows_come_along_and_the_same_again_does_nothing(west, east, merge, monkeypatch):
    from instageo_plugin.core.chips import writing

    chips = open_dataset(east).chips
    (east / "chips.gpkg").unlink()
    writing.write_index(east / "chips.gpkg", chips, [SkippedRow("too cloudy", "a detail", 3)])
    merged, outputs, _ = merge(west, east)
    assert [(row.reason, row.count) for row in read_skipped_rows(merged.index_path)] == [("too cloudy", 3)]
    assert outputs["SKIPPED_COUNT"] == 1
    before = merged.index_path.stat().st_mtime_ns
    _, _, reporter = merge(west, east)
    assert "nothing to do" in reporter.lines[0]
    assert merged.index_path.stat().st_mtime_ns == before


def test_a_dataset_named_twice_is_refused(west, merge):
    with pytest.raises(InstaGeoError, match="is named 2 times"):
        merge(west, west / "dataset.json")
