import numpy as np
import pytest
from affine import Affine
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.imagery.encoding import Encoding
from instageo_plugin.core.imagery.reading import SceneReader
from instageo_plugin.core.imagery.resampling import parse_crs, regrid, snapped_grid
from instageo_plugin.core.imagery.scenes import scenes_from_rasters
from rasterio.windows import Window


def test_lines_of_the_new_grid_are_multiples_of_the_resolution(write_raster):
    scene = scenes_from_rasters([write_raster("a.tif", np.ones((6, 8), np.uint8))], [], print)[0]
    grid = regrid(scene, "", 30).grid
    assert grid.crs == scene.native.crs
    assert grid.transform == Affine(30, 0, 731790, 0, -30, 5694090)
    assert (grid.width, grid.height) == (4, 2)  # 731790 to 731910, 5694030 to 5694090


def test_only_a_crs_keeps_about_the_resolution(write_raster):
    scene = scenes_from_rasters([write_raster("a.tif", np.ones((60, 80), np.uint8))], [], print)[0]
    grid = snapped_grid(scene.native, parse_crs("EPSG:3857"), 0)
    assert 14 < grid.resolution[0] < 18  # 10 m on the ground at 51 degrees north, stretched by Mercator
    assert (grid.transform.c / grid.resolution[0]) % 1 == pytest.approx(0, abs=1e-6)


def test_an_unknown_crs_is_an_error():
    with pytest.raises(InstaGeoError, match="not known; expected a code such as EPSG:32632"):
        parse_crs("EPSG:999999")


def test_nearest_keeps_values_and_fills_beyond_the_edge(write_raster):
    pixels = np.arange(1, 49, dtype=np.float32).reshape(6, 8)
    scene = regrid(scenes_from_rasters([write_raster("a.tif", pixels)], [], print)[0], "", 5)
    with SceneReader(scene, Encoding("float32", None)) as reader:
        finer = reader.read(Window(-2, 0, 18, 12))[0, 0]
    assert np.isnan(finer[:, :2]).all()
    assert np.array_equal(finer[:, 2:], pixels.repeat(2, axis=0).repeat(2, axis=1))


def test_a_window_beyond_an_integer_raster_without_nodata_is_an_error(write_raster):
    scene = scenes_from_rasters([write_raster("a.tif", np.ones((6, 8), np.uint8))], [], print)[0]
    with SceneReader(scene, Encoding("uint8", None)) as reader:
        assert reader.read(Window(0, 0, 8, 6)).shape == (1, 1, 6, 8)
        with pytest.raises(InstaGeoError, match="declare no nodata value"):
            reader.read(Window(0, 0, 9, 6))
