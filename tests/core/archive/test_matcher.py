"""Which scenes of which sensors a place gets."""

import datetime as dt

import pytest
import shapely
from instageo_plugin.core.archive.items import ArchiveItem
from instageo_plugin.core.archive.matcher import Matcher, anchor_of
from instageo_plugin.core.archive.reading import MOSAIC, Input
from instageo_plugin.core.contract.jobs import ArchiveChoice
from instageo_plugin.core.contract.sensors import SENSORS

PLACE = (12.4, 51.3)
JUNE = (dt.date(2022, 6, 8),)
SERIES = (dt.date(2022, 4, 8), dt.date(2022, 5, 8), dt.date(2022, 6, 8))


def item(day, cloud=0.0, tile="33UUS", sensor="S2", hour=10, **properties):
    time = dt.datetime.fromisoformat(f"2022-{day}T{hour:02d}:20:31+00:00")
    name = f"{sensor}_T{tile}_{day}"
    return ArchiveItem(name, "c", time, shapely.box(12, 51, 13, 52), {}, {"eo:cloud_cover": cloud, **properties})


def dated(name, selection="cloud"):
    sensor = SENSORS[name]
    return Input(sensor, sensor.resolve_bands(()), 1, MOSAIC if sensor.static else selection)


def find(names, items, targets=JUNE, zone=None, **choice):
    inputs = [dated(name, choice.get("selection", "cloud")) for name in names]
    choice.setdefault("timesteps", len(targets))
    return Matcher(ArchiveChoice(**choice), inputs).find(targets, items, PLACE, zone)


def ids(found):
    return [[[one.id for one in step] for step in steps] for steps in found.series.steps]


@pytest.mark.parametrize(
    ("names", "anchor"),
    [(("hls", "sentinel2"), 1), (("sentinel2", "sentinel1"), 0), (("dem", "hls"), 1), (("weather", "landsat"), 1)],
)
def test_the_grid_is_that_of_the_finest_dated_sensor(names, anchor):
    assert anchor_of([dated(name) for name in names]) == anchor


def test_radar_follows_the_date_of_the_optical_scene_not_of_the_label():
    optical, radar = [item("06-12")], [item("06-08", None, sensor="S1"), item("06-13", None, sensor="S1")]
    assert ids(find(("sentinel2", "sentinel1"), [optical, radar])) == [[["S2_T33UUS_06-12"]], [["S1_T33UUS_06-13"]]]


def test_without_the_second_sensor_there_is_no_series_and_it_is_named():
    found = find(("sentinel2", "sentinel1"), [[item("06-08")], []])
    assert found.series is None
    assert found.detail.startswith("Sentinel-1 RTC: ")


def test_all_timesteps_come_from_one_tile_the_one_that_has_most():
    west = [item(day, 1, "32UQB") for day in ("04-08", "05-08")]
    east = [item(day, 9, "33UUS") for day in ("04-08", "05-08", "06-08")]
    found = find(("sentinel2",), [[*west, *east]], SERIES, min_timesteps=2)
    assert ids(found) == [[[f"S2_T33UUS_{day}"] for day in ("04-08", "05-08", "06-08")]]
    assert found.reference.id == "S2_T33UUS_06-08"


def test_among_tiles_that_have_all_the_clearer_is_taken_unless_the_zone_is_given():
    items = [[item("06-08", 8, "32UQB"), item("06-08", 2, "33UUS")]]
    assert find(("sentinel2",), items).reference.tile == "33UUS"
    assert find(("sentinel2",), items, zone="32UQB").reference.tile == "32UQB"
    assert find(("sentinel2",), items, zone="31UXX").reason == "no scene in the window"


def test_clearest_keeps_every_candidate_for_the_chip_to_judge():
    items = [[item("06-10", 80), item("06-06", 3), item("06-20")]]
    assert ids(find(("sentinel2",), items, selection="clearest")) == [[["S2_T33UUS_06-06", "S2_T33UUS_06-10"]]]


def test_elevation_is_all_its_tiles_and_weather_that_of_the_month():
    weather = [item("05-01", None, sensor="W"), item("06-01", None, sensor="W")]
    tiles = [item("01-01", None, sensor="D"), item("01-02", None, sensor="D")]
    found = find(("sentinel2", "dem", "weather"), [[item("06-08")], tiles, weather])
    assert ids(found)[1:] == [[["D_T33UUS_01-01", "D_T33UUS_01-02"]], [["W_T33UUS_06-01"]]]


def test_labels_with_the_same_scenes_share_one_series():
    inputs = [dated("sentinel2")]
    matcher = Matcher(ArchiveChoice(), inputs)
    first, second = item("06-08"), item("06-30")
    one = matcher.find(JUNE, [[first, second]], PLACE)
    other = matcher.find((dt.date(2022, 6, 9),), [[first]], (12.9, 51.9))
    assert one.series is other.series
