"""Bands of datasets against the bands that models were trained with."""

import pytest
from instageo_plugin.core.contract.backbones import backbone
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.models.band_matching import match_bands

HLS = backbone("prithvi_v2_300m").modalities[0]
S2 = backbone("terramind_v1_tiny").modalities[0]


def positions(sensor, bands, modality, **options):
    return [(match.position, match.exact) for match in match_bands(sensor, bands, modality, **options)]


@pytest.mark.parametrize(
    ("sensor", "bands", "expected"),
    [
        ("hls", ("blue", "green", "red", "nir08", "swir16", "swir22"), [0, 1, 2, 3, 4, 5]),
        ("hls", ("nir08", "red"), [3, 2]),
        ("sentinel2", ("B02", "B03", "B04", "B8A", "B11", "B12"), [0, 1, 2, 3, 4, 5]),
        ("sentinel2", ("B08", "B02"), [3, 0]),
        ("landsat", ("red", "swir16"), [2, 4]),
        ("custom", ("Blue", "RED"), [0, 2]),
    ],
)
def test_bands_are_found_by_name_or_wavelength(sensor, bands, expected):
    assert positions(sensor, bands, HLS) == [(position, True) for position in expected]


def test_sentinel_2_goes_band_by_band():
    assert positions("sentinel2", ("B08", "B8A", "B05"), S2) == [(7, True), (8, True), (4, True)]


def test_bands_without_weights_are_all_named():
    with pytest.raises(InstaGeoError) as raised:
        match_bands("sentinel2", ("B02", "B06", "B09"), HLS)
    message = str(raised.value)
    assert "2 problems" in message
    assert "'B06' (0.74 um) has no pretrained weights: the nearest band, red, is at 0.655 um" in message
    assert "'B09'" in message


def test_on_request_they_start_from_the_nearest_wavelength():
    assert positions("sentinel2", ("B04", "B06"), HLS, nearest=True) == [(2, True), (2, False)]


def test_a_band_of_unknown_wavelength_and_two_bands_for_one_are_refused():
    with pytest.raises(InstaGeoError, match="'b1' of custom is no band of it"):
        match_bands("custom", ("b1",), HLS)
    with pytest.raises(InstaGeoError, match="'B08' and 'B8A' are both its band nir08"):
        match_bands("sentinel2", ("B08", "B8A"), HLS)
