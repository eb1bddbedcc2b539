"""Chips from an archive, over real HTTP: is every pixel from the right place, date, band and scene?"""

import json
from dataclasses import replace

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from affine import Affine
from instageo_plugin.core.archive import access
from instageo_plugin.core.archive import catalog as catalog_module
from instageo_plugin.core.archive.access import Patience
from instageo_plugin.core.chips import archive_chips
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import ArchiveChoice
from pyproj import Transformer

L30 = ("B02", "B03", "B04", "B05", "B06", "B07")
S30 = ("B02", "B03", "B04", "B8A", "B11", "B12")
CORNER = (500_010, 5_700_000)


@pytest.fixture
def catalog(archive, tmp_path):
    """The path of a file of the archive's items."""

    def write():
        path = tmp_path / "items.json"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": archive.items}))
        return str(path)

    return write


@pytest.fixture
def from_archive(make, write_vector, catalog):
    """Makes chips for points at (column, row) of the first scene, and gives what came about."""

    def run(places, dates, *, choice=None, crs="EPSG:32633", corner=CORNER, resolution=30, **fields):
        points = [
            shapely.Point(corner[0] + (column + 0.5) * resolution, corner[1] - (row + 0.5) * resolution)
            for column, row in places
        ]
        kinds, seen = np.arange(len(points)) % 2, np.array(dates, object)
        labels = write_vector("points.gpkg", points, crs=crs, kind=kinds, seen=seen)
        chosen = ArchiveChoice(**{"catalog": catalog(), **(choice or {})})
        job = {"source": "stac", "sensors": ("hls",), "archive": chosen, "date_field": "seen", "chip_size": 64}
        return make(**{**job, "labels": labels, "class_field": "kind", **fields})

    return run


@pytest.fixture
def hls(archive):
    """Writes one HLS scene; gives its item."""

    def write(day, tile="33UVP", kind="S30", **fields):
        name = f"HLS.{kind}.T{tile}.{day}"
        bands = S30 if kind == "S30" else L30
        fixed = {"nodata": -9999, "proj": False, **fields}
        return archive.add(name, f"HLS{kind}_2.0", f"{day}T10:20:31Z", bands, **fixed)

    return write


def pixels_of(made, chip, sensor="hls"):
    with rasterio.open(made.folder / chip.images[sensor]) as raster:
        return raster.read(), raster.descriptions, raster.nodata


def test_every_pixel_is_from_its_place_band_and_date(hls, from_archive, coded_at):
    for day in ("2022-05-02", "2022-04-02", "2022-03-03"):
        hls(day)
    choice = {"timesteps": 3, "month_start": True, "offset_days": 30}
    made = from_archive([(70, 40), (300, 500)], ["2022-06-08"] * 2, choice=choice)
    assert len(made.dataset.chips) == 2
    for chip in made.dataset.chips:
        pixels, names, nodata = pixels_of(made, chip)
        assert chip.dates == {"hls": ["2022-03-03", "2022-04-02", "2022-05-02"]}
        assert names[:7] == ("blue 2022-03-03", "green 2022-03-03", "red 2022-03-03", "nir08 2022-03-03",
                             "swir16 2022-03-03", "swir22 2022-03-03", "blue 2022-04-02")  # fmt: skip
        assert (pixels.dtype, nodata) == ("int16", -9999)
        expected = [coded_at(Affine(*chip.transform), 64, 64, band, day) for day in (62, 92, 122) for band in range(6)]
        assert (pixels == np.stack(expected)).all()
        assert (chip.transform[2] - CORNER[0]) % (64 * 30) == 0
        assert chip.group == "33UVP"
        assert chip.valid == 100


def test_each_block_is_fetched_once_and_a_second_run_reads_nothing(hls, from_archive, server):
    hls("2022-06-05")
    hls("2022-06-20")
    places = [(c, r) for c in (40, 70, 130, 200) for r in (60, 68, 300)]
    made = from_archive(places, ["2022-06-08", "2022-06-19"] * 6)
    asked = {}
    for path, first, last in server.requests:
        if first:  # a header may be read twice: once for the grid, once with the pixels
            asked.setdefault(path, []).append((first, last + 1))
    assert len(asked) == 12
    for spans in asked.values():
        ordered = sorted(spans)
        assert all(end <= start for (_, end), (start, _) in zip(ordered, ordered[1:]))
    server.requests.clear()
    again = from_archive(places, ["2022-06-08", "2022-06-19"] * 6)
    assert server.requests == []
    assert again.outputs == made.outputs


def test_landsat_and_sentinel_scenes_of_one_date_are_both_there_and_the_clearer_is_taken(hls, from_archive, coded_at):
    hls("2022-06-05", kind="L30", cloud=3.0)
    hls("2022-06-05", kind="S30", cloud=5.0)
    [chip] = from_archive([(70, 40)], ["2022-06-08"]).dataset.chips
    assert [s["item"] for s in from_archive([(70, 40)], ["2022-06-08"]).spec["sources"]] == [
        "HLS.L30.T33UVP.2022-06-05"
    ]
    assert chip.dates == {"hls": ["2022-06-05"]}


def test_chips_keep_the_zone_of_their_own_imagery(hls, from_archive, coded_at):
    west, east = (800_010, 5_700_000), (199_980, 5_700_000)  # both at the border of zones 32 and 33
    hls("2022-06-05", tile="32UQC", crs="EPSG:32632", corner=west)
    hls("2022-06-06", tile="33UTS", crs="EPSG:32633", corner=east, cloud=1.0)
    made = from_archive([(200, 100), (2000, 100)], ["2022-06-08"] * 2, crs="EPSG:32632", corner=west)
    found = {chip.crs: chip for chip in made.dataset.chips}
    for crs, day in (("EPSG:32632", 156), ("EPSG:32633", 157)):
        if crs in found:
            pixels, _, _ = pixels_of(made, found[crs])
            assert (pixels[0] == coded_at(Affine(*found[crs].transform), 64, 64, 0, day)).all()
    assert "EPSG:32632" in found


def test_every_label_without_a_chip_has_a_reason(hls, from_archive):
    hls("2022-06-05", cloud=50.0)
    hls("2022-08-05", cloud=5.0)
    places = [(70, 40), (70, 41), (300, 300), (600, 40), (100, 100)]
    made = from_archive(places, ["2022-06-08", "2022-01-01", "2022-08-08", "2022-08-08", None])
    assert len(made.dataset.chips) == 1
    assert sorted(reason for reason, _ in made.skipped) == [
        "no date", "no scene in the window", "outside the footprint of every scene", "too cloudy",
    ]  # fmt: skip
    assert made.outputs["SKIPPED_COUNT"] == 4


def test_the_report_lists_scenes_reasons_and_dates(hls, from_archive, tmp_path):
    hls("2022-06-05", cloud=3.25)
    report = tmp_path / "report.html"
    made = from_archive([(70, 40), (70, 200)], ["2022-06-08", "2021-06-08"], report=str(report))
    page = report.read_text()
    assert made.outputs["REPORT"] == str(report)
    for text in ("HLS.S30.T33UVP.2022-06-05", "2022-06-05T10:20", "3.2", "33UVP", "no scene in the window"):
        assert text in page


def test_no_imagery_at_all_names_the_nearest_dates(hls, from_archive, tmp_path):
    hls("2022-08-05")
    with pytest.raises(InstaGeoError, match=r"no imagery(.|\n)*nearest dates with imagery are 2022-08-05"):
        from_archive([(70, 40)], ["2022-06-08"])
    assert not list(tmp_path.glob("chips*"))


def test_masks_hide_pixels_and_clear_tells_how_many(hls, from_archive):
    clouds = np.zeros((512, 512), np.uint8)
    clouds[:, :96] = 2  # bit 1: cloud
    hls("2022-06-05", mask=("Fmask", clouds))
    made = from_archive([(70, 40), (300, 300)], ["2022-06-08"] * 2, choice={"masks": ("cloud", "shadow")})
    first, second = made.dataset.chips
    pixels, _, _ = pixels_of(made, first)
    assert (pixels[:, :, :32] == -9999).all()
    assert (pixels[:, :, 32:] != -9999).all()
    assert (first.clear, second.clear) == (50, 100)


def test_clearest_judges_the_chips_own_pixels_not_the_scene(hls, from_archive):
    left, right = np.zeros((512, 512), np.uint8), np.zeros((512, 512), np.uint8)
    left[:, :256], right[:, 256:] = 2, 2
    hls("2022-06-05", mask=("Fmask", left), cloud=90.0)
    hls("2022-06-10", mask=("Fmask", right), cloud=10.0)
    made = from_archive([(70, 40), (300, 300)], ["2022-06-08"] * 2, choice={"selection": "clearest"})
    assert {chip.dates["hls"][0] for chip in made.dataset.chips} == {"2022-06-05", "2022-06-10"}
    assert [chip.dates["hls"] for chip in made.dataset.chips] == [["2022-06-10"], ["2022-06-05"]]


def test_median_takes_each_pixels_middle_over_the_clear_items(hls, from_archive):
    clouds = np.zeros((512, 512), np.uint8)
    clouds[:, 80:] = 2
    for day, value, mask in (("2022-06-05", 100, None), ("2022-06-07", 203, None), ("2022-06-09", 900, clouds)):
        fields = {band: np.full((512, 512), value, np.int16) for band in S30}
        hls(day, mask=("Fmask", np.zeros((512, 512), np.uint8) if mask is None else mask), assets=fields)
    made = from_archive([(70, 40)], ["2022-06-08"], choice={"selection": "median"})
    [chip] = made.dataset.chips
    pixels, _, _ = pixels_of(made, chip)
    assert chip.dates == {"hls": ["2022-06-08"]}
    assert (pixels[:, :, : 80 - 64] == 203).all()
    assert (pixels[:, :, 80 - 64 :] == 152).all()  # half of 303 away from zero


def test_a_broken_run_ends_like_an_unbroken_one(hls, from_archive, server, recorder, tmp_path):
    hls("2022-06-05")
    places = [(c, r) for c in range(40, 500, 60) for r in range(40, 500, 90)]
    dates = ["2022-06-08"] * len(places)
    whole = from_archive(places, dates, output=str(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        from_archive(places, dates, reporter=recorder(stop_after=70))
    assert (tmp_path / "chips.part").is_dir()
    hls("2022-06-08")  # it came into the archive in between
    made = from_archive(places, dates)
    assert "Going on with a broken run" in "\n".join(made.recorder.lines)
    names = sorted(p.relative_to(whole.folder) for p in whole.folder.rglob("*.tif"))
    assert names == sorted(p.relative_to(made.folder) for p in made.folder.rglob("*.tif"))
    assert all((whole.folder / name).read_bytes() == (made.folder / name).read_bytes() for name in names)
    assert [replace(chip) for chip in whole.dataset.chips] == list(made.dataset.chips)
    assert sorted(p.name for p in made.folder.iterdir()) == ["chips.gpkg", "dataset.json", "images", "labels"]


@pytest.fixture
def quick(monkeypatch):
    """Waits between tries are short."""
    monkeypatch.setattr(archive_chips, "PATIENCE", Patience(tries=4, wait_s=0.01, timeout_s=(2.0, 1.0)))


FAULTS = {
    "too many requests": {"status": 429, "headers": {"Retry-After": "0"}},
    "an error": {"status": 500},
    "a cut connection": {"cut": 1000},
    "no answer": {"delay_s": 1.5},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_server_that_stumbles_gives_the_same_bytes(hls, from_archive, server, quick, fault, tmp_path):
    hls("2022-06-05")
    places = [(70, 40), (300, 300)]
    whole = from_archive(places, ["2022-06-08"] * 2, output=str(tmp_path / "whole"))
    seen = set()

    def once(path, first):
        if "B03" not in path or (path, first) in seen:
            return None
        seen.add((path, first))
        return fault

    server.fault = once
    made = from_archive(places, ["2022-06-08"] * 2)
    assert seen
    for one, other in zip(whole.dataset.chips, made.dataset.chips):
        assert (pixels_of(whole, one)[0] == pixels_of(made, other)[0]).all()


def test_a_file_that_stays_unreadable_is_a_named_skip_and_the_rest_is_made(hls, from_archive, server, quick):
    hls("2022-06-05")
    hls("2022-06-20")
    server.fault = lambda path, first: {"status": 500} if "2022-06-20/B11" in path else None
    made = from_archive([(70, 40), (300, 300)], ["2022-06-08", "2022-06-19"])
    assert [chip.dates["hls"] for chip in made.dataset.chips] == [["2022-06-05"]]
    assert made.skipped == [("imagery could not be read", 1)]
    assert "B11.tif: the server answers 500" in details(made)[0]


def details(made):
    meta, _, _, values = pyogrio.raw.read(made.folder / "chips.gpkg", layer="skipped")
    return dict(zip(meta["fields"], values))["detail"].tolist()


def test_an_archive_that_wants_a_login_says_so_and_the_run_can_go_on(hls, from_archive, server, quick, tmp_path):
    hls("2022-06-05")
    server.fault = lambda path, first: {"status": 401} if "B12" in path else None
    with pytest.raises(InstaGeoError, match=r"wants a login \(401\)(.|\n)*AUTH"):
        from_archive([(70, 40)], ["2022-06-08"])
    server.fault = lambda path, first: None
    assert len(from_archive([(70, 40)], ["2022-06-08"]).dataset.chips) == 1


def test_an_archive_that_is_gone_ends_the_run(hls, from_archive, server, quick, monkeypatch):
    monkeypatch.setattr(access, "_HOPELESS", 3)  # of six that fail; one that is read comes in between
    hls("2022-06-05")
    server.fault = lambda path, first: None if "B02" in path and not first else {"status": 503}
    with pytest.raises(InstaGeoError, match="3 files in a row could not be read"):
        from_archive([(70, 40), (300, 300)], ["2022-06-08"] * 2)


@pytest.fixture
def sentinel2(archive):
    """Writes one Sentinel-2 scene with bands of 10 and 20 m."""

    def write(day, baseline="04.00", catalog="pc", **fields):
        keys = {"B02": 1, "B04": 1, "B11": 2} if catalog == "pc" else {"blue": 1, "red": 1, "swir16": 2}
        name = f"S2A_MSIL2A_{day.replace('-', '')}T101031_R022_T33UVP_{baseline}"
        fixed = {"resolution": 10, "nodata": 0, "dtype": "uint16", "size": 1024, **fields}
        return archive.add(name, "sentinel-2-l2a", f"{day}T10:10:31Z", keys, **fixed,
                           **{"s2:processing_baseline": baseline, "s2:mgrs_tile": "33UVP"})  # fmt: skip

    return write


def test_sentinel_2_shares_the_finer_grid_and_one_scale_before_and_after_baseline_4(sentinel2, from_archive, coded_at):
    sentinel2("2022-01-15", "03.01")
    sentinel2("2022-02-15", "04.00")
    choice = {"timesteps": 2, "step_unit": "month", "step": 1}
    made = from_archive(
        [(71, 41)], ["2022-02-15"], choice=choice, bands="sentinel2:B02,B11", sensors=("sentinel2",), resolution=10
    )
    [chip] = made.dataset.chips
    pixels, names, _ = pixels_of(made, chip, "sentinel2")
    assert names == ("B02 2022-01-15", "B11 2022-01-15", "B02 2022-02-15", "B11 2022-02-15")
    fine = Affine(*chip.transform)
    coarse = Affine(20, 0, fine.c, 0, -20, fine.f)
    for index, (day, offset) in enumerate(((15, 0), (46, -1000))):
        assert (pixels[2 * index] == coded_at(fine, 64, 64, 0, day) + offset).all()
        repeated = coded_at(coarse, 32, 32, 2, day).repeat(2, 0).repeat(2, 1)
        assert (pixels[2 * index + 1] == repeated + offset).all()


def test_negative_reflectance_survives_and_no_data_is_not_zero(sentinel2, from_archive):
    dark = np.full((1024, 1024), 950, np.uint16)
    dark[:, :100] = 0
    sentinel2("2022-02-15", "04.00", assets={"B02": dark})
    made = from_archive([(80, 41)], ["2022-02-15"], bands="B02", sensors=("sentinel2",), resolution=10)
    pixels, _, nodata = pixels_of(made, made.dataset.chips[0], "sentinel2")
    assert (pixels[:, :, : 100 - 64] == nodata).all()
    assert (pixels[:, :, 100 - 64 :] == -50).all()


def test_earth_search_scenes_whose_offset_is_applied_are_left_as_they_are(sentinel2, archive, from_archive, coded_at):
    item = sentinel2("2022-02-15", "04.00", catalog="es")
    item["properties"]["earthsearch:boa_offset_applied"] = True
    for asset in item["assets"].values():
        asset["raster:bands"] = [{"scale": 0.0001, "offset": -0.1}]
    made = from_archive([(80, 41)], ["2022-02-15"], bands="B02", sensors=("sentinel2",), resolution=10)
    [chip] = made.dataset.chips
    assert (pixels_of(made, chip, "sentinel2")[0][0] == coded_at(Affine(*chip.transform), 64, 64, 0, 46)).all()


@pytest.fixture
def radar(archive):
    """Writes one Sentinel-1 scene of linear power, its left 80 columns without data."""

    def write(day, **fields):
        power = np.full((1024, 1024), 0.25, np.float32)
        power[:, :80] = -32768
        pixels = {"vv": power, "vh": np.where(power > 0, power / 2, power).astype(np.float32)}
        fixed = {"resolution": 10, "size": 1024, "cloud": None, "assets": pixels, "nodata": -32768, **fields}
        return archive.add(f"S1A_{day}", "sentinel-1-rtc", f"{day}T05:10:31Z", ["vv", "vh"], **fixed,
                           **{"sat:orbit_state": "descending"})  # fmt: skip

    return write


def test_radar_is_matched_with_the_optical_scene_by_date(sentinel2, radar, from_archive):
    sentinel2("2022-02-12")
    for day in ("2022-02-08", "2022-02-13", "2022-02-15"):
        radar(day)
    made = from_archive(
        [(80, 41)], ["2022-02-15"], bands="sentinel2:B02 sentinel1:vv,vh", sensors=("sentinel2", "sentinel1"),
        resolution=10,
    )  # fmt: skip
    [chip] = made.dataset.chips
    assert chip.dates == {"sentinel2": ["2022-02-12"], "sentinel1": ["2022-02-13"]}
    power, names, nodata = pixels_of(made, chip, "sentinel1")
    assert (power.dtype, names) == ("float32", ("vv 2022-02-13", "vh 2022-02-13"))
    assert np.isnan(nodata)
    assert np.isnan(power[:, :, :16]).all()
    assert (power[:, :, 16:] == np.array([0.25, 0.125])[:, None, None]).all()
    spec = {one["sensor"]: one for one in made.spec["inputs"]}
    assert (spec["sentinel1"]["units"], spec["sentinel1"]["nodata"]) == ("linear power", "nan")
    assert chip.valid == 75


def test_only_passes_of_the_orbit_asked_for(radar, from_archive):
    radar("2022-02-15")
    choice = {"orbit": "ascending"}
    with pytest.raises(InstaGeoError, match="no scene of the orbit direction"):
        from_archive([(80, 41)], ["2022-02-15"], sensors=("sentinel1",), choice=choice, resolution=10)


def test_elevation_is_one_undated_mosaic_and_weather_that_of_the_month(sentinel2, archive, from_archive):
    sentinel2("2022-02-15")
    for number, west in enumerate((15, 16)):
        heights = np.full((200, 200), 100.0 + number, np.float32)
        archive.add(f"dem_{west}", "cop-dem-glo-30", "2021-04-22T00:00:00Z", ["data"], assets={"data": heights},
                    crs="EPSG:4326", corner=(west, 52), resolution=0.005, size=200, cloud=None)  # fmt: skip
    for month, degrees in (("01", -3.0), ("02", 4.0)):
        fields = {name: np.full((100, 100), degrees, np.float32) for name in ("tavg", "prcp", "tmin", "tmax")}
        archive.add(f"nclimgrid-2022{month}", "noaa-nclimgrid-monthly", f"2022-{month}-01T00:00:00Z", list(fields),
                    assets=fields, crs="EPSG:4326", corner=(14, 52), resolution=0.04, size=100, cloud=None)  # fmt: skip
    made = from_archive(
        [(80, 41)], ["2022-02-15"], bands="sentinel2:B02", sensors=("sentinel2", "dem", "weather"), resolution=10
    )
    [chip] = made.dataset.chips
    assert chip.dates == {"sentinel2": ["2022-02-15"], "dem": [], "weather": ["2022-02-01"]}
    heights, names, _ = pixels_of(made, chip, "dem")
    assert (names, heights.dtype) == (("elevation",), "float32")
    assert set(np.unique(heights)) <= {100.0, 101.0}
    weather, names, _ = pixels_of(made, chip, "weather")
    assert names == ("tavg 2022-02-01", "prcp 2022-02-01")
    assert (weather == 4.0).all()
    assert [one["timesteps"] for one in made.spec["inputs"]] == [1, 1, 1]


def polygon(left, top, right, bottom, resolution=30):
    x, y = CORNER
    return shapely.box(x + left * resolution, y - bottom * resolution, x + right * resolution, y - top * resolution)


@pytest.fixture
def polygons(make, write_vector, catalog):
    """Makes chips for polygons of pixels of the first scene."""

    def run(shapes, dates, **fields):
        places = write_vector("fields.gpkg", shapes, crs="EPSG:32633", kind=np.arange(len(shapes)),
                              seen=np.array(dates, object))  # fmt: skip
        job = {"source": "stac", "sensors": ("hls",), "archive": ArchiveChoice(catalog=catalog()), "chip_size": 64}
        return make(**{**job, "labels": places, "class_field": "kind", "date_field": "seen", **fields})

    return run


def test_polygons_across_tiles_get_chips_of_both_and_every_pixel_its_class(hls, polygons, coded_at):
    hls("2022-06-05")
    hls("2022-06-05", tile="33UWP", corner=(CORNER[0] + 480 * 30, CORNER[1]))  # 32 pixels of overlap
    made = polygons([polygon(450, 100, 600, 150), polygon(10, 10, 20, 20)], ["2022-06-08"] * 2)
    groups = {chip.group for chip in made.dataset.chips}
    assert groups == {"33UVP", "33UWP"}
    labelled = sum(chip.class_counts.get(0, 0) for chip in made.dataset.chips)
    assert labelled >= 150 * 50
    for chip in made.dataset.chips:
        assert (pixels_of(made, chip)[0][0] == coded_at(Affine(*chip.transform), 64, 64, 0, 156)).all()
    assert made.skipped == []


def test_polygons_of_other_dates_get_other_chips(hls, polygons):
    hls("2022-06-05")
    hls("2022-07-05")
    made = polygons([polygon(10, 10, 20, 20), polygon(30, 10, 40, 20)], ["2022-06-08", "2022-07-08"])
    found = {(chip.dates["hls"][0], tuple(chip.class_counts)) for chip in made.dataset.chips}
    assert found == {("2022-06-05", (0,)), ("2022-07-05", (1,))}


def test_points_among_polygons_get_their_chips_too(hls, polygons):
    hls("2022-06-05")
    point = polygon(300, 300, 301, 301).centroid
    made = polygons([polygon(10, 10, 20, 20), point], ["2022-06-08"] * 2)
    assert sorted(tuple(chip.class_counts.items()) for chip in made.dataset.chips) == [((0, 100),), ((1, 1),)]


def test_an_area_without_labels_gets_chips_for_prediction(hls, make, write_vector, catalog):
    hls("2022-06-05")
    area = write_vector("area.gpkg", [polygon(100, 100, 200, 130)], crs="EPSG:32633", n=[1])
    made = make(source="stac", sensors=("hls",), archive=ArchiveChoice(catalog=catalog()), area=area, date="2022-06-08",
                placement="dense", chip_size=64)  # fmt: skip
    assert len(made.dataset.chips) == 6
    assert not any(chip.label_path for chip in made.dataset.chips)


def test_an_area_without_imagery_names_the_nearest_dates(hls, make, write_vector, catalog, tmp_path):
    hls("2022-08-05")
    area = write_vector("area.gpkg", [polygon(100, 100, 200, 130)], crs="EPSG:32633", n=[1])
    with pytest.raises(InstaGeoError, match=r"no imagery(.|\n)*nearest dates with imagery are 2022-08-05"):
        make(source="stac", sensors=("hls",), archive=ArchiveChoice(catalog=catalog()), area=area, date="2022-06-08",
             placement="dense", chip_size=64)  # fmt: skip
    assert not list(tmp_path.glob("chips*"))


def test_a_polygon_across_the_antimeridian_gets_chips_of_both_sides(hls, make, write_vector, catalog, coded_at):
    to_60, to_1 = (Transformer.from_crs("EPSG:4326", f"EPSG:{code}", always_xy=True) for code in (32760, 32701))
    x, y = (round(value / 30) * 30 for value in to_60.transform(180, -17))
    hls("2022-06-05", tile="60KYF", crs="EPSG:32760", corner=(x - 550 * 30, y))
    x1, y1 = (round(value / 30) * 30 for value in to_1.transform(-180, -17))
    hls("2022-06-05", tile="01KAB", crs="EPSG:32701", corner=(x1 + 300, y1))
    field = shapely.box(x - 4500, y - 6000, x + 4500, y - 4500)
    labels = write_vector("field.gpkg", [field], crs="EPSG:32760", kind=[1])
    made = make(source="stac", sensors=("hls",), archive=ArchiveChoice(catalog=catalog()), labels=labels, chip_size=64,
                class_field="kind", date="2022-06-08")  # fmt: skip
    assert {chip.crs for chip in made.dataset.chips} == {"EPSG:32760", "EPSG:32701"}
    labelled = sum(chip.class_counts.get(1, 0) for chip in made.dataset.chips)
    assert labelled == pytest.approx((300 - 38 - 10) * 50, rel=0.05)  # between the scenes lies ground without any
    for chip in made.dataset.chips:
        west, _, east, _ = chip.footprint.bounds
        assert east - west < 0.1
        pixels = pixels_of(made, chip)[0][0]
        there = pixels != -9999
        assert there.any()
        assert (pixels == coded_at(Affine(*chip.transform), 64, 64, 0, 156))[there].all()


def test_label_rasters_on_another_grid_are_put_on_the_imagerys(hls, make, write_raster, catalog):
    hls("2022-06-05")
    classes = np.full((40, 60), 2, np.uint8)
    classes[:, :30] = 1
    x, y = CORNER
    path = write_raster("labels.tif", classes, crs="EPSG:32633", transform=Affine(10, 0, x + 900, 0, -10, y - 900))
    made = make(source="stac", sensors=("hls",), archive=ArchiveChoice(catalog=catalog()), label_rasters=(path,),
                date="2022-06-08", chip_size=64)  # fmt: skip
    [chip] = made.dataset.chips
    labels = made.label(chip)
    rows, cols = np.nonzero(labels >= 0)
    assert (rows.min(), cols.min(), len(rows)) == (30, 30, pytest.approx(20 * 13.3, rel=0.1))
    assert set(np.unique(labels[labels >= 0])) == {1, 2}


def test_chips_on_a_grid_of_the_users_choice(hls, make, write_vector, catalog):
    hls("2022-06-05", assets={band: np.full((512, 512), 77, np.int16) for band in S30})
    x, y = CORNER
    labels = write_vector("p.gpkg", [shapely.Point(x + 6000, y - 6000)], crs="EPSG:32633", kind=[1])
    made = make(source="stac", sensors=("hls",), archive=ArchiveChoice(catalog=catalog()), labels=labels, chip_size=64,
                class_field="kind", date="2022-06-08", crs="EPSG:3035", resolution=50.0)  # fmt: skip
    [chip] = made.dataset.chips
    assert (chip.crs, chip.transform[0]) == ("EPSG:3035", 50)
    assert chip.transform[2] % 50 == 0
    assert (pixels_of(made, chip)[0] == 77).all()


BAD = {
    "ambiguous dates": ({"date": "03/04/2022"}, r"03/04/2022'(.|\n)*DATE_FORMAT"),
    "an unknown band": ({"bands": "B99"}, "no band B99"),
    "an unknown collection": ({"choice": {"collections": ("hls9",)}}, "there is no hls9"),
    "another sensor": ({"sensors": ("sentinel1",)}, "no imagery of Sentinel-1"),
    "no mask": ({"choice": {"masks": ("cloud",)}}, "None of the 1 items .* the mask"),
    "too few timesteps": ({"choice": {"timesteps": 3}}, "too few timesteps"),
    "no catalogue": ({"choice": {"catalog": "/nowhere/items.json"}}, "no file, folder or URL"),
    "a catalogue that is down": ({"choice": {"catalog": "http://127.0.0.1:9/"}}, "does not answer"),
}


@pytest.mark.parametrize(("fields", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_done_says_why(hls, from_archive, fields, message, tmp_path, monkeypatch):
    monkeypatch.setattr(catalog_module, "_retry", lambda count: 0)
    hls("2022-06-05")
    date = {"date_field": "", "date": fields["date"]} if "date" in fields else {}
    rest = {name: value for name, value in fields.items() if name != "date"}
    with pytest.raises(InstaGeoError, match=message):
        from_archive([(70, 40)], ["2022-06-08"], **rest, **date)
    assert not list(tmp_path.glob("chips*"))


def test_a_chip_larger_than_the_scene_is_padded_with_nodata(hls, from_archive):
    hls("2022-06-05", size=128)
    made = from_archive([(70, 40)], ["2022-06-08"], chip_size=160)
    pixels, _, nodata = pixels_of(made, made.dataset.chips[0])
    assert (pixels[:, 128:] == nodata).all()
    assert (pixels[:, :128, :128] != nodata).all()


def test_labels_of_two_classes_in_one_pixel_are_ignored_and_counted(hls, from_archive):
    hls("2022-06-05")
    made = from_archive([(70, 40), (70, 40), (80, 40)], ["2022-06-08"] * 3)
    assert made.spec["counts"]["conflicting_pixels"] == 1
    assert "1 pixels have labels of several classes" in "\n".join(made.recorder.warnings)
