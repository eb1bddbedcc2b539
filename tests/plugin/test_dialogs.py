"""Each algorithm's dialog, as the toolbox opens it: it shows its help and gives back the values it was given."""

import sys

import instageo_plugin
import pytest
from qgis.core import (
    QgsApplication,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterLayer,
)
from qgis.gui import QgsBrowserGuiModel
from qgis.PyQt.QtWidgets import QTextBrowser

PROCESSING = "/usr/share/qgis/python/plugins"
SURVEY = "survey"
VALUES = {
    "setupbackend": {"COMPUTE": "cpu"},
    "checkbackend": {"REPORT": "/tmp/report.html"},
    "searchimagery": {
        "EXTENT": "10.000000000,11.000000000,50.000000000,51.000000000 [EPSG:4326]",
        "SENSOR": ["hls", "sentinel1"],
        "CATALOG": "https://example.org/stac",
        "MAX_CLOUD": 35.0,
        "OUTPUT": "/tmp/scenes.gpkg",
    },
    "createchips": {
        "CLASS_FIELD": "cover",
        "CLASS_TABLE": ["crop", "1", "Cropland", "#ddcc44"],
        "CHIP_SIZE": 64,
        "STRIDE": 32,
        "BANDS": "3 2 1",
        "PLACEMENT": "centred",
        "EDGE": "skip",
        "MIN_VALID": 12.5,
        "SOURCE": "stac",
        "SENSOR": ["sentinel2", "dem"],
        "DATE": "2022-06-08",
        "TIMESTEPS": 3,
        "STEP_UNIT": "month",
        "SELECTION": "clearest",
        "MASK": ["cloud", "shadow"],
        "OUTPUT": "/tmp/chips",
    },
    "importchips": {
        "INPUT": "/tmp/files",
        "SENSOR": "hls",
        "BANDS": "red,nir08",
        "TIMESTEPS": 3,
        "CLASS_TABLE": ["1", "0", "Rice", "#ddcc44"],
        "HALF_PIXEL": True,
        "OUTPUT": "/tmp/chips",
    },
    "mergechips": {"OUTPUT": "/tmp/chips"},
    "exportchips": {"INPUT": "/tmp/chips", "FORMAT": "pairs", "SPLIT": "train", "OUTPUT": "/tmp/files"},
    "cleanchips": {"INPUT": "/tmp/chips", "MIN_VALID": 80.0, "MIN_LABELS": 5},
    "chipstatistics": {"INPUT": "/tmp/chips", "SPLIT": "train", "REPORT": "/tmp/report.html"},
    "splitchips": {"INPUT": "/tmp/chips", "STRATEGY": "group", "GROUP_FIELD": "farm", "BUFFER": 25.0, "FOLDS": 5},
    "finetune": {
        "INPUT": "/tmp/chips",
        "BACKBONE": "prithvi_v2_300m_tl",
        "WEIGHTS": "/tmp/Prithvi_EO_V2_300M_TL.pt",
        "ADAPTATION": "frozen",
        "FOLD": 2,
        "EPOCHS": 7,
        "LEARNING_RATE": 0.002,
        "AUGMENT": False,
        "OUTPUT": "/tmp/model.safetensors",
    },
    "evaluate": {"MODEL": "/tmp/m.safetensors", "INPUT": "/tmp/chips", "SPLIT": "val", "METRICS": "/tmp/metrics.json"},
    "importmodel": {
        "INPUT": "/tmp/best.ckpt",
        "BACKBONE": "prithvi_v2_300m",
        "BANDS": "blue green red",
        "MEAN": "0.1 0.2 0.3",
        "STD": "0.1 0.1 0.1",
        "MULTIPLIER": 0.0001,
        "OUTPUT": "/tmp/model.safetensors",
    },
    "exportmodel": {"MODEL": "/tmp/m.safetensors", "FORMAT": "instageo", "OUTPUT": "/tmp/model.ckpt"},
    "modelinfo": {"MODEL": "/tmp/m.safetensors", "OUTPUT_HTML": "/tmp/card.html"},
    "predictraster": {
        "MODEL": "/tmp/m.safetensors",
        "BANDS": "blue:1 green:2",
        "OVERLAP": 16,
        "OUTPUT": "/tmp/map.tif",
        "PROBABILITIES": "/tmp/probabilities.tif",
    },
    "labelstomap": {"class_field": "cover", "chip_size": 64, "backbone": "pixels", "map": "/tmp/map.tif"},
}


@pytest.fixture(scope="module")
def plugin(qgis_processing):
    loaded = instageo_plugin.classFactory(None)
    loaded.initProcessing()
    yield loaded
    loaded.unload()


@pytest.fixture
def project(make_labels, survey, scene, make_area):
    """A project with the survey, the scene and an area, which dialogs offer."""
    layers = [make_labels(survey), QgsRasterLayer(scene, "scene"), make_area(0)]
    QgsProject.instance().addMapLayers(layers)
    yield {"INPUT": layers[0].id(), "RASTERS": [layers[1].id()], "AREA": layers[2].id()}
    QgsProject.instance().clear()


@pytest.fixture
def open_dialog(plugin, project, qgis_iface, monkeypatch):
    if PROCESSING not in sys.path:
        monkeypatch.syspath_prepend(PROCESSING)
    from processing.gui.AlgorithmDialog import AlgorithmDialog

    browser = QgsBrowserGuiModel()
    monkeypatch.setattr(qgis_iface, "browserModel", lambda: browser, raising=False)
    opened = []

    def show(name):
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"instageo:{name}")
        opened.append(AlgorithmDialog(algorithm))
        opened[-1].show()
        QgsApplication.processEvents()
        return opened[-1], algorithm

    yield show
    for dialog in opened:
        dialog.close()
        dialog.deleteLater()
    QgsApplication.processEvents()


def test_every_algorithm_is_tried_here(plugin):
    provider = QgsApplication.processingRegistry().providerById("instageo")
    assert {algorithm.name() for algorithm in provider.algorithms()} == set(VALUES)


def plain(value):
    """Destinations as their path, rasters as their file, so that what means the same is the same."""
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        return value.sink.staticValue()
    if isinstance(value, list):
        layers = [QgsProject.instance().mapLayer(str(item)) for item in value]
        return [layer.source() if layer else item for layer, item in zip(layers, value)]
    return value


@pytest.mark.parametrize("name", VALUES)
def test_the_dialog_gives_back_what_it_was_given(open_dialog, project, name):
    dialog, _ = open_dialog(name)
    layers = {
        "createchips": project,
        "mergechips": {"INPUTS": [project["AREA"]]},
        "predictraster": {"INPUT": project["RASTERS"]},
        "labelstomap": {"labels": project["INPUT"], "imagery": project["RASTERS"]},
    }.get(name, {})
    given = {**layers, **VALUES[name]}
    dialog.setParameters(given)
    shown = dialog.createProcessingParameters()
    assert {key: plain(shown.get(key)) for key in given} == {key: plain(value) for key, value in given.items()}


def test_an_empty_table_in_the_dialog_is_no_table(open_dialog, project):
    dialog, algorithm = open_dialog("createchips")
    dialog.setParameters({**project, "CLASS_FIELD": "cover", "OUTPUT": "/tmp/chips"})
    shown = dialog.createProcessingParameters()
    assert algorithm.checkParameterValues(shown, dialog.processingContext()) == (True, "")


@pytest.mark.parametrize("name", VALUES)
def test_the_dialog_starts_with_the_defaults_and_shows_help(open_dialog, name):
    dialog, algorithm = open_dialog(name)
    shown = dialog.createProcessingParameters()
    for definition in algorithm.parameterDefinitions():
        if definition.defaultValue() is not None and not definition.isDestination():
            assert shown.get(definition.name(), definition.defaultValue()) == definition.defaultValue()
    words = "".join(browser.toPlainText() for browser in dialog.findChildren(QTextBrowser))
    assert algorithm.displayName() in words
    assert len(words) > 150
