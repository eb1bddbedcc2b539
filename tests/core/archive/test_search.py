import numpy as np
import pyogrio
import pyogrio.raw
import pytest
import shapely
from instageo_plugin.core.archive.search import area_4326, search_imagery
from instageo_plugin.core.chips.vectors import read_layer
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import SearchImageryJob


@pytest.fixture
def search(stac_api, write_vector, tmp_path, recorder):
    def run(*polygons, **fields):
        area = write_vector(
            "area.gpkg",
            list(polygons or (shapely.box(-180, -89, 180, 89),)),
            crs="EPSG:4326",
            n=[0] * max(len(polygons), 1),
        )
        fields = {"catalog": stac_api, "start": "2019-01-01", "end": "2019-01-02", **fields}
        job = SearchImageryJob(area=area, output=str(tmp_path / "out" / "scenes.gpkg"), **fields)
        return search_imagery(job, recorder)

    return run


def read(path):
    meta, _, geometry, values = pyogrio.raw.read(path, layer="scenes")
    return dict(zip(meta["fields"], values)), shapely.from_wkb(geometry), meta


def test_footprints_carry_what_a_user_chooses_by(search):
    outputs = search()
    fields, shapes, meta = read(outputs["OUTPUT"])
    assert meta["crs"] == "EPSG:4326"
    assert len(shapes) == outputs["COUNT"] > 20
    assert set(fields) == {"id", "collection", "date", "time", "cloud_cover", "platform", "tile", "orbit"}
    first = list(fields["id"]).index("S2A_MSIL2A_20190101T000001_R116_T60VUK_20201007T214652")
    assert fields["tile"][first] == "60VUK"
    assert fields["platform"][first] == "Sentinel-2A"
    assert fields["cloud_cover"][first] == pytest.approx(56.297088)
    assert str(fields["date"][first]) == "2019-01-01"
    assert (np.diff(fields["date"].astype("int64")) >= 0).all()


def test_an_area_drawn_across_the_antimeridian_finds_what_lies_before_it(search):
    across = search(shapely.box(171.5, 55, 190, 59))["COUNT"]
    assert across == search(shapely.box(171.5, 55, 180, 59), shapely.box(-180, 55, -170, 59))["COUNT"]
    assert 0 < across < search()["COUNT"]


def test_clouds_limit_the_scenes_and_the_log_says_how_many(search, recorder):
    fields, _, _ = read(search(max_cloud=50.0)["OUTPUT"])
    assert (fields["cloud_cover"] <= 50).all()
    assert "scenes are cloudier than 50 %" in recorder.said()


def test_scenes_without_a_figure_of_clouds_are_kept(search, recorder):
    found = search(sensors=("sentinel1",), start="2000-01-01", end="2030-01-01", max_cloud=0.0)
    fields, _, _ = read(found["OUTPUT"])
    assert found["COUNT"] == 5
    assert np.isnan(fields["cloud_cover"]).all()
    assert "5 scenes say nothing of clouds" in recorder.said()


def test_several_sensors_at_once(search):
    found = search(sensors=("sentinel1", "hls"), start="2024-01-01", end="2024-12-31")
    fields, _, _ = read(found["OUTPUT"])
    assert set(fields["collection"]) == {"sentinel-1-rtc", "HLSS30_2.0"}


def test_no_imagery_names_the_nearest_dates(search, tmp_path):
    with pytest.raises(InstaGeoError, match=r"no imagery of sentinel-2-l2a(.|\n)*nearest dates .* 2019-01-01"):
        search(start="2018-11-01", end="2018-11-30")
    assert not (tmp_path / "out").exists()


def test_all_too_cloudy_tells_the_clearest(search):
    with pytest.raises(InstaGeoError, match=r"all cloudier than MAX_CLOUD 0 %; the clearest has"):
        search(shapely.box(171, 56, 171.2, 56.2), max_cloud=0.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"collections": ("sentinel-9",)}, "there is no sentinel-9; .* has HLSS30_2.0, sentinel-1-rtc, sentinel-2-l2a"),
        ({"sensors": ("landsat",)}, "no imagery of Landsat"),
        ({"start": "1.1.2019", "end": "2.1.2019"}, "expected the form 2022-06-08"),
    ],
)
def test_what_cannot_be_searched(search, fields, message):
    with pytest.raises(InstaGeoError, match=message):
        search(**fields)


def test_a_job_without_a_span_or_area_lists_all_that_is_wrong():
    with pytest.raises(InstaGeoError, match=r"SENSOR is 'moon'(.|\n)*no area(.|\n)*no span of time"):
        SearchImageryJob(area="", start="2020-02-01", end="2020-01-01", output="o.gpkg", sensors=("moon",))


def test_projected_areas_are_moved_and_cut_at_the_antimeridian(write_vector):
    square = shapely.box(200_000, 6_600_000, 350_000, 6_750_000)  # UTM 1N reaches beyond 180 degrees west here
    area = area_4326(read_layer(write_vector("a.gpkg", [square], crs="EPSG:32601", n=[1]), "", "", "AREA"))
    west, _, east, _ = area.bounds
    assert (west, east) == pytest.approx((-180, 180))
    assert area.area < 10
