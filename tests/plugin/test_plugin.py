"""The plugin's life in QGIS: loaded, reloaded, unloaded, with and without a main window."""

import gc
import importlib
import sys
import threading
import time
import weakref
from pathlib import Path

import instageo_plugin
import pytest
import qgis.utils
from instageo_plugin.instageo_qgis.settings import BackendOptionsFactory
from instageo_plugin.processing_algorithms import base
from instageo_plugin.processing_algorithms.backend import SETTING
from qgis.core import QgsApplication
from qgis.gui import QgsFileWidget, QgsOptionsPageWidget

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "instageo_plugin"


class MainWindow:
    """Keeps the option pages that are registered, as QGIS does."""

    def __init__(self):
        self.factories = []

    def registerOptionsWidgetFactory(self, factory):  # noqa: N802 - QGIS's names
        self.factories.append(factory)

    def unregisterOptionsWidgetFactory(self, factory):  # noqa: N802
        self.factories.remove(factory)


@pytest.fixture
def window():
    return MainWindow()


def provider():
    return QgsApplication.processingRegistry().providerById("instageo")


@pytest.fixture(autouse=True)
def nothing_is_left():
    assert provider() is None
    yield
    assert provider() is None


def test_loading_shows_the_algorithms_and_the_options_page(window):
    plugin = instageo_plugin.classFactory(window)
    assert provider() is None, "making the object does nothing"
    plugin.initGui()
    assert provider().algorithm("createchips")
    assert [type(factory) for factory in window.factories] == [BackendOptionsFactory]
    plugin.unload()
    assert window.factories == []


def test_it_can_be_loaded_and_unloaded_again_and_again(window):
    plugin = instageo_plugin.classFactory(window)
    for _ in range(2):
        plugin.initGui()
        assert len(provider().algorithms()) > 5
        plugin.unload()
        assert provider() is None
        assert QgsApplication.processingRegistry().algorithmById("instageo:createchips") is None
        assert window.factories == []


def test_it_works_with_pytest_qgis_interface(qgis_iface):
    plugin = instageo_plugin.classFactory(qgis_iface)
    plugin.initGui()
    assert provider()
    plugin.unload()


def test_without_a_main_window_it_adds_the_provider_only():
    plugin = instageo_plugin.classFactory(None)
    plugin.initProcessing()
    assert provider().algorithm("finetune")
    plugin.unload()


def test_the_provider_is_added_once_when_qgis_asks_twice(window):
    plugin = instageo_plugin.classFactory(window)
    added = []
    registry = QgsApplication.processingRegistry()
    registry.providerAdded.connect(added.append)
    plugin.initProcessing()
    plugin.initGui()
    registry.providerAdded.disconnect(added.append)
    assert added == ["instageo"]
    plugin.unload()


def test_unloading_what_was_never_loaded_does_no_harm(window):
    plugin = instageo_plugin.classFactory(window)
    plugin.unload()
    plugin.unload()


def test_unloading_leaves_no_python_object_behind(window):
    plugin = instageo_plugin.classFactory(window)
    plugin.initGui()
    left = weakref.ref(provider())
    plugin.unload()
    del plugin
    gc.collect()
    assert left() is None


@pytest.fixture
def installed(tmp_path, monkeypatch, window):
    """The plugin in a plugins folder that QGIS finds, and not imported yet; the tests' own modules come back."""
    kept = our_modules()
    for name in kept:
        del sys.modules[name]
    (tmp_path / PACKAGE).symlink_to(ROOT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(qgis.utils, "iface", window)
    monkeypatch.setattr(qgis.utils, "available_plugins", [PACKAGE])  # whose imports QGIS follows, to unload them
    yield PACKAGE
    if PACKAGE in qgis.utils.plugins:
        qgis.utils.unloadPlugin(PACKAGE)
    for name in our_modules():
        del sys.modules[name]
    sys.modules.update(kept)


def our_modules(packages=True):
    """Modules of the plugin that are imported; packages hold a docstring alone, so that a stale one does no harm."""
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == PACKAGE}
    return {name: module for name, module in ours.items() if packages or not hasattr(module, "__path__")}


def test_qgis_loads_starts_and_unloads_it(installed, window):
    assert qgis.utils.loadPlugin(installed)
    assert qgis.utils.startPlugin(installed)
    assert provider().algorithm("labelstomap")
    assert len(window.factories) == 1
    assert qgis.utils.unloadPlugin(installed)
    assert window.factories == []
    assert our_modules(packages=False) == {}


def test_qgis_starts_it_for_processing_alone(installed, window):
    assert qgis.utils.loadPlugin(installed)
    assert qgis.utils.startProcessingPlugin(installed)
    assert provider().algorithm("labelstomap")
    assert window.factories == []


def test_a_reload_takes_all_code_anew(installed, window):
    assert qgis.utils.loadPlugin(installed)
    assert qgis.utils.startPlugin(installed)
    before = our_modules(packages=False)
    assert qgis.utils.reloadPlugin(installed)
    after = our_modules(packages=False)
    assert set(after) == set(before)
    assert [name for name in after if after[name] is before[name]] == []
    assert type(provider().algorithm("splitchips")).__module__ in after
    assert provider().algorithm("labelstomap").outputDefinitions()
    assert len(window.factories) == 1


def test_the_package_can_be_reloaded_in_place(installed, window):
    package = importlib.import_module(installed)
    assert importlib.reload(package) is package
    plugin = package.classFactory(window)
    plugin.initGui()
    plugin.unload()


def test_unloading_cancels_what_runs_and_waits_for_it(feedback):
    plugin = instageo_plugin.classFactory(None)
    plugin.initProcessing()
    started, ended = threading.Event(), threading.Event()

    def work():
        with base.running(feedback):
            started.set()
            while not feedback.isCanceled():
                time.sleep(0.01)
            time.sleep(0.1)
            ended.set()

    worker = threading.Thread(target=work)
    worker.start()
    started.wait(5)
    plugin.unload()
    assert ended.is_set()
    worker.join(5)


def page():
    made = BackendOptionsFactory().createWidget()
    assert isinstance(made, QgsOptionsPageWidget)
    return made, made.findChild(QgsFileWidget)


def test_the_options_page_shows_and_keeps_the_interpreter(settings):
    settings.setValue(SETTING, "/usr/bin/python3")
    shown, field = page()
    assert field.filePath() == "/usr/bin/python3"
    field.setFilePath(" /opt/python ")
    shown.apply()
    assert settings.value(SETTING) == "/opt/python"


def test_an_empty_field_clears_the_setting(settings):
    settings.setValue(SETTING, "/usr/bin/python3")
    shown, field = page()
    field.setFilePath("")
    shown.apply()
    assert not settings.contains(SETTING)
