import numpy as np
import pytest
import rasterio.crs
import shapely
from affine import Affine
from instageo_plugin.core.imagery.footprint import cut_at_antimeridian, footprint_4326
from instageo_plugin.core.imagery.grid import Grid
from pyproj import Transformer
from rasterio.windows import Window


def grid(crs, transform, width, height):
    return Grid(rasterio.crs.CRS.from_user_input(crs), Affine(*transform), width, height)


def test_degrees_stay_as_they_are():
    outline = footprint_4326(grid("EPSG:4326", (0.1, 0, 10, 0, -0.1, 50), 20, 10))
    assert outline.bounds == pytest.approx((10, 49, 12, 50))
    assert outline.area == pytest.approx(2)


def test_edges_of_a_projected_grid_are_curved():
    outline = footprint_4326(grid("EPSG:32632", (1000, 0, 200000, 0, -1000, 6000000), 600, 10))
    corners_only = shapely.box(*outline.bounds)
    assert len(outline.geoms[0].exterior.coords) > 40
    assert outline.area < corners_only.area


def test_a_chip_needs_few_points_for_the_same_ground():
    tile = grid("EPSG:32633", (10, 0, 399960, 0, -10, 5700000), 10980, 10980)
    chip = footprint_4326(tile.window(Window(1000, 2000, 256, 256)))
    assert len(chip.geoms[0].exterior.coords) < 20
    back = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    ground = shapely.transform(chip.segmentize(1e-4), back.transform, interleaved=False)
    assert ground.hausdorff_distance(shapely.box(409960, 5677440, 412520, 5680000)) < 0.05


def test_a_chip_across_the_antimeridian_becomes_two_parts():
    outline = footprint_4326(grid("EPSG:32601", (1000, 0, 250000, 0, -1000, 6000000), 100, 100))
    west, _, east, _ = outline.bounds
    assert len(outline.geoms) == 2
    assert (west, east) == (-180, 180)
    assert all(part.bounds[2] - part.bounds[0] < 2 for part in outline.geoms)
    same_size = footprint_4326(grid("EPSG:32602", (1000, 0, 250000, 0, -1000, 6000000), 100, 100))
    assert outline.area == pytest.approx(same_size.area)
    assert len(same_size.geoms) == 1


def test_longitudes_from_0_to_360_come_into_range():
    outline = footprint_4326(grid("EPSG:4326", (1, 0, 170, 0, -1, 10), 30, 10))
    assert sorted(part.bounds for part in outline.geoms) == [(-180, 0, -160, 10), (170, 0, 180, 10)]


def test_a_grid_around_the_pole_reaches_the_pole():
    outline = footprint_4326(grid("EPSG:3413", (1000, 0, -50000, 0, -1000, 50000), 100, 100))
    assert outline.covers(shapely.Point(33, 89.9))
    assert outline.bounds[3] == 90
    assert not outline.covers(shapely.Point(33, 80))


def test_the_whole_globe_is_one_part():
    assert footprint_4326(grid("EPSG:4326", (1, 0, -180, 0, -1, 90), 360, 180)).area == pytest.approx(360 * 180)


def test_too_few_points_give_an_empty_footprint():
    assert cut_at_antimeridian(np.array([[0.0, 0.0]])).is_empty
