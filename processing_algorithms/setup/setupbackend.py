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
    QgsSettings,
)

from ...core.contract.errors import BACKEND, Cancelled, InstaGeoError
from ...core.contract.jobs import CheckBackendJob
from ...core.contract.launch import process_environment
from .. import parameters as p
from ..backend import SETTING, VARIABLE, managed_folder
from ..base import SETUP, InstaGeoAlgorithm, running
from ..process import output_of
from ..proxy import proxy_environment
from ..runner import run_job
from .console import Console
from .installer import Order, install
from .requirements import AUTO, COMPUTES, LOCK, Machine, choose_compute, requirements, uv_torch_backend


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
        location = _absolute(self.parameterAsFile(parameters, "LOCATION", context))
        wheels = _absolute(self.parameterAsFile(parameters, "WHEELS", context))
        compute = self.parameterAsEnumString(parameters, "COMPUTE", context)
        check = _Check(feedback)
        try:
            console = Console(feedback, process_environment(proxy_environment()))
            order = make_order(location, compute, wheels, console)
            feedback.pushInfo(f"Backend for {order.compute} in {order.folder}.")
            with running(feedback):
                python = install(order, console, check)
        except InstaGeoError as error:
            raise QgsProcessingException(str(error)) from error
        remember(python, location, feedback)
        return {"PYTHON": python, "BUILD": order.compute, "DEVICE": check.device}


class _Check:
    """Runs the job `checkbackend` in the new environment."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self.device = ""

    def __call__(self, python: str) -> None:
        """Raises `InstaGeoError` when the environment does not work."""
        try:
            outputs = run_job(CheckBackendJob(), self._feedback, python=python)
        except QgsProcessingException as error:
            if self._feedback.isCanceled():
                raise Cancelled() from error
            raise InstaGeoError(str(error), code=BACKEND) from error
        if not outputs["OK"]:
            raise InstaGeoError("The installed backend does not work; the lines above say why.", code=BACKEND)
        self.device = str(outputs["DEVICE"])


def make_order(location: str, compute: str, wheels: str, console: Console) -> Order:
    """What to install on this computer; raises `InstaGeoError` for what cannot be."""
    machine = Machine(nvidia=output_of(["nvidia-smi", "-L"], console.environment) is not None)
    compute = choose_compute(compute, machine)
    return Order(
        folder=Path(location) if location else managed_folder(),
        requirements=requirements(LOCK.read_text(encoding="utf-8"), compute, machine),
        compute=compute,
        wheels=wheels,
        torch_backend=uv_torch_backend(compute, machine),
    )


def remember(python: str, location: str, feedback: QgsProcessingFeedback) -> None:
    """Make the new backend the one in use: by the setting where it lies elsewhere than expected, else without it."""
    settings = QgsSettings()
    if location:
        settings.setValue(SETTING, python)
        feedback.pushInfo(f"The setting {SETTING} now names {python}.")
    elif settings.value(SETTING):
        feedback.pushInfo(f"The setting {SETTING} is cleared; it named {settings.value(SETTING)}.")
        settings.remove(SETTING)
    if not settings.value(SETTING) and os.environ.get(VARIABLE):
        feedback.pushWarning(f"The variable {VARIABLE} names {os.environ[VARIABLE]}, which is used first.")


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path else ""
