"""Fixtures for the QGIS side. pytest-qgis gives a QGIS with a profile of its own."""

import os
import threading
import time
from pathlib import Path

import pytest
from qgis.core import QgsProcessingFeedback, QgsSettings


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
