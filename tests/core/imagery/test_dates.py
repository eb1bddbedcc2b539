import pytest
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.imagery.dates import acquisition_date, date_from_name, parse_iso_date


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("TERRA_MODIS_012010_NDVI_2013-09-14.jp2", "2013-09-14"),
        ("LC08_L1TP_013032_20180131_B1.TIF", "2018-01-31"),
        ("S2_20180131T101112_20180131.tif", "2018-01-31"),
        ("S2_20180131_20180202.tif", ""),  # acquired or processed: who knows
        ("HLS.L30.T15UWP.2024283T165135.v2.0.tif", ""),  # day of year
        ("tile_20189931.tif", ""),
        ("scene.tif", ""),
    ],
)
def test_date_in_a_file_name(name, date):
    assert date_from_name(f"/data/20190101/{name}") == date


def test_acquisition_tags_win_over_the_name_and_the_name_over_the_time_of_writing():
    tags = {"TIFFTAG_DATETIME": "2024:02:29 12:00:00"}
    assert acquisition_date("/a/plain.tif", tags) == "2024-02-29"
    assert acquisition_date("/a/x_20230105.tif", tags) == "2023-01-05"
    assert (
        acquisition_date("/a/x_20230105.tif", {**tags, "ACQUISITIONDATETIME": "2022-12-31T10:00:00Z"}) == "2022-12-31"
    )


def test_a_date_in_another_form_is_an_error_with_an_example():
    assert parse_iso_date(" 2022-06-08 ", "row 1") == "2022-06-08"
    with pytest.raises(InstaGeoError, match=r"row 1: '08/06/2022' is no date; expected the form 2022-06-08"):
        parse_iso_date("08/06/2022", "row 1")
