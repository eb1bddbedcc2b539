import numpy as np
import pytest
from affine import Affine
from instageo_plugin.core.chips.label_rasters import category_names
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.errors import InstaGeoError

UTM = Affine(10, 0, 731810, 0, -10, 5694090)


@pytest.fixture
def image(write_raster, coded):
    return write_raster("image.tif", coded(8, 8))


def test_values_and_places_are_exact(make, image, write_raster):
    labels = np.arange(64, dtype=np.uint8).reshape(8, 8) % 3
    made = make(rasters=(image,), label_rasters=(write_raster("l.tif", labels),), chip_size=4)
    assert len(made.dataset.chips) == 4
    for row in made.dataset.chips:
        _, col, down = row.chip.split("_")
        place = np.s_[int(down) : int(down) + 4, int(col) : int(col) + 4]
        assert np.array_equal(made.label(row), labels[place])
        assert row.class_counts == {v: int((labels[place] == v).sum()) for v in range(3)}


def test_label_values_renumber_and_the_rest_and_nodata_are_ignored(make, image, write_raster):
    labels = np.full((8, 8), 9, dtype=np.uint8)
    labels[0, :3] = [1, 2, 0]
    path = write_raster("l.tif", labels, nodata=0)
    made = make(rasters=(image,), label_rasters=(path,), label_values="1:4 2:0 0:3", chip_size=8)
    assert made.label(made.dataset.chips[0])[0, :4].tolist() == [4, 0, -1, -1]
    assert made.dataset.spec.class_table.values == (0, 3, 4)


def test_a_raster_that_covers_a_part_gives_only_its_cells(make, image, write_raster):
    part = write_raster("l.tif", np.ones((2, 3), np.int16), transform=UTM * Affine.translation(5, 5))
    made = make(rasters=(image,), label_rasters=(part,), chip_size=4, report="")
    (row,) = made.dataset.chips
    assert row.chip == "image_00004_00004"
    assert np.argwhere(made.label(row) == 1).tolist() == [[r, c] for r in (1, 2) for c in (1, 2, 3)]
    assert made.skipped == []


def test_a_raster_that_reaches_beyond_the_imagery(make, write_raster, coded):
    image = write_raster("image.tif", coded(6, 6), nodata=-1)
    large = write_raster("l.tif", np.ones((20, 20), np.uint8), transform=UTM * Affine.translation(-5, -5))
    made = make(rasters=(image,), label_rasters=(large,), chip_size=8)
    (row,) = made.dataset.chips
    assert (made.label(row)[:6, :6] == 1).all()
    assert row.class_counts == {1: 36}


def test_two_rasters_that_disagree_conflict(make, image, write_raster):
    one, two = np.ones((8, 8), np.uint8), np.ones((8, 8), np.uint8)
    two[0, 0] = 2
    paths = write_raster("one.tif", one), write_raster("two.tif", two)
    made = make(rasters=(image,), label_rasters=paths, chip_size=8)
    assert made.label(made.dataset.chips[0])[0, :2].tolist() == [-1, 1]
    assert made.spec["counts"]["conflicting_pixels"] == 1


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (UTM * Affine.translation(0.5, 0), "EPSG:32632"),
        (UTM * Affine.scale(0.5), "EPSG:32632"),
        (Affine(0.0001, 0, 12.3292, 0, -0.0001, 51.3507), "EPSG:4326"),
    ],
)
def test_another_grid_is_an_error_that_tells_both(make, image, write_raster, transform, crs):
    path = write_raster("l.tif", np.ones((8, 8), np.uint8), transform=transform, crs=crs)
    with pytest.raises(
        InstaGeoError, match=r"l\.tif is on the grid .*expected pixels that coincide.*8 x 8 pixels of 10"
    ):
        make(rasters=(image,), label_rasters=(path,), chip_size=4)


def test_a_resampled_scene_takes_labels_from_any_grid(make, image, write_raster):
    labels = np.repeat(np.repeat(np.array([[1, 2], [3, 4]], np.uint8), 4, 0), 4, 1)
    path = write_raster("l.tif", np.repeat(np.repeat(labels, 2, 0), 2, 1), transform=UTM * Affine.scale(0.5))
    with pytest.raises(InstaGeoError, match="declare no nodata"):
        make(rasters=(image,), label_rasters=(path,), chip_size=4, resolution=20.0)
    floats = write_raster("floats.tif", np.ones((8, 8), np.float32))
    made = make(rasters=(floats,), label_rasters=(path,), chip_size=5, resolution=20.0)
    (row,) = made.dataset.chips
    assert row.transform == (20.0, 0.0, 731800.0, 0.0, -20.0, 5694100.0)
    assert set(row.class_counts) == {1, 2, 3, 4}


def test_labels_elsewhere_miss_the_imagery(make, image, write_raster):
    path = write_raster("l.tif", np.ones((8, 8), np.uint8), transform=Affine(10, 0, 7e5, 0, -10, 5e6))
    with pytest.raises(InstaGeoError, match="No label raster lies on the imagery"):
        make(rasters=(image,), label_rasters=(path,), chip_size=4)


def test_one_raster_elsewhere_is_skipped_with_its_outline(make, image, write_raster):
    paths = (
        write_raster("l.tif", np.ones((8, 8), np.uint8)),
        write_raster("far.tif", np.ones((8, 8), np.uint8), transform=Affine(10, 0, 7e5, 0, -10, 5e6)),
    )
    made = make(rasters=(image,), label_rasters=paths, chip_size=8)
    assert made.skipped == [("outside the imagery", 1)]
    assert made.skipped_geometries[0].area > 0


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([70000], np.int32, "hold 70000; expected whole numbers from 0 to 32767"),
        ([-3], np.int16, "hold -3"),
        ([1.5], np.float32, r"hold 1\.5"),
    ],
)
def test_values_that_are_no_classes(make, image, write_raster, values, dtype, message):
    path = write_raster("l.tif", np.full((8, 8), values[0], dtype))
    with pytest.raises(InstaGeoError, match=message):
        make(rasters=(image,), label_rasters=(path,), chip_size=4)


def test_large_codes_can_be_renumbered(make, image, write_raster):
    path = write_raster("l.tif", np.full((8, 8), 70000, np.int32))
    made = make(rasters=(image,), label_rasters=(path,), label_values="70000:1", chip_size=8)
    assert made.dataset.chips[0].class_counts == {1: 64}


def test_colours_come_from_the_raster_and_names_from_beside_it(make, image, write_raster, tmp_path):
    path = write_raster("l.tif", np.ones((8, 8), np.uint8), colors={1: (0, 128, 0, 255)})
    (tmp_path / "l.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><CategoryNames><Category/><Category>Wood &amp; scrub</Category>"
        "</CategoryNames></PAMRasterBand></PAMDataset>"
    )
    assert category_names(path) == ["", "Wood & scrub"]
    made = make(rasters=(image,), label_rasters=(path,), chip_size=8)
    (entry,) = made.dataset.spec.class_table.entries
    assert (entry.name, entry.color) == ("Wood & scrub", "#008000")


def test_a_given_table_names_them(make, image, write_raster):
    table = ClassTable((ClassEntry("1", 5, "maize", "#ffff00"), ClassEntry("2", 6, "soy")))
    made = make(rasters=(image,), label_rasters=(write_raster("l.tif", np.ones((8, 8), np.uint8)),),
                class_table=table, chip_size=8)  # fmt: skip
    assert made.dataset.spec.class_table == table
    assert made.dataset.chips[0].class_counts == {5: 64}


def test_centred_needs_features(make, image, write_raster):
    path = write_raster("l.tif", np.ones((8, 8), np.uint8))
    with pytest.raises(InstaGeoError, match="raster labels have no centres"):
        make(rasters=(image,), label_rasters=(path,), chip_size=4, placement="centred")
