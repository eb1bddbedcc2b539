import datetime as dt

import pytest
import shapely
from instageo_plugin.core.archive.items import ArchiveItem
from instageo_plugin.core.archive.matching import Rule, match, sun_elevation

PLACE = (12.4, 51.3)
JUNE = dt.date(2022, 6, 8)


def item(day, cloud=0.0, name=None, hour=10, orbit="descending"):
    time = dt.datetime.fromisoformat(f"2022-{day}T{hour:02d}:20:31+00:00")
    properties = {"eo:cloud_cover": cloud, "sat:orbit_state": orbit}
    return ArchiveItem(name or f"{day}_{hour}", "c", time, shapely.box(12, 51, 13, 52), {}, properties)


def chosen(items, targets=(JUNE,), **rule):
    found = match(list(targets), items, Rule(**rule), PLACE)
    return [i.id if i else None for i in found.items] if not found.reason else (found.reason, found.detail)


def test_the_clearest_within_the_tolerance_wins_and_ties_go_to_the_earlier_then_to_the_id():
    assert chosen([item("06-13", 3), item("06-05", 4), item("06-14", 0), item("06-02", 0)]) == ["06-13_10"]
    assert chosen([item("06-09", 2), item("06-07", 2)]) == ["06-07_10"]
    assert chosen([item("06-07", 2, "b"), item("06-07", 2, "a")]) == ["a"]


def test_unknown_clouds_are_kept_and_come_last():
    assert chosen([item("06-07", None), item("06-10", 9)]) == ["06-10_10"]
    assert chosen([item("06-09", None), item("06-07", None)], max_cloud=0) == ["06-07_10"]


def test_nearest_goes_by_date_among_those_clear_enough():
    items = [item("06-08", 11), item("06-10", 9), item("06-06", 10)]
    assert chosen(items, selection="nearest") == ["06-06_10"]
    assert chosen(items, selection="nearest", max_cloud=20) == ["06-08_10"]


def test_a_scene_serves_one_target_only():
    targets = [dt.date(2022, 6, 1), dt.date(2022, 6, 6)]
    assert chosen([item("06-04"), item("06-02", 9)], targets, min_timesteps=2) == ["06-02_10", "06-04_10"]
    assert chosen([item("06-03")], targets) == ["06-03_10", None]


@pytest.mark.parametrize(
    ("items", "rule", "reason"),
    [
        ([], {}, "no scene in the window"),
        ([item("06-20")], {}, "no scene in the window"),
        ([item("06-08", 11)], {}, "too cloudy"),
        ([item("06-08", hour=23)], {"daytime": True}, "only scenes by night"),
        ([item("06-08")], {"orbit": "ascending"}, "no scene of the orbit direction"),
    ],
)
def test_every_miss_has_its_reason(items, rule, reason):
    assert chosen(items, **rule) == (reason, f"2022-06-08: {reason}")


def test_missing_steps_are_allowed_down_to_a_minimum():
    targets = [dt.date(2022, 4, 1), dt.date(2022, 5, 1), JUNE]
    items = [item("04-02"), item("06-07"), item("05-01", 80)]
    assert chosen(items, targets, min_timesteps=2) == ["04-02_10", None, "06-07_10"]
    assert chosen(items, targets, min_timesteps=3) == ("too few timesteps", "2022-05-01: too cloudy")


@pytest.mark.parametrize(
    ("time", "place", "elevation"),
    [  # ephemerides: solstice noon at Greenwich, equinox at the equator, polar night
        ("2022-06-21T12:02:00+00:00", (0.0, 51.48), 61.96),
        ("2022-03-20T12:07:00+00:00", (0.0, 0.0), 90.0),
        ("2022-12-21T12:00:00+00:00", (0.0, 75.0), -8.4),
        ("2022-06-21T00:02:00+00:00", (0.0, 51.48), -15.1),
    ],
)
def test_the_sun_stands_where_ephemerides_say(time, place, elevation):
    assert sun_elevation(dt.datetime.fromisoformat(time), *place) == pytest.approx(elevation, abs=0.7)
