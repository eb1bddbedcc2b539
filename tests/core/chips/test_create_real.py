"""createchips on real observations; their sources and licences are in the README of the shared data."""

import csv

import numpy as np
import pyogrio.raw
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from instageo_plugin.core.chips.placement import pixel_of
from instageo_plugin.core.contract.jobs import RasterEntry
from rasterio.windows import Window


def read_window(path, transform, size):
    """Pixels of a raster under a chip: chips lie on its grid, so that offsets are whole."""
    with rasterio.open(path) as raster:
        col, row = (~raster.transform) * (transform[2], transform[5])
        assert abs(col - round(col)) < 1e-6
        assert abs(row - round(row)) < 1e-6
        return raster.read(window=Window(round(col), round(row), size, size))


def test_leipzig_points(make, shared_data):
    """97 points, 4 classes, one Sentinel-2 raster of 154 x 206 pixels (mlr3spatial)."""
    raster, labels = (str(shared_data / "leipzig" / name) for name in ("leipzig_raster.tif", "leipzig_points.gpkg"))
    made = make(rasters=(raster,), labels=labels, class_field="land_cover", chip_size=32, edge="shift")
    dataset = made.dataset
    assert dataset.spec.class_table.names == ("forest", "pasture", "urban", "water")
    assert made.skipped == []
    _, _, wkb, (classes,) = pyogrio.raw.read(labels, columns=["land_cover"])
    names = dict(zip(dataset.spec.class_table.names, dataset.spec.class_table.values))
    xy = shapely.get_coordinates(shapely.from_wkb(wkb))
    found = set()
    for row in dataset.chips:
        assert np.array_equal(made.image(row), read_window(raster, row.transform, 32), equal_nan=True)
        label = made.label(row)
        pixel = np.floor(pixel_of(xy[:, 0], xy[:, 1], row.transform)).astype(int)
        inside = ((pixel >= 0) & (pixel < 32)).all(axis=1)
        for i in np.flatnonzero(inside):
            assert label[pixel[i, 1], pixel[i, 0]] == names[classes[i]]
            found.add(i)
        assert (label >= 0).sum() <= inside.sum()
    assert len(found) == 97


def test_leipzig_centred_chips_in_degrees(make, shared_data):
    raster, labels = (str(shared_data / "leipzig" / name) for name in ("leipzig_raster.tif", "leipzig_points.gpkg"))
    made = make(rasters=(raster,), labels=labels, class_field="land_cover", chip_size=16, placement="centred",
                crs="EPSG:4326")  # fmt: skip
    assert made.spec["resolution_unit"] == "degree"
    assert made.spec["counts"]["labels_used"] == 97
    assert all(row.crs == "EPSG:4326" for row in made.dataset.chips)


@pytest.mark.parametrize("name", ["landsat5", "landsat7"])
def test_csmask_label_rasters(make, shared_data, name):
    """Landsat scenes, every pixel labelled clear, cloud or shadow (ukis-csmask)."""
    image, labels = (str(shared_data / "csmask" / f"{name}{part}.tif") for part in ("", "_labels"))
    made = make(rasters=(image,), label_rasters=(labels,), chip_size=128)
    assert len(made.dataset.chips) == 16
    for row in made.dataset.chips:
        assert np.array_equal(made.image(row), read_window(image, row.transform, 128))
        assert np.array_equal(made.label(row), read_window(labels, row.transform, 128)[0])
    assert made.spec["inputs"][0]["bands"] == ["blue", "green", "red", "nir", "swir1", "swir2"]
    assert made.dataset.spec.class_table.values == (0, 1, 2)


def test_sinop_timesteps_with_points_in_degrees(make, shared_data, write_vector):
    """12 dates of MODIS NDVI on a sinusoidal grid, JPEG 2000; points from a table of longitudes, latitudes (sits)."""
    folder = shared_data / "sinop"
    files = sorted(str(path) for path in folder.glob("*.jp2"))
    with (folder / "samples_sinop_crop.csv").open() as lines:
        samples = list(csv.DictReader(lines))
    places = [shapely.Point(float(s["longitude"]), float(s["latitude"])) for s in samples]
    classes = np.array([s["label"] for s in samples], dtype=object)
    labels = write_vector("samples.gpkg", places, crs="EPSG:4326", crop=classes)
    made = make(rasters=tuple(reversed(files)), labels=labels, class_field="crop", chip_size=32)
    assert any("sorted by date" in line for line in made.recorder.lines)
    assert made.spec["inputs"][0]["timesteps"] == 12
    row = made.dataset.chips[0]
    assert row.scene == "TERRA_MODIS_012010_NDVI"
    assert (row.dates["custom"][0], row.dates["custom"][-1]) == ("2013-09-14", "2014-08-29")
    for row in made.dataset.chips:
        expected = np.concatenate([read_window(path, row.transform, 32) for path in files])
        assert np.array_equal(made.image(row), expected)
        to_chip = pyproj.Transformer.from_crs("EPSG:4326", pyproj.CRS.from_user_input(row.crs), always_xy=True)
        label = made.label(row)
        for place, name in zip(places, classes):
            col, down = np.floor((~Affine(*row.transform)) * to_chip.transform(place.x, place.y)).astype(int)
            if 0 <= col < 32 and 0 <= down < 32:
                value = dict(zip(made.dataset.spec.class_table.names, made.dataset.spec.class_table.values))[name]
                assert label[down, col] in (value, -1)
    assert made.spec["counts"]["labels_used"] == 18
    assert made.skipped == []


def test_ny18_scenes_on_their_own_grids(make, shared_data, write_raster):
    """19 Landsat 8 scenes, one file a band, each on its own grid, overlapping (gdalcubes); clouds from the quality
    band (bit 4 of Landsat Collection 1)."""
    folder = shared_data / "ny18"
    scenes = sorted(path for path in (folder / "L8NY18").iterdir())[:6]
    bands = ("B2", "B3", "B4", "B5")
    table, masks = [], []
    for scene in scenes:
        for band in bands:
            (file,) = scene.glob(f"*_{band}.TIF")
            table.append(RasterEntry(str(file), scene.name[:25], "", band))
        (quality,) = scene.glob("*_BQA.TIF")
        with rasterio.open(quality) as raster:
            cloud = (raster.read(1) >> 4) & 1
            masks.append(write_raster(f"{scene.name}_cloud.tif", cloud.astype(np.uint8), transform=raster.transform,
                                      crs=raster.crs))  # fmt: skip
    made = make(raster_table=tuple(table), labels=str(folder / "ny_samples.gpkg"), class_field="class", chip_size=32,
                stride=32)  # fmt: skip
    dataset = made.dataset
    assert dataset.spec.inputs[0].bands == bands
    by_scene = {row.scene: row for row in dataset.chips}
    assert len({row.transform[0] for row in by_scene.values()}) > 1
    for scene in scenes:
        row = by_scene.get(scene.name[:25])
        if row is None:
            continue
        (blue,) = scene.glob("*_B2.TIF")
        assert np.array_equal(made.image(row)[:1], read_window(blue, row.transform, 32))
        assert row.dates == {"custom": [f"{scene.name[17:21]}-{scene.name[21:23]}-{scene.name[23:25]}"]}
    assert made.spec["counts"]["labels"] == 39

    scaled = make(raster_table=tuple(table), labels=str(folder / "ny_samples.gpkg"), class_field="class",
                  chip_size=32, mask_rasters=tuple(masks), scale=0.2, offset=-1000.0,
                  output=str(made.folder) + "_masked")  # fmt: skip
    for row in scaled.dataset.chips:
        cloud = read_window(masks[[s.name[:25] for s in scenes].index(row.scene)], row.transform, 32)[0] == 1
        assert (scaled.image(row)[:, cloud] == -9999).all()
        assert (scaled.image(row)[:, ~cloud] != -9999).all()
        assert row.clear == pytest.approx(100 * (1 - cloud.mean()))
