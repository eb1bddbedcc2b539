"""The real `qgis_process`: what scripts and servers see, exit status included."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "instageo_plugin"


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """A profile of its own in which the plugin is enabled."""
    if not shutil.which("qgis_process"):
        pytest.skip("qgis_process is not there")
    folder = tmp_path_factory.mktemp("profile")
    (folder / "plugins").mkdir()
    (folder / "plugins" / PLUGIN).symlink_to(ROOT)
    (folder / "runtime").mkdir(mode=0o700)
    named = {
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(folder / "runtime"),
        "XDG_DATA_HOME": str(folder / "data"),
        "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
        "QGIS_PLUGINPATH": str(folder / "plugins"),
    }
    variables = {**os.environ, **named}
    command = ["qgis_process", "plugins", "enable", PLUGIN]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return variables


@pytest.fixture
def process(variables, backend_python):
    """Runs an algorithm; gives exit status, answer and the words on stderr."""

    def start(name, python=backend_python, **inputs):
        request = json.dumps({"inputs": inputs})
        done = subprocess.run(
            ["qgis_process", "run", f"instageo:{name}", "-"],
            input=request,
            env={**variables, "INSTAGEO_PYTHON": python},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        found = done.stdout.find("{")
        return done.returncode, json.loads(done.stdout[found:]) if found >= 0 else {}, done.stderr + done.stdout

    return start


def test_success_is_exit_status_0_with_the_outputs(process, trained):
    status, answer, words = process(
        "modelinfo", MODEL=str(trained / "model.safetensors"), OUTPUT_HTML="TEMPORARY_OUTPUT"
    )
    assert status == 0, words
    assert answer["results"]["BACKBONE"] == "pixels"


def test_a_raster_with_too_few_bands_fails_with_the_message(process, trained, write_raster, tmp_path, out):
    two = write_raster(tmp_path / "two.tif", bands=2)
    status, _, words = process(
        "predictraster", INPUT=[two], MODEL=str(trained / "model.safetensors"), OUTPUT=str(out / "map.tif")
    )
    assert status != 0
    assert "2 bands without names; the model expects 3" in words
    assert "Traceback" not in words
    assert list(out.iterdir()) == []


def test_a_damaged_dataset_fails_with_the_message(process, damaged, out):
    inputs = {"INPUT": damaged("half a dataset.json"), "BACKBONE": "pixels", "OUTPUT": str(out / "model.safetensors")}
    status, _, words = process("finetune", **inputs)
    assert status != 0
    assert "dataset.json is damaged" in words
    assert "Create chips" in words
    assert "Traceback" not in words
    assert list(out.iterdir()) == []


def test_without_a_backend_it_fails_with_the_remedy(process, trained, out):
    status, _, words = process("splitchips", python="/nowhere/python", INPUT=str(trained / "chips"))
    assert status != 0
    assert "/nowhere/python" in words
    assert "instageo:setupbackend" in words


def test_a_step_that_fails_stops_the_chain_and_says_why(process, survey_file, scene, out):
    fixed = {"labels": survey_file, "class_field": "cover", "imagery": [scene], "backbone": "pixels"}
    sizes = {"chip_size": 16, "block_size": 1_000_000}
    places = {"map": str(out / "map.tif"), "model": "TEMPORARY_OUTPUT", "chip_dataset": "TEMPORARY_OUTPUT"}
    status, _, words = process("labelstomap", **fixed, **sizes, **places)
    assert status != 0
    assert re.search(r"Split chips: .* only 1 blocks", words), words
    assert "Traceback" not in words
    assert list(out.iterdir()) == []
