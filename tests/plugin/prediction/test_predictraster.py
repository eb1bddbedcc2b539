"""Predict raster as a user runs it: the styled map, and how it refuses what it cannot predict."""

import pytest
from qgis.core import QgsPalettedRasterRenderer, QgsProcessingException, QgsRasterLayer


@pytest.fixture
def refuse(refusal, trained, scene, out):
    """The message for these parameters; nothing may be left in the output's folder."""

    def start(**parameters):
        model, files = str(trained / "model.safetensors"), {"OUTPUT": "map.tif", "CLASS_AREAS": "areas.json"}
        given = {"INPUT": [scene], "MODEL": model, **{name: str(out / file) for name, file in files.items()}}
        message = refusal("predictraster", **{**given, **parameters})
        assert list(out.iterdir()) == []
        return message

    return start


def test_the_map_opens_in_the_colours_of_the_labels(run, trained, scene, out):
    path = str(out / "map.tif")
    outputs = run("predictraster", INPUT=[scene], MODEL=str(trained / "model.safetensors"), OUTPUT=path)
    layer = QgsRasterLayer(outputs["OUTPUT"], "map")
    renderer = layer.renderer()
    assert isinstance(renderer, QgsPalettedRasterRenderer)
    shown = {(c.label, c.color.name()) for c in renderer.classes()}
    assert shown == {("Cropland", "#ddcc44"), ("Open water", "#2255aa")}
    assert (layer.width(), layer.height()) == (96, 96)
    assert {path.name for path in out.iterdir()} == {"map.tif", "map.qml"}


def test_a_raster_with_too_few_bands_is_refused(refuse, write_raster, tmp_path):
    message = refuse(INPUT=[write_raster(tmp_path / "two.tif", bands=2)])
    assert "two.tif" in message
    assert "2 band" in message
    assert "3" in message
    assert "BANDS" in message


@pytest.mark.parametrize("other", [{"epsg": 32632}, {"offset_px": 30.5}], ids=["another crs", "a shifted grid"])
def test_timesteps_on_two_grids_are_refused(refuse, scene, write_raster, tmp_path, other):
    message = refuse(INPUT=[scene, write_raster(tmp_path / "second.tif", **other)])
    assert "second.tif" in message
    assert "grid" in message or "CRS" in message


@pytest.mark.parametrize("damage", ["half a model", "another format", "a pickle", "no card"])
def test_a_file_that_is_no_model_is_refused(refuse, broken_model, damage):
    path, words = broken_model(damage)
    message = refuse(MODEL=path)
    assert words in message
    assert path in message


def test_a_raster_cut_short_is_refused(refuse, write_raster, tmp_path):
    broken = tmp_path / "broken.tif"
    write_raster(broken)
    broken.write_bytes(broken.read_bytes()[:20_000])
    message = refuse(INPUT=[str(broken)])
    assert "broken.tif" in message


def test_an_area_off_the_imagery_is_refused(refuse, make_area):
    message = refuse(AREA=make_area(5000))
    assert "AREA" in message


def test_an_output_below_a_file_is_refused(refuse, tmp_path):
    (tmp_path / "file").touch()
    message = refuse(OUTPUT=str(tmp_path / "file" / "map.tif"))
    assert str(tmp_path / "file") in message


def test_a_read_only_disk_is_refused(refuse, disk):
    folder = disk(200, "ro")
    assert str(folder) in refuse(OUTPUT=str(folder / "map.tif"))
    assert list(folder.iterdir()) == []


def test_a_full_disk_keeps_no_half_map(refuse, disk):
    folder = disk(12)
    message = refuse(OUTPUT=str(folder / "map.tif"))
    assert "space" in message
    assert list(folder.iterdir()) == []


def test_a_cancelled_prediction_leaves_nothing(run, feedback, trained, write_raster, out, nobody_left):
    large = write_raster(out.parent / "large.tif", size=1500)
    feedback.progressChanged.connect(lambda percent: percent > 20 and feedback.cancel())
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        run("predictraster", INPUT=[large], MODEL=str(trained / "model.safetensors"), OUTPUT=str(out / "map.tif"))
    assert list(out.iterdir()) == []
    nobody_left([])
