"""Exported files as another program reads them: by csv or by name, with rasterio alone."""

import csv
import dataclasses

import numpy as np
import pytest
import rasterio
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.chips.export import export_chips
from instageo_plugin.core.chips.import_chips import import_chips
from instageo_plugin.core.chips.index import update_splits
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import ExportChipsJob, ImportChipsJob
from instageo_plugin.core.reporting import SilentReporter

TABLE = ClassTable((ClassEntry("1", 0, "Feld, Wald", "#112233"), ClassEntry("2", 1, "Wasser", "#445566")))


@pytest.fixture
def reflective(make, write_raster, tmp_path):
    """Four chips of two dates and two bands, reflectance from -900 on, a corner without data; one chip a split."""
    rows, columns = np.mgrid[:32, :32]
    rasters = []
    for date in (1, 2):
        pixels = np.stack([date * 2000 + 32 * rows + columns, 100 + rows + columns]).astype(np.uint16)
        pixels[:, :4, :4] = 0
        rasters.append(write_raster(f"s_2022060{date}.tif", pixels, nodata=0, names=("red", "nir08")))
    labels = write_raster("labels.tif", ((rows + columns) % 3).astype(np.uint8))
    made = make(
        rasters=tuple(rasters), label_rasters=(labels,), label_values="1 2", class_table=TABLE, chip_size=16,
        offset=-1000.0,
    )  # fmt: skip
    names = [chip.chip for chip in made.dataset.chips]
    update_splits(made.folder / "chips.gpkg", dict(zip(names, [("train", -1), ("train", -1), ("val", -1), ("", -1)])))
    return made.folder


@pytest.fixture
def export(tmp_path, recorder):
    def run(dataset, **job):
        reporter = recorder()
        export_chips(ExportChipsJob(str(dataset), str(tmp_path / "out"), **job), reporter)
        return tmp_path / "out", reporter

    return run


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read(path):
    with rasterio.open(path) as raster:
        return raster.read(), raster.profile, raster.descriptions


def test_csv_lists_every_chip_and_those_of_each_split(reflective, export):
    folder, _ = export(reflective)
    assert sorted(path.name for path in folder.iterdir()) == [
        "all.csv", "chips", "classes.csv", "seg_maps", "train.csv", "val.csv",
    ]  # fmt: skip
    assert [len(rows_of(folder / f"{name}.csv")) for name in ("all", "train", "val")] == [4, 2, 1]
    row = rows_of(folder / "all.csv")[0]
    assert row["Input"].startswith("chips/chip_")
    assert row["Label"].startswith("seg_maps/seg_map_")
    assert all((folder / path).is_file() for row in rows_of(folder / "all.csv") for path in row.values())


def test_reflectance_is_uint16_with_nodata_zero_and_never_zero_otherwise(reflective, export):
    dataset = open_dataset(reflective)
    folder, reporter = export(reflective)
    chip = dataset.chips[0]
    truth = dataset.read_image(chip, dataset.spec.inputs[0]).reshape(4, 16, 16)
    pixels, profile, descriptions = read(folder / rows_of(folder / "all.csv")[0]["Input"])
    assert profile["dtype"] == "uint16"
    assert profile["nodata"] == 0
    assert tuple(profile["transform"])[:6] == chip.transform
    assert descriptions == ("red 2022-06-01", "nir08 2022-06-01", "red 2022-06-02", "nir08 2022-06-02")
    np.testing.assert_array_equal(pixels == 0, np.isnan(truth))
    np.testing.assert_array_equal(pixels[~np.isnan(truth)], np.maximum(truth[~np.isnan(truth)], 1))
    lifted = sum(int(np.nansum(dataset.read_image(c, dataset.spec.inputs[0]) < 1)) for c in dataset.chips)
    assert f"{lifted} reflectances of 0 or less are 1" in reporter.warnings[0]


def test_radar_has_nodata_minus_one(write_dataset, export):
    images = np.full((1, 16, 16), 0.25, dtype=np.float32)
    images[0, 0, 0] = np.nan
    folder = write_dataset(np.zeros((16, 16), int), chip_size=16, images=images)
    path = folder / "dataset.json"
    path.write_text(path.read_text().replace("as in the source", "linear power"))
    exported, _ = export(folder)
    pixels, profile, _ = read(exported / rows_of(exported / "all.csv")[0]["Input"])
    assert (profile["dtype"], profile["nodata"]) == ("float32", -1)
    assert pixels[0, 0, 0] == -1
    assert (pixels[0, 1:] == 0.25).all()


def test_pairs_are_the_very_files_under_one_name(reflective, export):
    folder, _ = export(reflective, format="pairs", split="train")
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert names == sorted(path.name for path in (folder / "labels").iterdir())
    assert len(names) == 2
    assert (folder / "train.txt").read_text().split() == [name[:-4] for name in names]
    chip = next(chip for chip in open_dataset(reflective).chips if f"{chip.chip}.tif" == names[0])
    assert (folder / "images" / names[0]).read_bytes() == (reflective / chip.images["custom"]).read_bytes()


@pytest.mark.parametrize("layout", ["instageo", "pairs"])
def test_what_comes_back_is_what_went_out(reflective, export, tmp_path, layout):
    folder, _ = export(reflective, format=layout)
    job = ImportChipsJob(str(folder), str(tmp_path / "back"), layout, sensor="hls", timesteps=2)
    import_chips(job, SilentReporter())
    before, back = open_dataset(reflective), open_dataset(tmp_path / "back")
    assert back.spec.inputs[0] == dataclasses.replace(before.spec.inputs[0], sensor="hls", bands=("red", "nir08"))
    assert back.spec.class_table.names == before.spec.class_table.names == ("Feld, Wald", "Wasser")
    assert [c.name for c in back.spec.class_table.classes] == ["Feld, Wald", "Wasser"]
    by_name = {chip.chip: chip for chip in back.chips}
    assert set(by_name) == {chip.chip for chip in before.chips}
    for chip in before.chips:
        twin = by_name[chip.chip]
        for name in ("crs", "transform", "width", "class_counts", "split", "valid"):
            assert getattr(twin, name) == getattr(chip, name), name
        assert twin.dates["hls"] == chip.dates["custom"]
        lowest = 1 if layout == "instageo" else -9998
        truth = before.read_image(chip, before.spec.inputs[0])
        np.testing.assert_array_equal(back.read_image(twin, back.spec.inputs[0]), np.maximum(truth, lowest))
        np.testing.assert_array_equal(back.read_label(twin), before.read_label(chip))


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(reflective, export, tmp_path):
    for job, words in [
        ({"split": "test"}, "no chip of .* is in 'test'"),
        ({"sensor": "sentinel1"}, "the inputs custom"),
    ]:
        with pytest.raises(InstaGeoError, match=words):
            export(reflective, **job)
        assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(InstaGeoError, match="not empty"):
        export(reflective)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
