import pytest
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.imagery.bands import complete_names, find_band, parse_bands, plain_band_name


def test_names_are_complete_and_different():
    assert complete_names(["", "", ""]) == ("b1", "b2", "b3")
    assert complete_names(["red", "red", "", "red_2"]) == ("red", "red_3", "b3", "red_2")


@pytest.mark.parametrize("text", ["red, nir", "red nir", "custom:red,nir", "custom:red nir"])
def test_bands_in_each_form(text):
    assert parse_bands(text, "custom") == ("red", "nir")


def test_a_band_named_twice_is_an_error():
    with pytest.raises(InstaGeoError, match="names a band twice"):
        parse_bands("1 2 1", "custom")


def test_a_name_wins_over_a_number():
    assert find_band("2", ["2", "x"]) == 0
    assert find_band("2", ["a", "b"]) == 1
    with pytest.raises(KeyError):
        find_band("3", ["a", "b"])


@pytest.mark.parametrize("text", ["NDVI 2013-09-14", "NDVI_20130914", "NDVI (2013-09-14)", "NDVI"])
def test_a_date_is_no_part_of_a_band_name(text):
    assert plain_band_name(text) == "NDVI"
