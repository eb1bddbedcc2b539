import time

import numpy as np
import pyproj
import pytest
import rasterio.crs
import rasterio.features
import shapely
from affine import Affine
from instageo_plugin.core.chips.labels import BurnRule, VectorLabels
from instageo_plugin.core.chips.placement import Cell, grid_cells
from instageo_plugin.core.chips.vectors import LabelFeatures
from instageo_plugin.core.imagery.grid import Grid
from rasterio.windows import Window

GRID = Grid(rasterio.crs.CRS.from_epsg(32632), Affine(10, 0, 500000, 0, -10, 5000000), 8, 6)
NOTHING = np.array([], dtype=object)


def at(col, row):
    return shapely.Point(500000 + 10 * col, 5000000 - 10 * row)


def labels(geometries, values, rule=None, grid=GRID, crs=32632, unclassed=NOTHING):
    n = len(geometries)
    features = LabelFeatures(
        np.array(geometries, dtype=object), np.full(n, "x"), np.arange(n), pyproj.CRS.from_epsg(crs), True, unclassed
    )
    return VectorLabels(features, np.array(values, dtype=np.int16), grid, rule or BurnRule())


def full(source, grid=GRID):
    return source.burn(grid.full_window)


def test_a_point_paints_the_pixel_it_lies_in():
    burned = full(labels([at(2, 3), at(4.999, 5.999)], [7, 8]))
    assert np.argwhere(burned.pixels >= 0).tolist() == [[3, 2], [5, 4]]
    assert (burned.pixels[3, 2], burned.pixels[5, 4], burned.painted, burned.conflicts) == (7, 8, 2, 0)


def test_the_right_and_bottom_edges_belong_to_no_pixel():
    source = labels([at(0, 0), at(8, 0), at(0, 6), at(-0.001, 2)], [1, 1, 1, 1])
    assert source.on_scene.tolist() == [True, False, False, False]


def test_a_radius_paints_a_square_cut_at_the_edge():
    burned = full(labels([at(0.5, 0.5), at(5.5, 3.5)], [1, 2], BurnRule(point_radius=1)))
    assert (burned.pixels == 1).sum() == 4
    assert (burned.pixels[2:5, 4:7] == 2).all()
    assert burned.painted == 13


def test_classes_in_one_pixel_conflict_and_equal_ones_do_not():
    burned = full(labels([at(1.2, 1.2), at(1.8, 1.8), at(3.1, 1.1), at(3.9, 1.1)], [1, 2, 5, 5]))
    assert burned.pixels[1, 1] == -1
    assert burned.pixels[1, 3] == 5
    assert (burned.painted, burned.conflicts) == (1, 1)


def test_polygons_of_two_classes_conflict_where_they_overlap():
    one, two = shapely.box(500000, 4999950, 500040, 5000000), shapely.box(500030, 4999950, 500060, 5000000)
    burned = full(labels([one, two], [0, 3], BurnRule(background=9)))
    assert burned.pixels[0].tolist() == [0, 0, 0, -1, 3, 3, 9, 9]
    assert burned.conflicts == 5
    assert burned.pixels[5].tolist() == [9] * 8


def test_ground_of_a_polygon_without_class_is_no_background():
    hidden = np.array([shapely.box(500060, 4999940, 500080, 5000000)], dtype=object)
    burned = full(
        labels([shapely.box(500000, 4999990, 500010, 5000000)], [0], BurnRule(background=9), unclassed=hidden)
    )
    assert burned.pixels[0].tolist() == [0, 9, 9, 9, 9, 9, -1, -1]


def test_beyond_the_scene_there_is_neither_label_nor_background():
    source = labels([shapely.box(499000, 4999000, 501000, 5001000)], [1], BurnRule(background=9))
    burned = source.burn(Window(6, 4, 4, 4))
    assert burned.pixels.tolist() == [[1, 1, -1, -1], [1, 1, -1, -1], [-1] * 4, [-1] * 4]


def test_slivers_that_paint_nothing_are_told_unless_all_touched():
    sliver = shapely.box(500001, 4999951, 500002, 4999999)
    assert labels([sliver], [1]).painting.tolist() == [False]
    touched = labels([sliver], [1], BurnRule(all_touched=True))
    assert touched.painting.tolist() == [True]
    assert (full(touched).pixels[:, 0] == 1).sum() == 5


def test_labels_in_another_crs_are_transformed():
    to_degrees = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    place = shapely.Point(*to_degrees.transform(500000 + 10 * 3.5, 5000000 - 10 * 2.5))
    assert np.argwhere(full(labels([place], [1], crs=4326)).pixels >= 0).tolist() == [[2, 3]]


def test_a_place_outside_the_projection_is_outside_the_imagery():
    assert labels([shapely.Point(200, 95), at(1, 1)], [1, 1], crs=4326).on_scene.tolist() == [False, False]


def test_windows_agree_with_the_whole_whatever_their_origin():
    random = np.random.default_rng(3)
    grid = Grid(GRID.crs, GRID.transform, 60, 50)
    shapes = [
        shapely.Point(500000 + x, 5000000 - y).buffer(r)
        for x, y, r in zip(random.uniform(0, 600, 40), random.uniform(0, 500, 40), random.uniform(2, 60, 40))
    ]
    source = labels(shapes, random.integers(0, 3, 40), grid=grid)
    whole = full(source, grid)
    assert whole.conflicts > 0
    for cell in grid_cells(60, 50, 16, 11, "shift"):
        part = whole.pixels[cell.row : cell.row + 16, cell.col : cell.col + 16]
        assert np.array_equal(source.burn(cell.window).pixels, part)


def test_one_class_equals_the_rasteriser_on_the_ground():
    random = np.random.default_rng(5)
    grid = Grid(GRID.crs, GRID.transform, 60, 50)
    shapes = [shapely.Point(500000 + x, 5000000 - y).buffer(40) for x, y in random.uniform(0, 500, (20, 2))]
    for touched in (False, True):
        expected = rasterio.features.rasterize(
            shapes, out_shape=(50, 60), transform=grid.transform, fill=-1, default_value=1, all_touched=touched
        )
        found = full(labels(shapes, [1] * 20, BurnRule(all_touched=touched), grid), grid).pixels
        assert np.array_equal(found, expected)


def test_members_are_the_features_of_each_cell():
    source = labels([at(0.5, 0.5), shapely.MultiPoint([at(1.5, 1.5), at(6.5, 0.5)]), at(4, 0)], [1, 1, 1])
    members = source.members([Cell(0, 0, 4), Cell(4, 0, 4), Cell(0, 4, 2)])
    assert [m.tolist() for m in members] == [[0, 1], [1, 2], []]


def test_centres_of_points_parts_and_polygons():
    half_out = shapely.box(500060, 4999940, 500200, 5000000)  # on the scene: columns 6 and 7, all rows
    source = labels([at(2.5, 3.5), shapely.MultiPoint([at(0, 0), at(7.9, 5.9)]), half_out], [1, 1, 1])
    assert source.centres() == [(2, 3), (0, 0), (7, 5), (7, 3)]


@pytest.mark.parametrize("radius", [0, 1])
def test_ten_thousand_points_are_quick(radius):
    grid = Grid(GRID.crs, GRID.transform, 2560, 2560)
    xy = np.random.default_rng(0).uniform(0, 25600, (10000, 2))
    started = time.perf_counter()
    source = labels(
        shapely.points(500000 + xy[:, 0], 5000000 - xy[:, 1]), xy[:, 0] % 5, BurnRule(point_radius=radius), grid
    )
    cells = grid_cells(2560, 2560, 256, 256, "shift")
    assert sum(len(m) for m in source.members(cells)) >= 10000
    assert sum(source.burn(c.window).painted for c in cells) > 9000
    assert time.perf_counter() - started < 20
