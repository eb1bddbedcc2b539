"""Fixtures for the QGIS side. pytest-qgis gives a QGIS with a profile of its own."""

import os
import pickle
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from instageo_plugin.processing_algorithms import catalogue
from osgeo import gdal
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsGeometry,
    QgsMarkerSymbol,
    QgsPointXY,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRectangle,
    QgsRendererCategory,
    QgsSettings,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSettings
from qgis.PyQt.QtGui import QColor

SIZE, PIXEL_M = 96, 10
CORNER_X, CORNER_Y = 500_000, 5_700_000
CLASSES = {"crop": ("Cropland", "#ddcc44"), "water": ("Open water", "#2255aa")}


class RecordingFeedback(QgsProcessingFeedback):
    """Keeps what it is told: `lines` are (level, text), `percents` the progress signals QGIS would see."""

    def __init__(self):
        super().__init__(False)
        self.lines = []
        self.percents = []
        self.texts = []
        self.on_line = lambda level, text: None
        self.progressChanged.connect(self.percents.append)

    def _keep(self, level, text):
        self.lines.append((level, text))
        self.on_line(level, text)

    def pushInfo(self, info):  # noqa: N802 - QGIS's names
        self._keep("info", info)

    def pushWarning(self, warning):  # noqa: N802
        self._keep("warning", warning)

    def reportError(self, error, fatalError=False):  # noqa: N802, N803
        self._keep("error", error)

    def pushDebugInfo(self, info):  # noqa: N802
        self._keep("debug", info)

    def pushConsoleInfo(self, info):  # noqa: N802
        self._keep("console", info)

    def setProgressText(self, text):  # noqa: N802
        self.texts.append(text)

    def said(self, level):
        return "\n".join(text for found, text in self.lines if found == level)


@pytest.fixture
def feedback():
    return RecordingFeedback()


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory, qgis_app):
    """Settings of this run alone: pytest-qgis keeps them in the checkout, where a run beside it would see them."""
    folder = tmp_path_factory.mktemp("settings")
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder))


@pytest.fixture
def settings(monkeypatch):
    """QGIS's settings, without any of this plugin before and after; the variable is unset too."""
    kept = QgsSettings()
    names = ("instageo", "proxy")
    for name in names:
        kept.remove(name)
    monkeypatch.delenv("INSTAGEO_PYTHON", raising=False)
    yield kept
    for name in names:
        kept.remove(name)


@pytest.fixture(scope="session")
def backend_python():
    """Interpreter of the real backend; tests that need it are skipped without one."""
    python = os.environ.get("INSTAGEO_PYTHON", "")
    if not os.path.exists(python):
        pytest.skip("the variable INSTAGEO_PYTHON names no backend")
    return python


@pytest.fixture
def nobody_left():
    """Called with process ids: fails unless all of them are gone, and no reading thread is left."""

    def check(pids):
        deadline = time.monotonic() + 5
        while any(map(_alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not [pid for pid in pids if _alive(pid)]
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("instageo-")]

    return check


def _alive(pid):
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def run(settings, backend_python, monkeypatch, feedback):
    """Runs an algorithm with the real backend as QGIS does, and gives its outputs; what it refuses is raised."""
    monkeypatch.setenv("INSTAGEO_PYTHON", backend_python)
    return partial(_run, feedback)


@pytest.fixture
def refusal(run):
    """The one message with which an algorithm refuses to run; it is the user's business, not a defect."""

    def refuse(name, **parameters):
        with pytest.raises(QgsProcessingException) as raised:
            run(name, **parameters)
        message = str(raised.value)
        assert "defect" not in message
        assert "Traceback" not in message
        assert "last words" not in message
        return message

    return refuse


@pytest.fixture
def out(tmp_path):
    """An empty folder for outputs."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def disk(tmp_path):
    """Makes a small disk of its own, mounted with more options as given; skipped where that is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size_kb, *options):
        settings = ",".join([f"size={size_kb}k", *options])
        command = ["mount", "-t", "tmpfs", "-o", settings, "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk can be mounted: {done.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="session")
def scene(tmp_path_factory, qgis_app):
    """A raster of 96 x 96 pixels with three bands, dark in the west and bright in the east."""
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif")


@pytest.fixture(scope="session")
def write_raster(qgis_app):
    """As `write_scene`."""
    return write_scene


def write_scene(path, size=SIZE, bands=3, epsg=32633, offset_px=0.0):
    """Write a raster whose upper left corner lies `offset_px` pixels right of and below the usual one."""
    crs = QgsCoordinateReferenceSystem(f"EPSG:{epsg}")
    corner = _to(crs).transform(QgsPointXY(CORNER_X + offset_px * PIXEL_M, CORNER_Y - offset_px * PIXEL_M))
    raster = gdal.GetDriverByName("GTiff").Create(str(path), size, size, bands, gdal.GDT_UInt16)
    raster.SetProjection(crs.toWkt())
    raster.SetGeoTransform((corner.x(), PIXEL_M, 0, corner.y(), 0, -PIXEL_M))
    noise = np.random.default_rng(0).integers(0, 40, (size, size))
    for band in range(1, bands + 1):
        bright = np.where(np.arange(size) < size // 2, 400, 1500 + 200 * band)
        raster.GetRasterBand(band).WriteArray((bright + noise).astype(np.uint16))
        raster.GetRasterBand(band).SetNoDataValue(0)
    raster.FlushCache()
    return str(path)


def _to(crs):
    """The way from the scene's CRS to another."""
    own = QgsCoordinateReferenceSystem("EPSG:32633")
    return QgsCoordinateTransform(own, crs, QgsCoordinateTransformContext())


def label_layer(rows):
    """A memory layer in degrees of (column, row, cover), styled by cover: water blue, crop yellow."""
    layer = QgsVectorLayer("Point?crs=EPSG:4326&field=cover:string", "survey", "memory")
    move = _to(layer.crs())
    for column, row, cover in rows:
        feature = QgsFeature(layer.fields())
        feature.setAttributes([cover])
        point = QgsPointXY(CORNER_X + (column + 0.5) * PIXEL_M, CORNER_Y - (row + 0.5) * PIXEL_M)
        feature.setGeometry(QgsGeometry.fromPointXY(move.transform(point)))
        layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    categories = []
    for cover, (name, color) in CLASSES.items():
        symbol = QgsMarkerSymbol()
        symbol.setColor(QColor(color))
        categories.append(QgsRendererCategory(cover, symbol, name))
    layer.setRenderer(QgsCategorizedSymbolRenderer("cover", categories))
    return layer


@pytest.fixture(scope="session")
def make_labels(qgis_app):
    """As `label_layer`."""
    return label_layer


@pytest.fixture
def make_area(qgis_app):
    """Makes a memory layer of one square, whose upper left corner is so many pixels right of the scene's."""

    def make(offset_px):
        layer = QgsVectorLayer("Polygon?crs=EPSG:32633", "area", "memory")
        west, north = CORNER_X + offset_px * PIXEL_M, CORNER_Y
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(west, north - 320, west + 320, north)))
        layer.dataProvider().addFeature(feature)
        return layer

    return make


@pytest.fixture(scope="session")
def survey():
    """(column, row, cover) of 144 points, four in each cell of 16 pixels."""
    places = range(4, SIZE, 8)
    return [(column, row, "water" if column < SIZE // 2 else "crop") for column in places for row in places]


@pytest.fixture(scope="session")
def survey_file(tmp_path_factory, survey, qgis_app):
    """The path of a GeoPackage of `survey`."""
    path = tmp_path_factory.mktemp("survey") / "points.gpkg"
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    layer = label_layer(survey)
    done = QgsVectorFileWriter.writeAsVectorFormatV3(layer, str(path), QgsCoordinateTransformContext(), options)
    assert done[0] == QgsVectorFileWriter.WriterError.NoError, done
    return str(path)


@pytest.fixture
def labelled(survey, qgis_app):
    """Parameters of a layer of `survey`."""
    return {"INPUT": label_layer(survey), "CLASS_FIELD": "cover"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory, qgis_app, backend_python, scene, survey):
    """A split dataset of 36 chips in `chips` and a forest in `model.safetensors`, made once by the algorithms."""
    folder = tmp_path_factory.mktemp("trained")
    chips, model = str(folder / "chips"), str(folder / "model.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTAGEO_PYTHON", backend_python)
        start = partial(_run, RecordingFeedback())
        labels = label_layer(survey)
        start("createchips", INPUT=labels, CLASS_FIELD="cover", RASTERS=[scene], CHIP_SIZE=16, OUTPUT=chips)
        start("splitchips", INPUT=chips, STRATEGY="random")
        start("finetune", INPUT=chips, BACKBONE="pixels", OUTPUT=model)
    return folder


@pytest.fixture
def damaged(trained, tmp_path):
    """Copies the dataset and spoils the copy in the way that is named."""

    def spoil(how):
        folder = tmp_path / "chips"
        shutil.copytree(trained / "chips", folder)
        DAMAGE[how](folder)
        return str(folder)

    return spoil


def _empty_index(folder):
    with closing(sqlite3.connect(folder / "chips.gpkg")) as index, index:
        index.execute("DELETE FROM chips")


def _truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def _truncate_images(folder):
    for path in (folder / "images").iterdir():
        _truncate(path)


DAMAGE = {
    "nothing": lambda folder: None,
    "no rows": _empty_index,
    "half a dataset.json": lambda folder: _truncate(folder / "dataset.json"),
    "no index": lambda folder: (folder / "chips.gpkg").unlink(),
    "an index of another format": lambda folder: (folder / "chips.gpkg").write_text("not a database" * 1000),
    "half an index": lambda folder: _truncate(folder / "chips.gpkg"),
    "a lost image": lambda folder: next((folder / "images").iterdir()).unlink(),
    "half images": _truncate_images,
}


@pytest.fixture
def broken_model(trained, tmp_path):
    """Makes a file that is no model, and gives its path with words that the refusal has to have."""

    def make(how):
        path = tmp_path / "broken.safetensors"
        whole = (trained / "model.safetensors").read_bytes()
        content, words = {
            "half a model": (whole[: len(whole) // 2], "truncated"),
            "another format": (b"II*\0" + bytes(500), "not a model file"),
            "a pickle": (pickle.dumps({"weights": [1.0]}), "PyTorch checkpoint"),
            "no card": ((2).to_bytes(8, "little") + b"{}", "card"),
            "nothing at all": (b"", "not a model file"),
        }[how]
        path.write_bytes(content)
        return str(path), words

    return make


def _run(feedback, name, **parameters):
    algorithm = next(a for a in catalogue.algorithms() if a.name() == name).create()
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    able, problem = algorithm.canExecute()
    if able:
        able, problem = algorithm.checkParameterValues(parameters, context)
    if not able:
        raise QgsProcessingException(problem)
    outputs, done = algorithm.run(parameters, context, feedback, {}, False)
    if not done:
        raise QgsProcessingException(feedback.said("error"))
    return outputs
