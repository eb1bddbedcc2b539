import numpy as np
import pytest
from affine import Affine
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import RasterEntry
from instageo_plugin.core.imagery.scene_table import scenes_from_table
from instageo_plugin.core.imagery.scenes import make_imagery, scenes_from_rasters

FAR = Affine(10, 0, 800000, 0, -10, 5694090)
PIXELS = np.ones((2, 6, 8), dtype=np.int16)


def names_of(scene):
    return [step.title.rsplit("/", 1)[-1] for step in scene.timesteps]


def test_one_grid_is_one_scene_and_apart_is_another(write_raster):
    files = [
        write_raster("a_20200501.tif", PIXELS),
        write_raster("b.tif", PIXELS, transform=FAR),
        write_raster("a_20200401.tif", PIXELS),
        write_raster("c.tif", PIXELS, transform=FAR),
    ]
    told = []
    scenes = scenes_from_rasters(files, [], told.append)
    assert [(s.name, s.dates) for s in scenes] == [("a", ["2020-04-01", "2020-05-01"]), ("scene2", [])]
    assert names_of(scenes[0]) == ["a_20200401.tif", "a_20200501.tif"]
    assert names_of(scenes[1]) == ["b.tif", "c.tif"]
    assert len(told) == 1
    assert "sorted by date" in told[0]


def test_masks_follow_their_raster_when_dates_are_sorted(write_raster):
    files = [write_raster(f"a_2020{m}01.tif", PIXELS) for m in ("05", "04")]
    masks = [write_raster(f"mask{m}.tif", PIXELS[0]) for m in ("05", "04")]
    scene = scenes_from_rasters(files, masks, print)[0]
    assert [(step.date, step.mask) for step in scene.timesteps] == [("2020-04-01", masks[1]), ("2020-05-01", masks[0])]


def test_masks_must_fit(write_raster):
    files = [write_raster("a.tif", PIXELS), write_raster("b.tif", PIXELS)]
    wrong = write_raster("m.tif", PIXELS, transform=FAR)
    with pytest.raises(InstaGeoError, match="found 1 masks; expected 2"):
        scenes_from_rasters(files, [wrong], print)
    with pytest.raises(InstaGeoError, match=r"has 2 bands; expected 1[\s\S]*is on the grid"):
        scenes_from_rasters(files, [wrong, wrong], print)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32632", Affine(10, 0, 731830, 0, -10, 5694090)),
        ("EPSG:32632", Affine(5, 0, 731810, 0, -5, 5694090)),
        ("EPSG:4326", Affine(0.0001, 0, 12.3292, 0, -0.0001, 51.3507)),
    ],
)
def test_a_partial_overlap_names_both_files_and_the_way_out(write_raster, crs, transform):
    files = [write_raster("one.tif", PIXELS), write_raster("two.tif", PIXELS, crs=crs, transform=transform)]
    with pytest.raises(InstaGeoError, match=r"one\.tif and .*two\.tif overlap on different grids[\s\S]*RASTER_TABLE"):
        scenes_from_rasters(files, [], print)


def test_neighbours_that_touch_are_two_scenes(write_raster):
    files = [
        write_raster("one.tif", PIXELS),
        write_raster("two.tif", PIXELS, transform=Affine(10, 0, 731890, 0, -10, 5694090)),
    ]
    assert len(scenes_from_rasters(files, [], print)) == 2


def test_rasters_that_cannot_be_used_are_all_listed(write_raster):
    files = [
        write_raster("bare.tif", PIXELS, crs=None),
        write_raster("rotated.tif", PIXELS, transform=Affine.translation(7e5, 5e6) * Affine.rotation(30)),
        "/nowhere/x.tif",
    ]
    with pytest.raises(InstaGeoError, match=r"3 problems[\s\S]*no CRS[\s\S]*rotated or sheared[\s\S]*cannot be read"):
        scenes_from_rasters(files, [], print)


def test_scenes_that_differ_are_all_listed(write_raster):
    scenes = scenes_from_rasters(
        [
            write_raster("a.tif", PIXELS),
            write_raster("b.tif", PIXELS.astype(np.uint8)),
            write_raster("c.tif", PIXELS, transform=FAR, nodata=-9999),
        ],
        [],
        print,
    )
    with pytest.raises(InstaGeoError, match=r"timesteps \(scene1 2, c 1\)[\s\S]*type uint8[\s\S]*nodata -9999"):
        make_imagery(scenes, "", "custom")


def test_band_names_come_from_the_rasters_that_have_them(write_raster):
    files = [write_raster("a.tif", PIXELS), write_raster("b.tif", PIXELS, names=("red 2020-01-01", "nir"))]
    assert make_imagery(scenes_from_rasters(files, [], print), "", "custom").bands == ("red", "nir")


def test_bands_are_found_by_name_in_each_raster(write_raster):
    files = [
        write_raster("a.tif", PIXELS, names=("red", "nir")),
        write_raster("b.tif", PIXELS, names=("nir", "red")),
    ]
    scenes = scenes_from_rasters(files, [], print)
    imagery = make_imagery(scenes, "custom:nir", "custom")
    assert [step.bands[0].number for step in imagery.scenes[0].timesteps] == [2, 1]
    with pytest.raises(InstaGeoError, match="Bands differ"):
        make_imagery(scenes, "", "custom")
    with pytest.raises(InstaGeoError, match=r"has 2 bands \(red, nir\); expected 3: 1, 2, 3\. Missing: 3"):
        make_imagery(scenes, "1 2 3", "custom")


def test_a_table_stacks_single_bands_in_its_order(write_raster):
    one = PIXELS[0]
    rows = [
        RasterEntry(write_raster("s_b4_2.tif", one), "s", "2020-05-01", "red"),
        RasterEntry(write_raster("s_b8_2.tif", one), "s", "2020-05-01", "nir"),
        RasterEntry(write_raster("s_b8_1.tif", one), "s", "2020-04-01", "nir"),
        RasterEntry(write_raster("s_b4_1.tif", one), "s", "2020-04-01", "red"),
    ]
    imagery = make_imagery(scenes_from_table(rows, [], print), "", "custom")
    assert imagery.bands == ("red", "nir")
    assert imagery.scenes[0].dates == ["2020-04-01", "2020-05-01"]
    files = [[ref.path[-10:] for ref in step.bands] for step in imagery.scenes[0].timesteps]
    assert files == [["s_b4_1.tif", "s_b8_1.tif"], ["s_b4_2.tif", "s_b8_2.tif"]]


def test_a_table_may_hold_scenes_that_overlap(write_raster):
    shifted = Affine(10, 0, 731823, 0, -10, 5694090)
    rows = [
        RasterEntry(write_raster("p.tif", PIXELS), "north"),
        RasterEntry(write_raster("q.tif", PIXELS, transform=shifted), "south"),
    ]
    assert [s.name for s in scenes_from_table(rows, [], print)] == ["north", "south"]
    with pytest.raises(InstaGeoError, match="overlap on different grids"):
        scenes_from_table([RasterEntry(row.file) for row in rows], [], print)
    with pytest.raises(InstaGeoError, match=r"scene 'x': .*Expected one grid"):
        scenes_from_table([RasterEntry(row.file, "x") for row in rows], [], print)


def test_bands_missing_from_a_table_are_listed(write_raster):
    one = write_raster("one.tif", PIXELS[0])
    rows = [
        RasterEntry(one, "s", "2020-04-01", "red"),
        RasterEntry(one, "s", "2020-04-01", "nir"),
        RasterEntry(one, "s", "2020-05-01", "red"),
        RasterEntry(one, "t", "2020-04-01", "nir"),
    ]
    with pytest.raises(InstaGeoError, match=r"'s', date 2020-05-01 lacks nir[\s\S]*'t', date 2020-04-01 lacks red"):
        scenes_from_table(rows, [], print)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("one", "s", "1.5.2020", "")], r"'1\.5\.2020' is no date; expected the form 2022-06-08"),
        ([("two", "s", "", "red")], "has 2 bands; a row that names a band takes a file of one band"),
        ([("one", "s", "2020-05-01", "red"), ("one", "s", "2020-05-01", "red")], "band 'red' stands 2 times"),
        ([("two", "s", "2020-05-01", ""), ("two", "s", "2020-05-01", "")], "2 of 2 files name no band"),
    ],
)
def test_wrong_tables(write_raster, rows, message):
    files = {"one": write_raster("one.tif", PIXELS[0]), "two": write_raster("two.tif", PIXELS)}
    with pytest.raises(InstaGeoError, match=message):
        scenes_from_table([RasterEntry(files[file], *rest) for file, *rest in rows], [], print)
