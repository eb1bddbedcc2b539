"""Makes a backend, checks it, and takes it into use."""

from __future__ import annotations

import os
from pathlib import Path

from qgis.core import QgsProcessingException, QgsProcessingFeedback, QgsSettings

from ...core.contract.errors import BACKEND, Cancelled, InstaGeoError
from ...core.contract.jobs import CheckBackendJob
from ...core.contract.launch import process_environment
from ..backend import SETTING, VARIABLE, managed_folder
from ..process import output_of
from ..proxy import proxy_environment
from ..runner import run_job
from .console import Console
from .installer import Order, install
from .requirements import LOCK, Machine, choose_compute, requirements, uv_torch_backend


def make_backend(location: str, compute: str, wheels: str, feedback: QgsProcessingFeedback) -> dict[str, str]:
    """Install, check and remember a backend; returns PYTHON, BUILD and DEVICE. Raises `InstaGeoError`."""
    check = _Check(feedback)
    console = Console(feedback, process_environment(proxy_environment()))
    order = make_order(location, compute, wheels, console)
    feedback.pushInfo(f"Backend for {order.compute} in {order.folder}.")
    python = install(order, console, check)
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
