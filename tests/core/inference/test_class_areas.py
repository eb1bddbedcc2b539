import numpy as np
import pyproj
import pytest
import rasterio.crs
from affine import Affine
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.imagery.grid import Grid
from instageo_plugin.core.inference.class_areas import ClassAreas

TABLE = ClassTable((ClassEntry("a", 3, "A"), ClassEntry("b", 9, "B")))


def areas_of(index, transform, crs):
    areas = ClassAreas(Grid(rasterio.crs.CRS.from_user_input(crs), transform, index.shape[1], index.shape[0]), TABLE)
    areas.add(index[: len(index) // 2], 0, 0)
    areas.add(index[len(index) // 2 :], len(index) // 2, 0)
    return areas.to_plain()


def outline_hectares(transform, width, height):
    """Geodesic polygon around a degree raster, its parallels followed closely."""
    west, north = transform * (0, 0)
    east, south = transform * (width, height)
    along = np.linspace(west, east, 2000)
    longitudes = [*along, *along[::-1]]
    latitudes = [south] * 2000 + [north] * 2000
    return abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(longitudes, latitudes)[0]) / 10_000


@pytest.mark.parametrize("north", [0.5, 51.3, 75.0, -20.0])
def test_degree_rasters_are_measured_on_the_ellipsoid(north):
    transform = Affine(0.001, 0, 12.3, 0, -0.001, north)
    plain = areas_of(np.zeros((400, 700), dtype=int), transform, "EPSG:4326")
    assert plain["total"] == pytest.approx(outline_hectares(transform, 700, 400), rel=1e-6)


def test_whole_earth():
    plain = areas_of(np.zeros((180, 360), dtype=int), Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    assert plain["total"] == pytest.approx(51_006_562_172.4, rel=1e-9)  # hectares of the WGS 84 ellipsoid


@pytest.mark.parametrize(
    ("crs", "transform", "scale"),
    [
        ("EPSG:32632", Affine(10, 0, 498_000, 0, -10, 5_690_000), 1 / 0.9996**2),  # central meridian
        ("EPSG:3035", Affine(10, 0, 4_500_000, 0, -10, 3_100_000), 1.0),  # equal area
        ("EPSG:3857", Affine(10, 0, 1_370_000, 0, -10, 6_680_000), None),
    ],
)
def test_projected_rasters_are_measured_on_the_ellipsoid(crs, transform, scale):
    plain = areas_of(np.zeros((300, 400), dtype=int), transform, crs)
    if scale is None:  # Web Mercator exaggerates by 1 / cos^2(latitude), and a little for the ellipsoid
        latitude = np.radians(pyproj.Transformer.from_crs(crs, 4326).transform(1_372_000, 6_678_500)[0])
        e2 = pyproj.Geod(ellps="WGS84").es
        scale = np.cos(latitude) ** 2 * (1 - e2) / (1 - e2 * np.sin(latitude) ** 2) ** 2
    assert plain["total"] == pytest.approx(300 * 400 * 0.01 * scale, rel=2e-5)


def test_pixels_and_shares_by_class():
    index = np.zeros((10, 10), dtype=int)
    index[:, 6:] = 1
    index[0] = 2  # no data
    plain = areas_of(index, Affine(10, 0, 498_000, 0, -10, 5_690_000), "EPSG:32632")
    assert [(c["value"], c["pixels"], c["share"]) for c in plain["classes"]] == [(3, 54, 60.0), (9, 36, 40.0)]
    assert plain["nodata_pixels"] == 10
    assert plain["predicted_pixels"] == 90
    assert plain["classes"][0]["hectares"] == pytest.approx(0.54 / 0.9996**2, rel=1e-4)
