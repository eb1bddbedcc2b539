"""The two algorithms of the group Setup, run as QGIS runs them."""

import json

import pytest
from instageo_plugin.core.contract.jobs import CheckBackendJob, job_from_plain
from instageo_plugin.processing_algorithms.backend import SETTING
from instageo_plugin.processing_algorithms.setup import installer, making
from instageo_plugin.processing_algorithms.setup.checkbackend import CheckBackend
from instageo_plugin.processing_algorithms.setup.setupbackend import SetupBackend
from qgis.core import QgsProcessingContext, QgsProcessingException


def run(algorithm, feedback, **parameters):
    outputs, done = algorithm.create().run(parameters, QgsProcessingContext(), feedback, catchExceptions=False)
    assert done
    return outputs


def test_checkbackend_finds_the_backend_in_order(feedback, settings, backend_python, tmp_path):
    settings.setValue(SETTING, backend_python)
    outputs = run(CheckBackend(), feedback, REPORT=str(tmp_path / "report.html"))
    assert outputs["OK"] is True
    assert outputs["DEVICE"]
    assert outputs["PROBLEMS"] == 0
    assert "The backend works" in (tmp_path / "report.html").read_text()
    assert "GDAL" in feedback.said("info")


def test_checkbackend_writes_its_job(feedback, settings, tmp_path):
    run(CheckBackend(), feedback, JOB=str(tmp_path / "job.json"))
    assert isinstance(job_from_plain(json.loads((tmp_path / "job.json").read_text())), CheckBackendJob)


@pytest.fixture
def installed(monkeypatch, backend_python):
    """In place of an installation of gigabytes: the backend at hand, and the order it was asked for."""
    orders = []

    def install(order, console, verify):
        orders.append(order)
        verify(backend_python)
        return backend_python

    monkeypatch.setattr(making, "install", install)
    return orders


def test_setupbackend_elsewhere_is_remembered_in_the_setting(feedback, settings, installed, backend_python, tmp_path):
    outputs = run(SetupBackend(), feedback, LOCATION=str(tmp_path), COMPUTE="cpu")
    assert outputs["PYTHON"] == backend_python
    assert outputs["BUILD"] == "cpu"
    assert outputs["DEVICE"]
    assert settings.value(SETTING) == backend_python
    assert installed[0].folder == tmp_path
    assert "torch==2.13.0+cpu" in installed[0].requirements


def test_setupbackend_at_its_usual_place_clears_the_setting(feedback, settings, installed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    settings.setValue(SETTING, "/old/python")
    run(SetupBackend(), feedback, COMPUTE="cpu")
    assert installed[0].folder == tmp_path / "instageo" / "backend"
    assert not settings.value(SETTING)
    assert "/old/python" in feedback.said("info")


def test_setupbackend_says_what_is_missing_among_the_wheels(feedback, settings, wheels, tmp_path):
    with pytest.raises(QgsProcessingException, match=r"could not be installed(.|\n)*wheel of every package"):
        run(SetupBackend(), feedback, LOCATION=str(tmp_path / "b"), COMPUTE="cpu", WHEELS=str(wheels))
    assert not settings.value(SETTING)
    assert list((tmp_path / "b").iterdir()) == []


def test_setupbackend_refuses_a_folder_without_wheels(tmp_path):
    algorithm = SetupBackend().create()
    fine, problem = algorithm.checkParameterValues({"WHEELS": str(tmp_path)}, QgsProcessingContext())
    assert not fine
    assert "holds no wheels" in problem


def test_only_checkbackend_needs_a_backend(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert SetupBackend().create().canExecute()[0]
    assert not CheckBackend().create().canExecute()[0]


def test_an_environment_that_lacks_everything_is_not_taken_into_use(feedback, settings, wheels, tmp_path, monkeypatch):
    lock = tmp_path / "lock.txt"
    lock.write_text("fieldkit==1.0\n")
    monkeypatch.setattr(making, "LOCK", lock)
    monkeypatch.setitem(installer.NEEDED_GB, "cpu", 0.1)
    with pytest.raises(QgsProcessingException, match="does not work"):
        run(SetupBackend(), feedback, LOCATION=str(tmp_path / "b"), COMPUTE="cpu", WHEELS=str(wheels))
    assert "torch 2.13.0+cpu is missing" in feedback.said("error")
    assert list((tmp_path / "b").iterdir()) == []
