"""What checkbackend finds in this backend and in damaged ones."""

import os
import shutil
import sys
from collections import namedtuple

import psutil
import pytest
import torch
from instageo_plugin.core import backend_check
from instageo_plugin.core.backend_check import check_backend, locked_versions, redact
from instageo_plugin.core.contract.jobs import CheckBackendJob
from instageo_plugin.core.reporting import SilentReporter


class Notes(SilentReporter):
    def __init__(self):
        self.lines = []

    def log(self, message, level="info"):
        self.lines.append((level, message))

    def of(self, *levels):
        return "\n".join(message for level, message in self.lines if level in levels)


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture(autouse=True)
def no_driver(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_this_backend_is_in_order(notes, tmp_path):
    report = tmp_path / "report.html"
    outputs = check_backend(CheckBackendJob(report=str(report), scratch=str(tmp_path)), notes)
    assert outputs["OK"] is True
    assert outputs["DEVICE"]
    assert outputs["PROBLEMS"] == len(notes.of("error", "warning").splitlines())
    for fact in ("Python", "PyTorch", "GDAL", "PROJ", "Threads", "Memory", "Disk"):
        assert fact in notes.of("info")
    text = report.read_text(encoding="utf-8")
    assert "rasterio" in text
    assert os.path.expanduser("~") + "/" not in text + notes.of("info")


def test_without_a_report_none_is_written(notes):
    assert "REPORT" not in check_backend(CheckBackendJob(), notes)


def test_missing_and_other_versions_are_told_apart(notes, tmp_path, monkeypatch):
    lock = tmp_path / "lock.txt"
    lock.write_text("# pinned\nnumpy==0.1\ntorch==2.13.0+cpu\nfieldkit==7.0\n")
    monkeypatch.setattr(backend_check, "LOCK", lock)
    outputs = check_backend(CheckBackendJob(), notes)
    assert outputs["OK"] is False
    assert "fieldkit 7.0 is missing" in notes.of("error")
    assert "setupbackend" in notes.of("error")
    assert "tested with 0.1" in notes.of("warning")
    assert "torch" not in notes.of("error", "warning")


def test_a_library_that_cannot_be_loaded_is_a_finding_and_the_rest_is_still_checked(notes, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    outputs = check_backend(CheckBackendJob(), notes)
    assert outputs["OK"] is False
    assert "PyTorch: ModuleNotFoundError" in notes.of("error")
    assert "GDAL" in notes.of("info")


def test_a_projection_that_is_off_is_found(notes, monkeypatch):
    monkeypatch.setattr(backend_check, "_point_by_pyproj", lambda: (15.0, 0.0))
    assert check_backend(CheckBackendJob(), notes)["OK"] is False
    assert "pyproj projects wrongly" in notes.of("error")


def test_a_gpu_that_the_cpu_build_leaves_idle_is_pointed_out(notes, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert check_backend(CheckBackendJob(), notes)["OK"] is True
    assert "COMPUTE cuda" in notes.of("warning")


def test_a_cuda_build_without_a_gpu_is_pointed_out(notes, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert check_backend(CheckBackendJob(), notes)["OK"] is True
    assert "sees no GPU" in notes.of("warning")


def test_little_memory_and_disk_are_pointed_out(notes, monkeypatch, tmp_path):
    memory = namedtuple("Memory", "total available")(8e9, 0.5e9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(1e9))
    assert check_backend(CheckBackendJob(scratch=str(tmp_path)), notes)["OK"] is True
    assert "0.5 GB of memory" in notes.of("warning")
    assert "1.0 GB are free" in notes.of("warning")


def test_a_temporary_folder_that_cannot_be_written_is_a_problem(notes, tmp_path):
    assert check_backend(CheckBackendJob(scratch=str(tmp_path / "none")), notes)["OK"] is False
    assert "cannot be written" in notes.of("error")


def test_the_users_folder_is_not_shown(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert redact("/home/ada/x and /home/ada/y") == "~/x and ~/y"


def test_a_lock_is_read_with_its_comments():
    assert locked_versions("# a\nidna==3.20\n\ntorch==2.13.0+cpu # build\n") == {"idna": "3.20", "torch": "2.13.0+cpu"}
