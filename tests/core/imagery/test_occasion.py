import numpy as np
import pyproj
import pytest
import rasterio.crs
from affine import Affine
from instageo_plugin.core.imagery.grid import Grid
from instageo_plugin.core.imagery.occasion import Occasion, first_dates


def grid(epsg=32632, origin=(731810, 5694090), shape=(100, 70), step=10.0):
    return Grid(rasterio.crs.CRS.from_epsg(epsg), Affine(step, 0, origin[0], 0, -step, origin[1]), shape[1], shape[0])


def test_times_are_year_and_day_of_the_year():
    times = Occasion(("2020-12-31", "", "2021-01-01"), grid()).times()
    assert times[[0, 2]].tolist() == [[2020, 366], [2021, 1]]
    assert np.isnan(times[1]).all()
    assert Occasion((), grid()).times().shape == (0, 2)


@pytest.mark.parametrize(
    "where",
    [
        grid(),
        grid(shape=(1, 1)),
        grid(shape=(33, 1)),
        grid(32760, (832000, 5000000), (40, 300), 30.0),  # reaches across the antimeridian
        grid(4326, (12, 51), (50, 50), 0.001),
    ],
)
def test_places_of_pixels_are_those_of_the_projection(where):
    found = Occasion((), where).places()
    columns, rows = np.meshgrid(np.arange(where.width) + 0.5, np.arange(where.height) + 0.5)
    xs, ys = where.transform * (columns, rows)
    longitude, latitude = pyproj.Transformer.from_crs(where.crs.to_wkt(), 4326, always_xy=True).transform(xs, ys)
    turns = (found[..., 1] - longitude + 180) % 360 - 180
    assert np.abs(found[..., 0] - latitude).max() < 2e-6
    assert np.abs(turns).max() < 2e-6


def test_the_middle_is_latitude_then_longitude():
    latitude, longitude = Occasion((), grid(4326, (12, 51), (100, 100), 0.01)).middle()
    assert (latitude, longitude) == (pytest.approx(50.5), pytest.approx(12.5))


def test_dates_are_those_of_the_first_dated_input():
    assert first_dates({"dem": [], "hls": ["2022-01-01", ""]}) == ("2022-01-01", "")
    assert first_dates({"dem": []}) == ()
