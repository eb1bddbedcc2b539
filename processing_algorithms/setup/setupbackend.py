"""Set up backend: makes the Python environment that all jobs run in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputDefinition,
    QgsProcessingOutputString,
)

from ...core.contract.errors import InstaGeoError
from .. import parameters as p
from ..base import SETUP, InstaGeoAlgorithm, running
from .requirements import AUTO, COMPUTES


class SetupBackend(InstaGeoAlgorithm):
    """Translates its parameters to an `Order`. It is no job, since there is no worker yet to do one."""

    NAME = "setupbackend"
    TITLE = "Set up backend"
    GROUP = SETUP
    SUMMARY = "Makes the Python environment that all other algorithms compute in."
    HELP = (
        "QGIS's own Python is left as it is. Every version is pinned. The program uv is used where it is installed, "
        "else venv and pip, with the proxy of QGIS's options. About 1 GB is fetched for the processor, 4 GB for an "
        "NVIDIA GPU. Running it again does nothing when the backend is up to date; when it fails, an earlier backend "
        "stays in use. Without a network: give a folder with the wheels of all packages of "
        "resources/backend/lock-cpu.txt."
    )
    TAGS = ("backend", "python", "pytorch", "install", "gpu", "cuda", "environment", "offline")

    def parameters(self) -> list[p.Definition]:
        return [
            p.folder_input(
                "LOCATION",
                "Folder of the backend",
                "Empty: the user's data folder, outside the QGIS profile, so that all profiles share it.",
                optional=True,
            ),
            p.choice(
                "COMPUTE",
                "Compute on",
                COMPUTES,
                AUTO,
                "auto: the NVIDIA GPU where its driver answers, else the processor. cuda needs far more space.",
            ),
            p.folder_input(
                "WHEELS", "Folder of wheels", "Install from this folder only, without a network.", optional=True
            ),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [
            QgsProcessingOutputString("PYTHON", p.tr("Interpreter of the backend")),
            QgsProcessingOutputString("BUILD", p.tr("Build of PyTorch: cpu or cuda")),
            QgsProcessingOutputString("DEVICE", p.tr("What jobs compute on")),
        ]

    def initAlgorithm(self, configuration: Mapping[str, Any] | None = None) -> None:  # noqa: N802 - QGIS's names
        for definition in self.parameters():  # and no JOB
            self.addParameter(definition)
        for output in self.results():
            self.addOutput(output)

    def canExecute(self) -> tuple[bool, str]:  # noqa: N802
        return True, ""

    def checkParameterValues(  # noqa: N802
        self, parameters: Mapping[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        wheels = self.parameterAsFile(parameters, "WHEELS", context)
        if wheels and not any(Path(wheels).glob("*.whl")):
            return False, f"The folder {wheels} holds no wheels (*.whl). Choose another folder in WHEELS."
        return QgsProcessingAlgorithm.checkParameterValues(self, parameters, context)

    def processAlgorithm(  # noqa: N802
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        from .making import make_backend  # the installer's modules would only slow QGIS's start

        location = _absolute(self.parameterAsFile(parameters, "LOCATION", context))
        wheels = _absolute(self.parameterAsFile(parameters, "WHEELS", context))
        compute = self.parameterAsEnumString(parameters, "COMPUTE", context)
        try:
            with running(feedback):
                return make_backend(location, compute, wheels, feedback)
        except InstaGeoError as error:
            raise QgsProcessingException(str(error)) from error


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path else ""
