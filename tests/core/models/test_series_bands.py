"""Units, bands and dates of datasets as pixel-series models were trained with them."""

import numpy as np
import pytest
import rasterio.crs
from affine import Affine
from instageo_plugin.core.contract.dataset import REFLECTANCE, InputSpec
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.sensors import SENSORS
from instageo_plugin.core.imagery.grid import Grid
from instageo_plugin.core.imagery.occasion import Occasion
from instageo_plugin.core.models.series_bands import BANDS, months_of, series_bands, series_of, slope_degrees

DATES = ("2022-01-15", "2022-02-15")


def spec(sensor, bands, timesteps=2, units=REFLECTANCE):
    return InputSpec(sensor, tuple(bands), "float32", units, "nan", timesteps)


RADAR = spec("sentinel1", ("vv", "vh"), units="linear power")
WEATHER = spec("weather", ("tavg", "prcp"), units=SENSORS["weather"].units)
DEM = spec("dem", ("elevation",), 1, "metres")


@pytest.fixture
def occasion():
    grid = Grid(rasterio.crs.CRS.from_epsg(32632), Affine(10, 0, 731810, 0, -10, 5694090), 4, 3)
    return Occasion(DATES, grid)


def values_of(images, inputs, occasion):
    bands = series_bands(inputs, "Model", 24)
    return dict(zip(BANDS, series_of(images, bands, occasion).swapaxes(0, 1)))


def test_radar_becomes_decibels_and_no_power_is_missing(occasion):
    image = np.full((2, 2, 3, 4), 0.1, dtype=np.float32)
    image[:, 1] = 0.01
    image[1, 0, 0, 0], image[1, 0, 0, 1] = 0, np.nan
    found = values_of([image], [RADAR], occasion)
    np.testing.assert_allclose(found["VV"][0], -10, atol=1e-5)
    np.testing.assert_allclose(found["VH"], -20, atol=1e-5)
    assert np.isnan(found["VV"][1]).sum() == 2
    assert np.isnan(found["B2"]).all()


def test_weather_becomes_kelvin_and_metres_of_rain(occasion):
    image = np.broadcast_to(np.array([20.0, 50.0])[None, :, None, None], (2, 2, 3, 4))
    found = values_of([image], [WEATHER], occasion)
    np.testing.assert_allclose(found["temperature_2m"], 293.15, atol=1e-4)
    np.testing.assert_allclose(found["total_precipitation"], 0.05, atol=1e-8)


def test_terrain_goes_with_every_timestep_and_slope_comes_from_elevation(occasion):
    elevation = np.arange(4, dtype=np.float32) * 10 + np.zeros((1, 1, 3, 4), dtype=np.float32)  # 10 m a pixel of 10 m
    optical = np.zeros((2, 1, 3, 4), dtype=np.float32)
    found = values_of([optical, elevation], [spec("sentinel2", ("B08",)), DEM], occasion)
    np.testing.assert_allclose(found["elevation"][:, 0], [[0, 10, 20, 30]] * 2)
    np.testing.assert_allclose(found["slope"], 45, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_slope_of_a_single_line(shape):
    assert slope_degrees(np.zeros(shape), (10, 10)).shape == shape


@pytest.mark.parametrize(
    ("sensor", "names", "expected"),
    [
        ("sentinel2", ("B02", "B8A", "B12"), {"B2", "B8A", "B12"}),
        ("hls", ("blue", "nir08", "swir16"), {"B2", "B8A", "B11"}),
        ("landsat", ("red", "swir22"), {"B4", "B12"}),
        ("custom", ("blue", "B4", "nir", "B8A"), {"B2", "B4", "B8", "B8A"}),
    ],
)
def test_optical_bands_by_name_and_wavelength(occasion, sensor, names, expected):
    every = series_bands([spec(sensor, names), RADAR], "Model", 24)
    assert {BANDS[position] for position in every.positions} == {*expected, "VV", "VH"}
    assert every.ignored == ()


def test_groups_are_seen_only_whole_and_unknown_bands_are_named():
    found = series_bands([spec("sentinel2", ("B01", "B02", "B03", "B04", "B08", "B05")), DEM], "Model", 24)
    assert found.groups == ("S2_RGB", "S2_NIR_10m", "SRTM", "NDVI")
    assert found.ignored == ("sentinel2 B01",)


def test_every_problem_of_the_inputs_is_told_at_once():
    inputs = [
        spec("sentinel2", ("B02", "B03"), 3),
        spec("custom", ("b1",), 30, "as in the source"),
        spec("hls", ("blue",), 3),
    ]
    with pytest.raises(InstaGeoError) as caught:
        series_bands(inputs, "Presto", 24)
    for words in (
        "input 'custom' is in 'as in the source'; expected reflectance x 10000",
        "'sentinel2 B02' and 'hls blue' are both its band B2",
        "have 3 and 30 timesteps",
        "30 timesteps; it takes up to 24",
        "none of its groups of bands is complete",
    ):
        assert words in caught.value.message


def test_months_count_from_zero_and_only_steps_with_data_need_a_date(occasion):
    series = np.full((2, len(BANDS), 3, 4), np.nan)
    series[0, 2] = 1
    assert months_of(occasion, series, "Chip a").tolist() == [0, 1]
    undated = Occasion(("2022-12-31", ""), occasion.grid)
    assert months_of(undated, series, "Chip a").tolist() == [11, 0]
    series[1, 2] = 1
    with pytest.raises(InstaGeoError, match="Chip a: the dates of its 2 timesteps are 2022-12-31, none"):
        months_of(undated, series, "Chip a")
