import json

import pytest
from instageo_plugin.core.archive.items import item_from_plain

TILES = {
    "cmr_lpcloud_HLSS30_2.0.json": "36NXF",
    "pc_sentinel-2-l2a_33.json": "60VUK",
    "earthsearch_v1_sentinel-2-l2a.json": "36MXE",
    "earthsearch_v1_sentinel-2-l2a_31UDQ.json": "31UDQ",
    "pc_sentinel-1-rtc.json": "",
}


@pytest.mark.parametrize("file", TILES)
def test_recorded_items_are_read(shared_data, file):
    items = [item_from_plain(plain) for plain in json.loads((shared_data / "stac" / file).read_text())["features"]]
    assert items[0].tile == TILES[file]
    assert all(item.time.utcoffset().total_seconds() == 0 for item in items)
    assert all(item.footprint.is_valid and item.footprint.area > 0 for item in items)
    radar = file == "pc_sentinel-1-rtc.json"
    assert all((item.cloud_cover is None) == radar for item in items)
    assert all(bool(item.orbit) for item in items) or not radar


def test_landsat_tiles_are_path_and_row(shared_data):
    plain = json.loads((shared_data / "stac" / "pc_sentinel-2-l2a_33.json").read_text())["features"][0]
    plain["properties"].update({"landsat:wrs_path": "14", "landsat:wrs_row": 32})
    assert item_from_plain(plain).tile == "014032"


@pytest.mark.parametrize("lacking", ["geometry", "assets", "id"])
def test_an_item_that_is_not_whole_says_what_it_lacks(shared_data, lacking):
    plain = json.loads((shared_data / "stac" / "pc_sentinel-2-l2a_33.json").read_text())["features"][0]
    plain.pop(lacking)
    with pytest.raises(ValueError, match=f"lacks {lacking}"):
        item_from_plain(plain)
