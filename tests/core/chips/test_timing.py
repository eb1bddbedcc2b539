import datetime as dt

import pytest
from instageo_plugin.core.chips.timing import Steps, parse_label_dates
from instageo_plugin.core.contract.errors import InstaGeoError


def targets(label, **fields):
    return [str(date) for date in Steps(**fields).targets(dt.date.fromisoformat(label))]


def test_one_date_is_the_label_date():
    assert targets("2022-06-08") == ["2022-06-08"]


def test_the_reference_systems_series():
    series = {"count": 3, "step": 30, "offset_days": 30, "month_start": True}
    assert targets("2022-06-08", **series) == ["2022-03-03", "2022-04-02", "2022-05-02"]
    assert targets("2022-06-01", **series) == ["2022-03-03", "2022-04-02", "2022-05-02"]


def test_months_keep_the_day_or_take_the_last():
    assert targets("2024-05-31", count=4, step=1, unit="month") == [
        "2024-02-29",
        "2024-03-31",
        "2024-04-30",
        "2024-05-31",
    ]
    assert targets("2022-01-15", count=2, step=2, unit="month") == ["2021-11-15", "2022-01-15"]


def test_dekads_start_on_the_1st_11th_and_21st():
    assert targets("2022-03-31", count=4, step=1, unit="dekad") == [
        "2022-02-21",
        "2022-03-01",
        "2022-03-11",
        "2022-03-21",
    ]
    assert targets("2022-01-10", count=2, step=3, unit="dekad") == ["2021-12-01", "2022-01-01"]


@pytest.mark.parametrize(
    ("text", "date_format"),
    [
        ("2022-06-08", ""),
        ("20220608", ""),
        ("2022-06-08 23:59:00", ""),
        ("2022-06-09T01:30:00+02:00", ""),
        ("2022-06-08T12:00:00Z", ""),
        ("8/6/2022", "d/M/yyyy"),
        ("08.06.22", "dd.MM.yy"),
        ("06/08/2022", "%m/%d/%Y"),
    ],
)
def test_forms_that_say_one_day(text, date_format):
    assert parse_label_dates([text, ""], date_format, "DATE_FIELD") == [dt.date(2022, 6, 8), None]


@pytest.mark.parametrize("text", ["03/04/2022", "8.6.2022", "2022", "June 2022", "2022-13-01", "20220230"])
def test_other_forms_are_never_guessed(text):
    with pytest.raises(InstaGeoError, match="1 of 2 dates cannot be read") as raised:
        parse_label_dates([text, "2022-06-08"], "", "DATE_FIELD 'seen'")
    assert f"'{text}'" in str(raised.value)
    assert "DATE_FORMAT" in str(raised.value)


def test_many_wrong_dates_are_counted_and_some_shown():
    with pytest.raises(InstaGeoError, match=r"5 of 5 dates .* 'a', 'b', 'c' \.\.\.; expected the form dd/MM/yyyy"):
        parse_label_dates(["a", "b", "c", "d", "e"], "dd/MM/yyyy", "DATE_FIELD")
