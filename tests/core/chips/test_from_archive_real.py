"""Chips from recorded items of real catalogues, and from real scenes."""

import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from instageo_plugin.core.contract.jobs import ArchiveChoice
from rasterio.windows import from_bounds

SIDE = 256  # pixels of the files that stand for whole tiles


def utm_of(longitude, latitude):
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + int((longitude + 180) // 6) + 1}"


@pytest.fixture
def stand_in(archive):
    """Gives a recorded item files around a place inside its footprint, and the place."""

    def replace(item, keys, resolution, **fields):
        place = shapely.geometry.shape(item["geometry"]).representative_point()
        crs = utm_of(place.x, place.y)
        x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(place.x, place.y)
        step = 60
        corner = (np.floor(x / step) * step - 128 * resolution, np.floor(y / step) * step + 128 * resolution)
        fixed = {"crs": crs, "corner": corner, "resolution": resolution, "size": SIDE, **fields}
        made = archive.add(item["id"], item["collection"], item["properties"]["datetime"], keys, **fixed)
        copy = json.loads(json.dumps(item))
        for key, asset in made["assets"].items():
            copy["assets"][key] = {**copy["assets"][key], "href": asset["href"]}
        archive.items[-1] = copy
        return place, crs, (x, y)

    return replace


def recorded(shared_data, name):
    return json.loads((shared_data / "stac" / name).read_text())["features"]


def lonely(items):
    """Items apart from each other, since their files cover only a part of their footprints."""
    kept = []
    for item in items:
        outline = shapely.geometry.shape(item["geometry"])
        if not any(outline.intersects(other) for _, other in kept):
            kept.append((item, outline))
    return [item for item, _ in kept]


CATALOGUES = {
    "LPCLOUD, without proj fields": (
        "cmr_lpcloud_HLSS30_2.0.json", "hls", ["B02", "B8A"], 30, "blue,nir08", -9999, "int16"),
    "Planetary Computer": (
        "pc_sentinel-2-l2a_33.json", "sentinel2", {"B02": 1, "B11": 2}, 10, "B02,B11", 0, "uint16"),
    "Earth Search, some without proj:epsg": (
        "earthsearch_v1_sentinel-2-l2a.json", "sentinel2", {"blue": 1, "swir16": 2}, 10, "B02,B11", 0, "uint16"),
}  # fmt: skip


@pytest.mark.parametrize("case", CATALOGUES.values(), ids=CATALOGUES)
def test_recorded_items_of_each_catalogue(
    case, shared_data, stand_in, archive, make, write_vector, coded_at, serve_stac
):
    name, sensor, keys, resolution, bands, nodata, dtype = case
    items = lonely(recorded(shared_data, name))[:6]
    places = [stand_in(item, keys, resolution, nodata=nodata, dtype=dtype) for item in items]
    points = [shapely.Point(place.x, place.y) for place, _, _ in places]
    dates = [item["properties"]["datetime"][:10] for item in items]
    labels = write_vector("p.gpkg", points, crs="EPSG:4326", kind=np.arange(len(points)), seen=np.array(dates, object))
    choice = ArchiveChoice(catalog=serve_stac(archive.items), tolerance_days=0, max_cloud=100.0, selection="nearest")
    made = make(source="stac", sensors=(sensor,), bands=bands, archive=choice, labels=labels, class_field="kind",
                date_field="seen", chip_size=32)  # fmt: skip
    assert made.skipped == []
    assert len(made.dataset.chips) >= 1
    labelled = {value for chip in made.dataset.chips for value in chip.class_counts}
    assert labelled == set(range(len(points)))
    for chip in made.dataset.chips:
        with rasterio.open(made.folder / chip.images[sensor]) as raster:
            values = raster.read(1).astype(int)
        date = np.datetime64(chip.dates[sensor][0])
        day = int((date - date.astype("datetime64[Y]")).astype(int)) + 1
        offset = np.unique(values - coded_at(Affine(*chip.transform), 32, 32, 0, day))
        assert len(offset) == 1
        assert offset[0] in (0, -1000)


def test_real_radar_scenes_of_a_local_folder(shared_data, make, write_vector, tmp_path):
    files = sorted((shared_data / "s1rtc").glob("*_VV_*.tif"))
    for path in files:
        when = path.name.split("_")[4]
        with rasterio.open(path) as raster:
            corners = rasterio.warp.transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
            bounds, crs = raster.bounds, raster.crs
        time = f"{when[:4]}-{when[4:6]}-{when[6:8]}T{when[9:11]}:{when[11:13]}:{when[13:15]}Z"
        assets = {"vv": {"href": str(path)}, "vh": {"href": str(path).replace("_VV_", "_VH_")}}
        item = {"type": "Feature", "stac_version": "1.0.0", "id": path.stem, "collection": "sentinel-1-rtc",
                "geometry": shapely.geometry.mapping(shapely.box(*corners)), "properties": {"datetime": time},
                "assets": assets, "links": []}  # fmt: skip
        (tmp_path / "items").mkdir(exist_ok=True)
        (tmp_path / "items" / f"{path.stem}.json").write_text(json.dumps(item))
    middle = shapely.Point((bounds.left + bounds.right) / 2, (bounds.top + bounds.bottom) / 2)
    labels = write_vector("p.gpkg", [middle], crs=crs.to_wkt(), kind=[1])
    choice = ArchiveChoice(catalog=str(tmp_path / "items"), timesteps=3, step=12, tolerance_days=3)
    made = make(source="stac", sensors=("sentinel1",), archive=choice, labels=labels, class_field="kind",
                date="2024-03-11", chip_size=50)  # fmt: skip
    [chip] = made.dataset.chips
    assert chip.dates == {"sentinel1": ["2024-02-16", "2024-02-28", "2024-03-11"]}
    with rasterio.open(made.folder / chip.images["sentinel1"]) as raster:
        found, place = raster.read(), raster.bounds
    expected = []
    for date in ("20240216", "20240228", "20240311"):
        for kind in ("VV", "VH"):
            [path] = (shared_data / "s1rtc").glob(f"*_{date}T*_{kind}_*.tif")
            with rasterio.open(path) as raster:
                expected.append(raster.read(1, window=from_bounds(*place, raster.transform)))
    assert found.shape == (6, 50, 50)
    assert np.array_equal(found, np.stack(expected), equal_nan=True)


def test_real_landsat_scenes_that_share_no_grid(shared_data, make, write_vector, tmp_path):
    names = {"blue": "B2", "green": "B3", "red": "B4", "nir08": "B5", "swir16": "B6", "swir22": "B7", "qa_pixel": "BQA"}
    folders = sorted(path for path in (shared_data / "ny18" / "L8NY18").iterdir() if path.is_dir())
    items = []
    for folder in folders:
        stem = "_".join(folder.name.split("_")[i] for i in (0, 1, 2, 3))
        files = {key: next(folder.glob(f"*_{code}.TIF")) for key, code in names.items()}
        with rasterio.open(files["blue"]) as raster:
            west, south, east, north = rasterio.warp.transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
        day = folder.name.split("_")[3]
        items.append({
            "type": "Feature", "stac_version": "1.0.0", "id": stem, "collection": "landsat-c2-l2",
            "geometry": shapely.geometry.mapping(shapely.box(west, south, east, north)), "links": [],
            "properties": {"datetime": f"{day[:4]}-{day[4:6]}-{day[6:]}T15:40:00Z", "proj:epsg": 32618},
            "assets": {key: {"href": str(path)} for key, path in files.items()},
        })  # fmt: skip
    catalog = tmp_path / "items.json"
    catalog.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    place = shapely.Point(-74.2, 41.0)  # where paths 13 and 14 overlap
    labels = write_vector("p.gpkg", [place], crs="EPSG:4326", kind=[1])
    choice = ArchiveChoice(catalog=str(catalog), timesteps=2, step=7, tolerance_days=3, max_cloud=100.0)
    made = make(source="stac", sensors=("landsat",), bands="blue", archive=choice, labels=labels, class_field="kind",
                date="2018-09-03", chip_size=8)  # fmt: skip
    [chip] = made.dataset.chips
    used = {source["time"][:10]: Path(source["assets"]["blue"]) for source in made.spec["sources"]}
    assert sorted(used) == chip.dates["landsat"]
    with rasterio.open(made.folder / chip.images["landsat"]) as raster:
        for band, date in enumerate(chip.dates["landsat"], 1):
            with rasterio.open(used[date]) as scene:
                grid = rasterio.vrt.WarpedVRT(scene, crs=raster.crs, transform=raster.transform, width=8, height=8)
                own = grid.read(1).astype(float)
                grid.close()
            found = raster.read(band)
            expected = np.clip(np.rint(own * 0.275 - 2000), -9998, 32767)
            assert ((found == expected) | (own == 0)).all()
