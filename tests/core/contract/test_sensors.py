"""The sensor table against recorded items of the catalogues."""

import json

import pytest
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.sensors import (
    EARTH_SEARCH,
    LPCLOUD,
    PLANETARY_COMPUTER,
    SENSORS,
    parse_sensor_bands,
    sentinel2_offset,
)

RECORDED = [
    ("cmr_lpcloud_HLSS30_2.0.json", "hls", LPCLOUD, "HLSS30_2.0"),
    ("pc_sentinel-2-l2a_33.json", "sentinel2", PLANETARY_COMPUTER, "sentinel-2-l2a"),
    ("earthsearch_v1_sentinel-2-l2a.json", "sentinel2", EARTH_SEARCH, "sentinel-2-l2a"),
    ("earthsearch_v1_mixed_c1-l2a_l1c_s1grd.json", "sentinel2", EARTH_SEARCH, "sentinel-2-c1-l2a"),
]


def items(shared_data, file):
    return json.loads((shared_data / "stac" / file).read_text())["features"]


def one(properties, **asset):
    return sentinel2_offset(properties, asset)


@pytest.mark.parametrize(("file", "sensor", "catalog", "collection"), RECORDED)
def test_recorded_items_hold_every_asset_of_the_table(shared_data, file, sensor, catalog, collection):
    record = next(c for c in SENSORS[sensor].collections_of(catalog) if c.id == collection)
    found = [item for item in items(shared_data, file) if item["collection"] == collection]
    assert found
    for item in found:
        assert {*record.assets.values(), record.mask} <= set(item["assets"])


def test_hls_collections_of_planetary_computer_list_every_asset_of_the_table(shared_data):
    for record in SENSORS["hls"].collections_of(PLANETARY_COMPUTER):
        described = json.loads((shared_data / "stac" / f"pc_collection_{record.id}.json").read_text())["item_assets"]
        assert {*record.assets.values(), record.mask} <= set(described)
        for name, key in record.assets.items():  # the narrow infrared of Sentinel-2 has no common name there
            assert described[key]["eo:bands"][0].get("common_name") in (name, name.replace("nir08", "nir"), None)


def test_both_instruments_of_hls_give_the_same_bands():
    named = [set(collection.assets) for collection in SENSORS["hls"].collections]
    assert all(names == {band.name for band in SENSORS["hls"].bands} for names in named)


def test_every_record_is_whole():
    for name, sensor in SENSORS.items():
        assert sensor.name == name
        assert [band.name for band in sensor.resolve_bands(())] == list(sensor.default_bands)
        for collection in sensor.collections:
            assert set(collection.assets) <= {band.name for band in sensor.bands}
            assert bool(collection.mask) == bool(sensor.mask_decoder)


def test_bands_by_name_by_common_name_and_in_any_case():
    sentinel2 = SENSORS["sentinel2"]
    assert sentinel2.band("b8a").name == "B8A"
    assert sentinel2.band("nir").name == "B08"
    assert sentinel2.band("nir08").name == "B8A"
    assert sentinel2.band("B10") is None


def test_bands_are_read_by_sensor_in_the_order_given():
    found = parse_sensor_bands("sentinel2:B04,B03 sentinel1:vh", ("sentinel2", "sentinel1"))
    assert {name: [band.name for band in bands] for name, bands in found.items()} == {
        "sentinel2": ["B04", "B03"],
        "sentinel1": ["vh"],
    }
    assert [band.name for band in parse_sensor_bands("red,B8A", ("sentinel2",))["sentinel2"]] == ["B04", "B8A"]
    assert len(parse_sensor_bands("", ("hls",))["hls"]) == 6


def test_all_unknown_bands_are_reported_at_once():
    with pytest.raises(InstaGeoError, match=r"hls:red(.|\n)*no band B10, B99(.|\n)*no band xx"):
        parse_sensor_bands("hls:red sentinel2:B10,B99 sentinel1:xx", ("sentinel2", "sentinel1"))


@pytest.mark.parametrize(("baseline", "offset"), [("02.12", 0), ("03.01", 0), ("04.00", -1000), ("05.10", -1000)])
def test_the_processing_baseline_decides_the_offset(baseline, offset):
    assert one({"s2:processing_baseline": baseline}) == offset


def test_recorded_offsets(shared_data):
    for item in items(shared_data, "earthsearch_v1_mixed_c1-l2a_l1c_s1grd.json"):
        if item["collection"] == "sentinel-2-l2a":  # applied already, though raster:bands lists -0.1
            assert sentinel2_offset(item["properties"], item["assets"]["red"]) == 0
        if item["collection"] == "sentinel-2-c1-l2a":
            assert sentinel2_offset(item["properties"], item["assets"]["red"]) == -1000
    for item in items(shared_data, "pc_sentinel-2-l2a_33.json"):
        assert sentinel2_offset(item["properties"], item["assets"]["B04"]) == 0


def test_without_a_baseline_the_asset_tells_and_silence_is_an_error():
    described = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}
    assert one({}, **described) == -1000
    assert one({}, **{"raster:bands": [{"scale": 0.0001}]}) == 0
    with pytest.raises(InstaGeoError, match="neither its processing baseline nor an offset"):
        one({})
