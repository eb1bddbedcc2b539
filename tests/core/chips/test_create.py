import hashlib
import json
import os
import sqlite3
from contextlib import closing

import numpy as np
import pyogrio.raw
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from instageo_plugin.core.chips import from_rasters
from instageo_plugin.core.chips.index import read_index
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import RasterEntry

UTM = Affine(10, 0, 731810, 0, -10, 5694090)


def at(col, row, transform=UTM):
    return shapely.Point(*(transform * (col, row)))


def block(left, top, right, bottom, transform=UTM):
    return shapely.box(*(transform * (left, bottom)), *(transform * (right, top)))


@pytest.fixture
def points(write_vector):
    """Three points on a raster of 12 x 10 pixels: cells (0, 0), (0, 0) and (2, 1) of 4 pixels."""

    def write(name="points.gpkg", crop=("a", "b", "a"), places=((0.5, 0.5), (3.5, 2.5), (9.5, 5.5)), **kwargs):
        return write_vector(name, [at(*p) for p in places], crop=np.array(crop, object), **kwargs)

    return write


def sides(folder):
    """Digest of every file but the index, whose header holds the time of writing."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "chips.gpkg"
    }


def test_chips_are_the_imagery_to_the_last_bit(make, write_raster, points, coded):
    odd = Affine(10.1234567, 0, 731810.98765, 0, -9.87654321, 5694090.12345)
    files = [write_raster(f"s_2020-0{4 + d}-01.tif", coded(10, 12, date=d), transform=odd) for d in range(3)]
    labels = points(places=((0.5, 0.5), (3.5, 2.5), (9.5, 5.5)))
    made = make(rasters=tuple(files), labels=labels, class_field="crop", chip_size=4)
    whole = np.concatenate([coded(10, 12, date=d) for d in range(3)])
    assert [row.chip for row in made.dataset.chips] == ["s_00000_00000", "s_00008_00004"]
    for row in made.dataset.chips:
        col, down = (int(part) for part in row.chip.split("_")[1:])
        with rasterio.open(made.folder / row.images["custom"]) as chip:
            assert np.array_equal(chip.read(), whole[:, down : down + 4, col : col + 4])
            assert chip.transform.c == odd.c + odd.a * col
            assert chip.transform.f == odd.f + odd.e * down
            assert (chip.transform.a, chip.transform.e) == (odd.a, odd.e)
            assert tuple(chip.transform[:6]) == row.transform
            assert chip.descriptions[:3] == ("b1 2020-04-01", "b2 2020-04-01", "b1 2020-05-01")
            assert (chip.dtypes[0], chip.nodata, chip.crs) == ("int32", None, "EPSG:32632")
        with rasterio.open(made.folder / row.label_path) as label:
            assert (label.dtypes[0], label.nodata, label.transform) == ("int16", -1, chip.transform)
    assert row.dates == {"custom": ["2020-04-01", "2020-05-01", "2020-06-01"]}


def test_the_dataset_reads_back(make, write_raster, points, coded):
    image = write_raster("s.tif", coded(10, 12), names=("red", "nir"))
    made = make(rasters=(image,), labels=points(), class_field="crop", chip_size=4)
    dataset = made.dataset
    first = dataset.chips[0]
    assert dataset.read_image(first, dataset.spec.inputs[0]).shape == (1, 2, 4, 4)
    assert dataset.read_label(first)[0, 0] == 0
    assert dataset.read_label(first)[2, 3] == 1
    assert first.class_counts == {0: 1, 1: 1}
    assert (first.valid, first.clear, first.scene, first.crs) == (100, 100, "s", "EPSG:32632")
    spec = dataset.spec
    assert spec.inputs[0].bands == ("red", "nir")
    assert (spec.class_table.names, spec.chip_size, spec.resolution) == (("a", "b"), 4, (10.0, 10.0))
    assert spec.sources[0]["raster"] == image
    to_degrees = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    assert shapely.transform(at(2, 2), lambda xy: np.column_stack(to_degrees.transform(*xy.T))).within(first.footprint)
    assert set(made.outputs) == {"OUTPUT", "INDEX", "CHIP_COUNT", "SKIPPED_COUNT"}
    assert (made.outputs["CHIP_COUNT"], made.outputs["SKIPPED_COUNT"]) == (2, 0)
    assert {p.name for p in made.folder.iterdir()} == {"dataset.json", "chips.gpkg", "images", "labels"}


@pytest.mark.parametrize("edge", ["shift", "skip"])
def test_edges_of_the_grid(make, write_raster, points, coded, edge):
    places = ((0.5, 0.5), (3.5, 1.5), (10.5, 6.5))
    image = write_raster("s.tif", coded(7, 12))
    made = make(rasters=(image,), labels=points(places=places), class_field="crop", chip_size=5, edge=edge)
    names = [row.chip for row in made.dataset.chips]
    if edge == "skip":
        assert names == ["s_00000_00000"]
        assert made.skipped == [("partial cell at the edge of the imagery", 1)]
    else:
        assert names == ["s_00000_00000", "s_00007_00002"]
        assert made.skipped == []
    for row in made.dataset.chips:
        col, down = (int(part) for part in row.chip.split("_")[1:])
        assert np.array_equal(made.image(row), coded(7, 12)[:, down : down + 5, col : col + 5])


def test_a_scene_smaller_than_a_chip_is_padded(make, write_raster, points, coded):
    places = ((0.5, 0.5), (2.5, 2.5), (1.5, 1.5))
    image = write_raster("s.tif", coded(3, 4), nodata=-5)
    made = make(rasters=(image,), labels=points(places=places), class_field="crop", chip_size=6)
    (row,) = made.dataset.chips
    pixels = made.image(row)
    assert np.array_equal(pixels[:, :3, :4], coded(3, 4))
    assert (pixels[:, 3:] == -5).all()
    assert (pixels[:, :, 4:] == -5).all()
    assert row.valid == pytest.approx(100 * 12 / 36)


def test_padding_needs_nodata(make, write_raster, points, coded, tmp_path):
    with pytest.raises(InstaGeoError, match=r"declare no nodata value.*12 x 10 pixels\) is smaller than a chip"):
        make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(), class_field="crop", chip_size=16)
    assert not (tmp_path / "chips").exists()
    reflectance = make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(), class_field="crop",
                       chip_size=16, scale=0.1, output=str(tmp_path / "reflectance"))  # fmt: skip
    assert (reflectance.image(reflectance.dataset.chips[0])[:, 10:] == -9999).all()
    floats = write_raster("f.tif", coded(10, 12, dtype=np.float32))
    made = make(rasters=(floats,), labels=points(), class_field="crop", chip_size=16)
    assert np.isnan(made.image(made.dataset.chips[0])[:, 10:]).all()
    assert made.spec["inputs"][0]["nodata"] == "nan"


def test_centred_chips(make, write_raster, points, coded):
    made = make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(), class_field="crop", chip_size=5,
                placement="centred")  # fmt: skip
    assert [row.chip for row in made.dataset.chips] == ["s_00000_00000", "s_00001_00000", "s_00007_00003"]
    last = made.dataset.chips[2]
    assert made.label(last)[2, 2] == 0
    assert made.image(last)[0, 2, 2] == 509
    skipping = make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(), class_field="crop", chip_size=5,
                    placement="centred", edge="skip", output=str(made.folder) + "2")  # fmt: skip
    assert [row.chip for row in skipping.dataset.chips] == ["s_00001_00000", "s_00007_00003"]
    assert skipping.skipped == [("partial cell at the edge of the imagery", 1)]


def test_dense_chips_without_labels(make, write_raster, coded):
    made = make(rasters=(write_raster("s.tif", coded(8, 8)),), chip_size=4, placement="dense")
    assert len(made.dataset.chips) == 4
    assert all(row.label_path == "" and row.class_counts == {} for row in made.dataset.chips)
    assert not (made.folder / "labels").exists()


def test_dense_chips_with_labels_obey_min_labels(make, write_raster, points, coded, tmp_path):
    job = {"rasters": (write_raster("s.tif", coded(10, 12)),), "labels": points(), "class_field": "crop"}
    made = make(**job, chip_size=4, placement="dense", min_labels=0)
    assert len(made.dataset.chips) == 9
    few = make(**job, chip_size=4, placement="dense", min_labels=2, output=str(tmp_path / "few"))
    assert len(few.dataset.chips) == 1
    assert few.skipped == [("fewer labelled pixels than MIN_LABELS", 1)] * 8


def test_only_chips_that_the_area_touches(make, write_raster, points, write_vector, coded):
    to_degrees = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    ground = shapely.transform(block(0, 0, 2, 2), lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
    area = write_vector("area.gpkg", [ground], crs="EPSG:4326", code=[1])
    made = make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(), class_field="crop", chip_size=4,
                area=area)  # fmt: skip
    assert [row.chip for row in made.dataset.chips] == ["s_00000_00000"]
    assert made.skipped == [("outside the area", 1)]


def test_labels_between_the_cells_are_told(make, write_raster, points, coded):
    made = make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(places=((0, 0), (4.5, 0.5), (8, 0.5))),
                class_field="crop", chip_size=4, stride=6)  # fmt: skip
    assert made.skipped == [("between the cells of the grid", 1)]
    assert made.spec["counts"]["labels_used"] == 2
    assert any("3 labels read, 2 of them in chips" in line for line in made.recorder.lines)


def test_every_label_left_out_has_a_reason(make, write_raster, write_vector, coded):
    geometries = [at(1, 1), at(2, 2), at(12, 3), at(-5, 0), None]
    labels = write_vector("l.gpkg", geometries, crop=np.array(["a", None, "a", "b", "a"], object))
    made = make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=labels, class_field="crop", chip_size=4)
    assert sorted(made.skipped) == [
        ("no class (NULL)", 1), ("no valid geometry", 1), ("outside the imagery", 1), ("outside the imagery", 1),
    ]  # fmt: skip
    assert made.outputs["SKIPPED_COUNT"] == 4
    assert any("2 x outside the imagery" in line for line in made.recorder.warnings)
    assert made.dataset.spec.class_table.names == ("a", "b")


def test_conflicts_are_counted(make, write_raster, points, coded):
    places = ((0.2, 0.2), (0.8, 0.8), (9.5, 5.5))
    made = make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(places=places), class_field="crop",
                chip_size=4)  # fmt: skip
    assert made.spec["counts"]["conflicting_pixels"] == 1
    assert made.skipped == [("fewer labelled pixels than MIN_LABELS", 2)]
    assert "1 pixels have labels of several classes and are ignored." in made.recorder.warnings


def test_labels_that_miss_tell_both_places(make, write_raster, points, coded):
    labels = points(crs="EPSG:32633")
    with pytest.raises(InstaGeoError, match=r"labels cover 18\.3.*imagery 12\.3.*EPSG:32633.*EPSG:32632") as caught:
        make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=labels, class_field="crop", chip_size=4)
    assert "assigning a CRS does not move a layer" in caught.value.hint


def test_a_class_outside_the_table(make, write_raster, points, coded):
    table = ClassTable((ClassEntry("a", 0, "a"),))
    with pytest.raises(InstaGeoError, match=r"'b' \(1 times\)"):
        make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(), class_field="crop", class_table=table)


def test_polygons_with_background(make, write_raster, write_vector, coded):
    labels = write_vector("l.gpkg", [block(1, 1, 3, 2)], code=np.array([5]))
    made = make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=labels, class_field="code", chip_size=4,
                background=0)  # fmt: skip
    (row,) = made.dataset.chips
    assert row.class_counts == {0: 14, 5: 2}
    assert made.dataset.spec.class_table.names == ("background", "5")


def test_background_needs_polygons(make, write_raster, points, coded):
    with pytest.raises(InstaGeoError, match="BACKGROUND is 7, but the labels are points"):
        make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(), class_field="crop", background=7)


@pytest.mark.parametrize(("strategy", "masked"), [("each", [[0, 0], [1, 1]]), ("any", [[0, 0], [0, 0]])])
def test_masked_pixels_become_nodata(make, write_raster, points, coded, strategy, masked):
    files = tuple(write_raster(f"s_2020-0{d + 1}-01.tif", coded(10, 12, date=d), nodata=-1) for d in range(2))
    clouds = np.zeros((2, 10, 12), dtype=np.uint8)
    clouds[0, 0, 1] = 3
    masks = tuple(write_raster(f"m{d}.tif", clouds[d]) for d in range(2))
    made = make(rasters=files, mask_rasters=masks, mask_strategy=strategy, labels=points(), class_field="crop",
                chip_size=4)  # fmt: skip
    row = made.dataset.chips[0]
    pixels = made.image(row).reshape(2, 2, 4, 4)
    assert ((pixels[:, :, 0, 1] != -1).astype(int)).tolist() == masked
    assert (pixels != -1).sum() == 64 - (4 - np.sum(masked))
    assert row.valid == 100
    assert row.clear == pytest.approx(100 * (1 - (1 if strategy == "each" else 2) / 32))


def test_cloudy_chips_are_skipped(make, write_raster, points, coded):
    clouds = np.zeros((10, 12), dtype=np.uint8)
    clouds[:2, :4] = 1
    image, mask = write_raster("s.tif", coded(10, 12), nodata=-1), write_raster("m.tif", clouds)
    job = {"rasters": (image,), "mask_rasters": (mask,), "labels": points(), "class_field": "crop", "chip_size": 4}
    made = make(**job, max_chip_cloud=49.0)
    assert [row.chip for row in made.dataset.chips] == ["s_00008_00004"]
    assert made.skipped == [("more masked pixels than MAX_CHIP_CLOUD", 2)]


def test_masks_need_nodata(make, write_raster, points, coded):
    mask = write_raster("m.tif", np.ones((10, 12), np.uint8))
    with pytest.raises(InstaGeoError, match=r"declare no nodata value.*MASK_RASTERS[\s\S]*Set a nodata value"):
        make(rasters=(write_raster("s.tif", coded(10, 12)),), mask_rasters=(mask,), labels=points(), class_field="crop")


def test_chips_with_too_little_data_are_skipped(make, write_raster, points, coded):
    pixels = coded(10, 12)
    pixels[0, :2] = -1  # one band of two: no valid pixel there
    made = make(rasters=(write_raster("s.tif", pixels, nodata=-1),), labels=points(), class_field="crop", chip_size=4,
                min_valid=51.0)  # fmt: skip
    assert made.skipped == [("less valid imagery than MIN_VALID", 2)]


def test_scale_and_offset_give_reflectance(make, write_raster, points, coded):
    made = make(rasters=(write_raster("s.tif", coded(10, 12), nodata=0),), labels=points(), class_field="crop",
                chip_size=4, scale=0.5, offset=-20.0)  # fmt: skip
    pixels = made.image(made.dataset.chips[0])
    assert pixels.dtype == np.int16
    assert pixels[0, 0].tolist() == [-9999, -20, -19, -18]  # 0 is nodata; -19.5 and -18.5 round half to even
    assert pixels[1, 0, 0] == 32767
    assert made.spec["inputs"][0]["nodata"] == -9999
    assert made.spec["counts"]["clamped_values"] == 32
    assert any("32 values were clamped" in line for line in made.recorder.warnings)


def test_several_scenes_each_with_its_labels(make, write_raster, write_vector, coded):
    far = Affine(10, 0, 200000, 0, -10, 5600000)
    files = (write_raster("west.tif", coded(8, 8)), write_raster("east.tif", coded(8, 8, date=5), transform=far,
                                                               crs="EPSG:32633"))  # fmt: skip
    to_degrees = [pyproj.Transformer.from_crs(code, 4326, always_xy=True) for code in (32632, 32633)]
    places = [shapely.Point(to_degrees[0].transform(*(UTM * (1.5, 2.5)))),
              shapely.Point(to_degrees[1].transform(*(far * (6.5, 5.5))))]  # fmt: skip
    labels = write_vector("l.gpkg", places, crs="EPSG:4326", code=[1, 2])
    made = make(rasters=files, labels=labels, class_field="code", chip_size=4)
    assert [(row.chip, row.scene, row.crs) for row in made.dataset.chips] == [
        ("west_00000_00000", "west", "EPSG:32632"),
        ("east_00004_00004", "east", "EPSG:32633"),
    ]
    assert np.argwhere(made.label(made.dataset.chips[0]) == 1).tolist() == [[2, 1]]
    assert np.argwhere(made.label(made.dataset.chips[1]) == 2).tolist() == [[1, 2]]
    assert made.image(made.dataset.chips[1])[0, 0, 0] == 5_000_404


def test_a_table_of_single_bands(make, write_raster, points, coded):
    rows = [
        RasterEntry(write_raster(f"{b}_{d}.tif", coded(10, 12, date=d)[b]), "s", f"2020-0{d}-01", f"B0{b + 2}")
        for d in (2, 1)
        for b in (1, 0)
    ]
    made = make(raster_table=tuple(rows), labels=points(), class_field="crop", chip_size=4)
    expected = np.concatenate([coded(10, 12, date=d)[::-1] for d in (1, 2)])[:, :4, :4]
    row = made.dataset.chips[0]
    assert np.array_equal(made.image(row), expected)
    assert made.spec["inputs"][0]["bands"] == ["B03", "B02"]
    assert row.dates == {"custom": ["2020-01-01", "2020-02-01"]}


def test_degrees(make, write_raster, write_vector, coded):
    degrees = Affine(0.00025, 0, 11.5, 0, -0.00025, 48.2)
    image = write_raster("s.tif", coded(10, 12), transform=degrees, crs="EPSG:4326")
    labels = write_vector("l.gpkg", [at(9.5, 5.5, degrees)], crs="EPSG:4326", code=[1])
    made = make(rasters=(image,), labels=labels, class_field="code", chip_size=4)
    (row,) = made.dataset.chips
    assert made.spec["resolution_unit"] == "degree"
    assert np.argwhere(made.label(row) == 1).tolist() == [[1, 1]]
    assert row.footprint.bounds == pytest.approx((11.502, 48.198, 11.503, 48.199))


def test_no_chip_at_all_says_why_and_leaves_nothing(make, write_raster, points, coded, tmp_path):
    with pytest.raises(InstaGeoError, match=r"No chip came about.*3 x fewer labelled pixels than MIN_LABELS"):
        make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(), class_field="crop", chip_size=4,
             min_labels=5)  # fmt: skip
    assert not list(tmp_path.glob("chips*"))


def test_a_broken_run_goes_on_and_ends_with_the_same_bytes(make, write_raster, points, coded, tmp_path, recorder):
    job = {"rasters": (write_raster("s.tif", coded(40, 40)),), "class_field": "crop", "chip_size": 4}
    job["labels"] = points(crop=["a"] * 60, places=[(i % 10 * 4 + 1, i // 10 * 4 + 1) for i in range(60)])
    whole = make(**job, output=str(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        make(**job, reporter=recorder(stop_after=30))
    part = tmp_path / "chips.part"
    assert not (tmp_path / "chips").exists()
    done = len(list((part / "labels").iterdir()))
    assert 20 < done < 30
    times = {p.name: p.stat().st_mtime_ns for p in (part / "labels").iterdir()}
    with (part / "ledger.jsonl").open("a") as ledger:
        ledger.write('{"name": "s_000')  # a line the crash cut off
    (part / "labels" / "s_00000_00000.tif").unlink()
    resumed = make(**job)
    assert sides(resumed.folder) == sides(whole.folder)
    assert read_index(resumed.folder / "chips.gpkg") == read_index(whole.folder / "chips.gpkg")
    kept = [n for n, t in times.items() if (resumed.folder / "labels" / n).stat().st_mtime_ns == t]
    assert len(kept) == done - 1
    assert not part.exists()


def test_a_part_of_another_run_is_not_taken_over(make, write_raster, points, coded, tmp_path, recorder):
    job = {"rasters": (write_raster("s.tif", coded(10, 12)),), "labels": points(), "class_field": "crop"}
    with pytest.raises(KeyboardInterrupt):
        make(**job, chip_size=4, reporter=recorder(stop_after=3))
    assert (tmp_path / "chips.part").exists()
    made = make(**job, chip_size=5)
    assert {p.stem for p in (made.folder / "labels").iterdir()} == {row.chip for row in made.dataset.chips}


@pytest.fixture
def no_imagery(monkeypatch):
    def refuse(*_):
        raise AssertionError("imagery was read")

    def forbid():
        monkeypatch.setattr(from_rasters, "read_imagery", refuse)
        monkeypatch.setattr(from_rasters, "SceneReader", refuse)

    return forbid


def test_again_with_the_same_parameters_reads_nothing(make, write_raster, points, coded, tmp_path, no_imagery):
    job = {"rasters": (write_raster("s.tif", coded(10, 12)),), "class_field": "crop", "chip_size": 4}
    first = make(**job, labels=points())
    before = sides(first.folder)
    no_imagery()
    again = make(**job, labels=points("exported_again.gpkg"), report=str(tmp_path / "r.html"))
    assert {**first.outputs, "REPORT": str(tmp_path / "r.html")} == again.outputs
    assert sides(first.folder) == before


def test_deleted_rows_stay_deleted(make, write_raster, points, coded, no_imagery):
    job = {"rasters": (write_raster("s.tif", coded(10, 12)),), "labels": points(), "class_field": "crop"}
    made = make(**job, chip_size=4)
    with closing(sqlite3.connect(made.folder / "chips.gpkg")) as connection, connection:
        connection.execute("DELETE FROM chips WHERE chip = 's_00000_00000'")
    no_imagery()
    again = make(**job, chip_size=4)
    assert again.outputs["CHIP_COUNT"] == 1
    assert [row.chip for row in again.dataset.chips] == ["s_00008_00004"]


def test_other_parameters_on_the_same_folder_are_refused(make, write_raster, points, coded, tmp_path):
    image = write_raster("s.tif", coded(10, 12))
    job = {"rasters": (image,), "labels": points(), "class_field": "crop"}
    before = sides(make(**job, chip_size=4).folder)
    with pytest.raises(InstaGeoError, match=r"made with other parameters.*CHIP_SIZE \(4, now 5\)"):
        make(**job, chip_size=5)
    with pytest.raises(InstaGeoError, match=r"other parameters in .*: INPUT\."):
        make(**{**job, "labels": points("other.gpkg", crop=("a", "b", "b"))}, chip_size=4)
    os.utime(image, ns=(1, 1))
    with pytest.raises(InstaGeoError, match=r"the input files \(.*s\.tif\)"):
        make(**job, chip_size=4)
    assert sides(tmp_path / "chips") == before


def test_a_folder_with_other_things_is_refused_and_an_empty_one_used(make, write_raster, points, coded, tmp_path):
    job = {"rasters": (write_raster("s.tif", coded(10, 12)),), "labels": points(), "class_field": "crop"}
    folder = tmp_path / "chips"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(InstaGeoError, match="is not empty and holds no chip dataset"):
        make(**job, chip_size=4)
    assert (folder / "thesis.txt").read_text() == "mine"
    (folder / "thesis.txt").unlink()
    assert make(**job, chip_size=4).outputs["CHIP_COUNT"] == 2


def test_a_full_disk_leaves_nothing_under_the_final_name(make, write_raster, points, coded, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    job = {"rasters": (write_raster("s.tif", coded(10, 12)),), "labels": points(), "class_field": "crop"}
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            make(**job, chip_size=4)
    assert not (tmp_path / "chips").exists()
    assert make(**job, chip_size=4).outputs["CHIP_COUNT"] == 2


def test_the_report_tells_classes_and_reasons(make, write_raster, points, coded, tmp_path):
    report = tmp_path / "report.html"
    places = ((0.5, 0.5), (3.5, 2.5), (99.5, 5.5))
    make(rasters=(write_raster("s.tif", coded(10, 12)),), labels=points(places=places), class_field="crop",
         chip_size=4, report=str(report))  # fmt: skip
    text = report.read_text(encoding="utf-8")
    for part in ("s.tif", "outside the imagery", "#e69f00", "s_00000_00000", "Labels read"):
        assert part in text


def test_names_in_other_scripts_and_layers_of_the_index(make, write_raster, points, coded):
    made = make(rasters=(write_raster("Grünland (Süd).tif", coded(10, 12)),), labels=points(crop=("ä", "木", "ä")),
                class_field="crop", chip_size=4)  # fmt: skip
    row = made.dataset.chips[0]
    assert row.scene == "Grünland (Süd)"
    assert row.chip.isascii()
    assert made.dataset.spec.class_table.names == ("ä", "木")
    layers = dict(pyogrio.list_layers(made.folder / "chips.gpkg").tolist())
    assert layers == {"chips": "MultiPolygon", "skipped": "Unknown"}


def test_parameters_stand_in_the_dataset_without_temporary_paths(make, write_raster, points, coded):
    image = write_raster("s.tif", coded(10, 12))
    made = make(rasters=(image,), labels=points(), class_field="crop", chip_size=4)
    parameters = made.spec["parameters"]
    assert parameters["labels"].startswith("sha256:")
    assert parameters["rasters"] == [image]
    assert parameters["files"][0]["size"] == os.path.getsize(image)
    assert "points.gpkg" not in json.dumps(made.spec)


def test_another_crs_moves_chips_to_a_snapped_grid(make, write_raster, points, coded):
    image = write_raster("s.tif", coded(10, 12, dtype=np.float32))
    made = make(rasters=(image,), labels=points(), class_field="crop", chip_size=4, crs="EPSG:3857", resolution=20.0)
    for row in made.dataset.chips:
        assert row.crs == "EPSG:3857"
        assert row.transform[2] % 20 == 0
        assert row.transform[5] % 20 == 0
    assert made.spec["counts"]["labels_used"] == 3


def test_a_chip_across_the_antimeridian_has_two_parts(make, write_raster, write_vector, coded):
    place = Affine(1000, 0, 291000, 0, -1000, 1000000)  # 9 degrees north, a few pixels west of 180
    grid = place * Affine.translation(-130, 0)
    image = write_raster("pacific.tif", coded(10, 12), transform=grid, crs="EPSG:32601")
    labels = write_vector("l.gpkg", [at(9.5, 1.5, grid)], crs="EPSG:32601", code=[1])
    made = make(rasters=(image,), labels=labels, class_field="code", chip_size=10)
    footprint = made.dataset.chips[0].footprint
    assert len(footprint.geoms) == 2
    assert (footprint.bounds[0], footprint.bounds[2]) == (-180, 180)
    assert footprint.area < 0.02
