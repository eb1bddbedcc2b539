"""Evaluate as a user runs it: its figures, and how it refuses what it cannot measure."""

import json

import pytest

FIGURES = ("MIOU", "ACCURACY", "F1", "KAPPA", "AUC")
DATASET_WORDS = {
    "no rows": "empty",
    "half a dataset.json": "dataset.json is damaged",
    "an index of another format": "not a chip index",
    "half an index": "or damaged",
    "half images": "cannot be read",
}


@pytest.fixture
def refuse(refusal, trained, out):
    """The message for these parameters; neither report nor figures may be left."""

    def start(**parameters):
        by_model = {"MODEL": str(trained / "model.safetensors"), "INPUT": str(trained / "chips")}
        files = {"REPORT": str(out / "report.html"), "METRICS": str(out / "metrics.json")}
        message = refusal("evaluate", **{**by_model, **files, **parameters})
        assert list(out.iterdir()) == []
        return message

    return start


def test_a_model_gets_its_figures(run, trained, out):
    outputs = run(
        "evaluate",
        MODEL=str(trained / "model.safetensors"),
        INPUT=str(trained / "chips"),
        REPORT=str(out / "report.html"),
        METRICS=str(out / "metrics.json"),
        CHIP_METRICS=str(out / "chips.gpkg"),
    )
    assert all(0.9 < outputs[name] <= 1 for name in FIGURES)
    assert {path.name for path in out.iterdir()} == {"report.html", "metrics.json", "chips.gpkg"}
    assert "Cropland" in (out / "report.html").read_text(encoding="utf-8")
    json.loads((out / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("damage", DATASET_WORDS)
def test_a_damaged_dataset_is_refused(refuse, damaged, damage):
    message = refuse(INPUT=damaged(damage))
    assert DATASET_WORDS[damage] in message
    assert "\n" in message  # the remedy


@pytest.mark.parametrize("damage", ["half a model", "another format", "a pickle"])
def test_a_file_that_is_no_model_is_refused(refuse, broken_model, damage):
    path, words = broken_model(damage)
    message = refuse(MODEL=path)
    assert words in message
    assert path in message


def test_a_map_and_a_reference_in_another_place_are_refused(refuse, write_raster, tmp_path):
    there = write_raster(tmp_path / "map.tif", bands=1)
    elsewhere = write_raster(tmp_path / "reference.tif", bands=1, offset_px=5000)
    message = refuse(MODEL=None, INPUT=None, PREDICTION=there, REFERENCE=elsewhere)
    assert "overlap" in message or "lies" in message or "grid" in message


def test_an_empty_reference_layer_is_refused(refuse, write_raster, make_labels, tmp_path):
    there = write_raster(tmp_path / "map.tif", bands=1)
    empty = make_labels([])
    message = refuse(MODEL=None, INPUT=None, PREDICTION=there, REFERENCE_VECTOR=empty, CLASS_FIELD="cover")
    assert "REFERENCE_VECTOR" in message


def test_a_report_below_a_file_is_refused(refuse, tmp_path):
    (tmp_path / "file").touch()
    message = refuse(REPORT=str(tmp_path / "file" / "report.html"))
    assert str(tmp_path / "file") in message


def test_a_full_disk_keeps_no_half_report(refuse, disk):
    folder = disk(8)
    message = refuse(REPORT=str(folder / "report.html"))
    assert f"The disk is full: {folder / 'report.html'}" in message
    assert "Free some space" in message
    assert list(folder.iterdir()) == []
