"""The catalogues, against a real STAC API and recorded items."""

import datetime as dt
import json
import time

import pystac
import pytest
import shapely
from instageo_plugin.core.archive import catalog
from instageo_plugin.core.archive.catalog import Query, open_catalog
from instageo_plugin.core.contract.errors import InstaGeoError

GLOBE = shapely.box(-180, -90, 180, 90)
SENTINEL2 = ("sentinel-2-l2a",)


def query(collections=SENTINEL2, geometry=GLOBE, first="2019-01-01", last="2019-01-02"):
    return Query(collections, geometry, dt.date.fromisoformat(first), dt.date.fromisoformat(last))


def expected(recorded, wanted):
    found = (catalog.item_from_plain(plain) for name in wanted.collections for plain in recorded[name])
    return sorted((i for i in found if wanted.matches(i)), key=lambda i: (i.time, i.id))


def ids(items):
    return [item.id for item in items]


def test_a_search_finds_what_was_recorded_over_all_pages(stac_api, recorded, recorder, monkeypatch):
    monkeypatch.setattr(catalog, "PAGE", 5)
    found = open_catalog(stac_api).search(query(), recorder)
    assert ids(found) == ids(expected(recorded, query()))
    assert len(found) > 20


def test_place_and_time_limit_the_search(stac_api, recorded, recorder):
    wanted = query(geometry=shapely.box(27.4, -7.8, 27.6, -7.6), first="2020-07-01", last="2020-07-16")
    found = open_catalog(stac_api).search(wanted, recorder)
    assert ids(found) == ids(expected(recorded, wanted))
    assert found
    assert {item.tile for item in found} == {"35MNM"}


def test_items_without_projection_fields_are_found_too(stac_api, recorder):
    found = open_catalog(stac_api).search(query(("HLSS30_2.0",), first="2024-01-01", last="2024-12-31"), recorder)
    assert found
    assert not any(key.startswith("proj:") for item in found for key in item.properties)


def test_a_long_outline_is_simplified_for_the_server_and_applied_here(stac_api, recorded, recorder):
    ring = shapely.Point(171, 56).buffer(2, quad_segs=200)
    assert shapely.get_num_coordinates(ring) > 200
    wanted = query(geometry=ring)
    assert ids(open_catalog(stac_api).search(wanted, recorder)) == ids(expected(recorded, wanted))


def test_files_folders_and_static_catalogues_are_searched_alike(recorded, recorder, tmp_path):
    items = recorded["sentinel-2-l2a"]
    wanted = query()
    collected = tmp_path / "items.json"
    collected.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    folder = tmp_path / "folder"
    folder.mkdir()
    for item in items:
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    static = pystac.Catalog("static", "items at hand")
    static.add_items([pystac.Item.from_dict({**item, "links": []}) for item in items])
    for item in static.get_items():
        item.collection_id = "sentinel-2-l2a"
    static.normalize_and_save(str(tmp_path / "static"), pystac.CatalogType.SELF_CONTAINED)
    found = [
        ids(open_catalog(str(path)).search(wanted, recorder))
        for path in (collected, folder, tmp_path / "static" / "catalog.json")
    ]
    assert found == [ids(expected(recorded, wanted))] * 3


def test_damaged_items_are_left_out_and_named(recorded, recorder, tmp_path):
    items = [dict(item) for item in recorded["sentinel-2-l2a"]]
    items[0] = {**items[0], "geometry": None}
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    found = open_catalog(str(path)).search(query(first="2000-01-01", last="2030-01-01"), recorder)
    assert len(found) == len(items) - 1
    assert f"1 damaged items are left out, the first: item '{items[0]['id']}' lacks geometry" in recorder.said(
        "warning"
    )


def test_a_busy_server_is_asked_again_after_the_time_it_names(flaky, recorded, recorder):
    flaky.faults = [(429, {"Retry-After": "1"}), (500, {}), (503, {})]
    started = time.monotonic()
    found = open_catalog(flaky.url).search(query(), recorder)
    assert ids(found) == ids(expected(recorded, query()))
    assert time.monotonic() - started >= 1
    assert flaky.hits >= 4


@pytest.mark.parametrize(
    ("status", "message"), [(401, "wants a login"), (403, "AUTH"), (404, "not STAC"), (429, "429"), (500, "not answer")]
)
def test_a_server_that_goes_on_refusing_is_named_with_its_reason(flaky, status, message):
    flaky.faults = [(status, {})] * 3
    with pytest.raises(InstaGeoError, match=message) as raised:
        open_catalog(flaky.url, retries=1)
    assert flaky.url in str(raised.value)


def test_a_server_that_is_down():
    with pytest.raises(InstaGeoError, match=r"does not answer(.|\n)*proxy"):
        open_catalog("http://127.0.0.1:9", retries=0)


@pytest.mark.parametrize("content", ["<html></html>", "[]", '{"type": "Nothing"}'])
def test_what_is_no_catalogue(tmp_path, content):
    path = tmp_path / "catalog.json"
    path.write_text(content)
    with pytest.raises(InstaGeoError, match=r"not STAC|JSON"):
        open_catalog(str(path))


def test_an_empty_folder_and_a_wrong_name(tmp_path):
    with pytest.raises(InstaGeoError, match="holds no STAC items"):
        open_catalog(str(tmp_path))
    with pytest.raises(InstaGeoError, match="expected one, or planetary-computer, earth-search, lpcloud"):
        open_catalog("planetary")
