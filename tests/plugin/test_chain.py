"""The shipped chain 'Labels to map': its file is up to date, travels, and makes a map."""

import runpy
from pathlib import Path

import pytest
from instageo_plugin.instageo_qgis.plugin import InstaGeoPlugin
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingModelAlgorithm,
    QgsProcessingParameterDefinition,
    QgsProject,
)
from qgis.PyQt.QtGui import QColor

ROOT = Path(__file__).resolve().parents[2]
CHAIN_FILE = ROOT / "resources" / "models" / "labels_to_map.model3"
COLORS = {"crop": "#ddcc44", "water": "#2255aa"}
STEPS = ["createchips", "splitchips", "finetune", "predictraster"]


@pytest.fixture(scope="module", autouse=True)
def plugin():
    loaded = InstaGeoPlugin(None)
    loaded.initProcessing()
    yield loaded
    loaded.unload()


@pytest.fixture
def chain():
    return QgsApplication.processingRegistry().algorithmById("instageo:labelstomap")


@pytest.fixture
def run(scene, backend_python, settings, monkeypatch, feedback):
    """Runs a chain on the scene with the forest, and gives its outputs."""
    monkeypatch.setenv("INSTAGEO_PYTHON", backend_python)

    def start(algorithm, **parameters):
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        fixed = {"class_field": "cover", "imagery": [scene], "chip_size": 16, "block_size": 160}
        places = {"chip_dataset": QgsProcessing.TEMPORARY_OUTPUT, "model": QgsProcessing.TEMPORARY_OUTPUT}
        values = {**fixed, "backbone": "pixels", **places, **parameters}
        assert algorithm.checkParameterValues(values, context) == (True, "")
        outputs, done = algorithm.create().run(values, context, feedback)
        assert done, feedback.said("error")
        return outputs

    return start


def test_the_file_is_what_the_script_builds():
    """If not: run scripts/make_models.py."""
    script = runpy.run_path(str(ROOT / "scripts" / "make_models.py"))
    shipped = QgsProcessingModelAlgorithm()
    assert shipped.fromFile(str(CHAIN_FILE))
    assert script["labels_to_map"](QgsProcessingModelAlgorithm()).toVariant() == shipped.toVariant()


def test_the_file_names_no_place_on_this_computer():
    text = CHAIN_FILE.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert str(Path.home()) not in text
    assert 'value="/' not in text
    assert "file:" not in text


def test_the_steps_come_in_the_order_of_the_work(chain):
    children = chain.childAlgorithms()
    assert {child.algorithmId() for child in children.values()} == {f"instageo:{step}" for step in STEPS}
    for number, step in enumerate(STEPS):
        assert set(chain.dependsOnChildAlgorithms(step)) == set(STEPS[:number])


def test_the_toolbox_knows_all_inputs_and_outputs(chain):
    names = [definition.name() for definition in chain.parameterDefinitions()]
    assert names[:6] == ["labels", "class_field", "imagery", "chip_size", "block_size", "backbone"]
    assert set(names[6:]) == {"map", "model", "chip_dataset", "report"}
    assert {output.name(): output.type() for output in chain.outputDefinitions()} == {
        "map": "outputRaster",
        "model": "outputFile",
        "chip_dataset": "outputFolder",
        "report": "outputHtml",
    }


def test_labels_class_and_imagery_are_needed_and_the_report_is_not(chain):
    optional = QgsProcessingParameterDefinition.Flag.FlagOptional
    left_out = [d.name() for d in chain.parameterDefinitions() if d.flags() & optional]
    assert left_out == ["report"]


def test_every_input_and_the_chain_itself_are_explained(chain):
    assert chain.shortDescription()
    assert "training" in chain.tags()
    page = chain.shortHelpString()
    for definition in chain.parameterDefinitions():
        assert definition.help(), definition.name()
        assert definition.help() in page
        assert definition.description() in page


def test_without_a_backend_the_user_is_told_how_to_get_one(chain, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    fine, problem = chain.canExecute()
    assert not fine
    assert "instageo:setupbackend" in problem


def test_the_toolbox_still_knows_the_outputs_after_the_provider_is_refreshed(plugin):
    registry = QgsApplication.processingRegistry()
    registry.providerById("instageo").refreshAlgorithms()
    assert len(registry.algorithmById("instageo:labelstomap").outputDefinitions()) == 4


def test_it_makes_a_map_in_the_colours_of_the_labels(run, chain, make_labels, survey, scene, tmp_path):
    target = tmp_path / "map.tif"
    report = tmp_path / "report.html"
    outputs = run(chain, labels=make_labels(survey), map=str(target), report=str(report))
    assert outputs["map"] == str(target)
    found = gdal.Open(str(target))
    assert found.GetGeoTransform() == gdal.Open(scene).GetGeoTransform()
    classes = found.ReadAsArray()
    names = ("crop", "water")
    west, east = classes[:, : classes.shape[1] // 2], classes[:, classes.shape[1] // 2 :]
    assert (west == names.index("water")).mean() > 0.95
    assert (east == names.index("crop")).mean() > 0.95
    table = found.GetRasterBand(1).GetColorTable()
    assert [QColor(*table.GetColorEntry(value)[:3]).name() for value in (0, 1)] == [COLORS[name] for name in names]
    assert target.with_suffix(".qml").is_file()
    assert Path(outputs["model"]).is_file()
    assert (Path(outputs["chip_dataset"]) / "chips.gpkg").is_file()
    assert report.is_file()
