"""Create chips as a user runs it: what it makes, and how it refuses what it cannot use."""

import pytest
from instageo_plugin.processing_algorithms.data.createchips import CreateChips
from qgis.core import QgsProcessingException, QgsVectorLayer


@pytest.fixture
def refuse(refusal, scene, out):
    """The message for these parameters; nothing may be left in the output's folder."""

    def start(**parameters):
        given = {"RASTERS": [scene], "CHIP_SIZE": 16, "OUTPUT": str(out / "chips"), **parameters}
        message = refusal("createchips", **given)
        assert list(out.iterdir()) == []
        return message

    return start


def test_a_filtered_layer_in_another_crs_becomes_chips(run, make_labels, survey, scene, out):
    layer = make_labels([*survey, (4, 4, "rumour"), (500, 500, "crop"), (20, 20, None)])
    layer.setSubsetString("cover <> 'rumour' OR cover IS NULL")
    outputs = run(
        "createchips", INPUT=layer, CLASS_FIELD="cover", RASTERS=[scene], CHIP_SIZE=16, OUTPUT=str(out / "chips")
    )
    index = QgsVectorLayer(outputs["INDEX"] + "|layername=chips", "index", "ogr")
    assert outputs["CHIP_COUNT"] == index.featureCount() == 36
    assert outputs["SKIPPED_COUNT"] == 2
    assert [path.name for path in out.iterdir()] == ["chips"]


def test_an_empty_layer_is_refused(refuse, make_labels):
    message = refuse(INPUT=make_labels([]), CLASS_FIELD="cover")
    assert "INPUT holds no labels" in message
    assert "filter" in message


def test_labels_off_the_imagery_are_refused_with_both_places(refuse, make_labels):
    message = refuse(INPUT=make_labels([(5000, 5000, "crop")]), CLASS_FIELD="cover")
    assert "No label lies on the imagery" in message
    assert "EPSG:4326" in message
    assert "EPSG:32633" in message


def test_a_class_field_full_of_nulls_is_refused(refuse, make_labels):
    message = refuse(INPUT=make_labels([(4, 4, None), (9, 9, None)]), CLASS_FIELD="cover")
    assert "cover" in message
    assert "class" in message


def test_a_class_outside_the_table_is_refused_by_name_and_count(refuse, labelled):
    table = ["water", "1", "Water", "#0000ff"]
    message = refuse(**labelled, CLASS_TABLE=table)
    assert "'crop' (72 times)" in message
    assert "CLASS_TABLE" in message


def test_labels_all_outside_the_table_are_refused(refuse, labelled):
    table = ["forest", "1", "Forest", "#00ff00"]
    message = refuse(**labelled, CLASS_TABLE=table)
    assert "'crop'" in message
    assert "'water'" in message
    assert "forest" in message


@pytest.mark.parametrize("other", [{"epsg": 32632}, {"offset_px": 30.5}], ids=["another crs", "a shifted grid"])
def test_overlapping_rasters_on_two_grids_are_refused(refuse, labelled, scene, write_raster, tmp_path, other):
    second = write_raster(tmp_path / "second.tif", **other)
    message = refuse(**labelled, RASTERS=[scene, second])
    assert "scene" in message
    assert "second" in message


@pytest.mark.parametrize("other", [{"epsg": 32632}, {"offset_px": 30.5}], ids=["another crs", "a shifted grid"])
def test_label_rasters_on_another_grid_are_refused(refuse, write_raster, tmp_path, other):
    labels = write_raster(tmp_path / "labels.tif", bands=1, **other)
    assert "labels.tif" in refuse(LABEL_RASTERS=[labels])


def test_a_raster_cut_short_is_refused(refuse, labelled, write_raster, tmp_path):
    broken = tmp_path / "broken.tif"
    write_raster(broken)
    broken.write_bytes(broken.read_bytes()[:20_000])
    message = refuse(**labelled, RASTERS=[str(broken)], CHIP_SIZE=96)
    assert "broken.tif" in message
    assert "previous exception" not in message


def test_an_output_below_a_file_is_refused(refuse, labelled, tmp_path):
    (tmp_path / "file").touch()
    message = refuse(**labelled, OUTPUT=str(tmp_path / "file" / "chips"))
    assert str(tmp_path / "file") in message
    assert "Choose another place" in message


def test_a_read_only_disk_is_refused(refuse, labelled, disk):
    folder = disk(200, "ro")
    message = refuse(**labelled, OUTPUT=str(folder / "chips"))
    assert str(folder) in message
    assert list(folder.iterdir()) == []


def test_a_full_disk_leaves_what_a_second_run_goes_on_with(run, refusal, labelled, scene, disk):
    folder = disk(600)
    (folder / "filler").write_bytes(bytes(500_000))
    given = {**labelled, "RASTERS": [scene], "CHIP_SIZE": 16, "OUTPUT": str(folder / "chips")}
    message = refusal("createchips", **given)
    assert f"The disk is full: {folder}" in message
    assert "Free some space" in message
    assert {path.name for path in folder.iterdir()} == {"filler", "chips.part"}
    (folder / "filler").unlink()
    assert run("createchips", **given)["CHIP_COUNT"] == 36
    assert [path.name for path in folder.iterdir()] == ["chips"]


def test_a_cancelled_run_makes_no_dataset_and_says_how_to_go_on(run, feedback, labelled, scene, out, nobody_left):
    feedback.progressChanged.connect(lambda percent: percent > 8 and feedback.cancel())
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        run("createchips", **labelled, RASTERS=[scene], CHIP_SIZE=16, STRIDE=1, OUTPUT=str(out / "chips"))
    assert [path.name for path in out.iterdir()] == ["chips.part"]
    assert f"kept in {out / 'chips.part'}" in feedback.said("info")
    nobody_left([])


@pytest.mark.parametrize("missing", ["setting", "variable", "installation"])
def test_without_a_backend_the_dialog_says_what_to_do(refuse, settings, monkeypatch, labelled, missing, out):
    monkeypatch.delenv("INSTAGEO_PYTHON")
    monkeypatch.setenv("XDG_DATA_HOME", str(out))
    if missing == "setting":
        settings.setValue("instageo/python", "/nowhere/python")
    elif missing == "variable":
        monkeypatch.setenv("INSTAGEO_PYTHON", "/nowhere/python")
    assert "instageo:setupbackend" in refuse(**labelled)


def test_a_backend_that_goes_away_after_the_dialog_is_named(refuse, monkeypatch, labelled):
    monkeypatch.setattr(CreateChips, "canExecute", lambda self: (True, ""))
    monkeypatch.setenv("INSTAGEO_PYTHON", "/nowhere/python")
    message = refuse(**labelled)
    assert "/nowhere/python" in message
    assert "instageo:setupbackend" in message
