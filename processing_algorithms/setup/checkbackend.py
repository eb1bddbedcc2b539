"""Check backend: what it is, and whether it works."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingOutputBoolean,
    QgsProcessingOutputDefinition,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingUtils,
)

from ...core.contract.jobs import CheckBackendJob
from .. import parameters as p
from ..base import SETUP, InstaGeoAlgorithm
from ..values import Values


class CheckBackend(InstaGeoAlgorithm):
    """Runs the job `checkbackend`."""

    NAME = "checkbackend"
    TITLE = "Check backend"
    GROUP = SETUP
    SUMMARY = "Says what the backend is, whether it works, and what to do about each problem."
    HELP = (
        "Versions of Python and of every library beside those they were tested with, what jobs compute on (processor "
        "or GPU), memory, free disk space, and small computations whose result is known. Your user folder is shown as "
        "~, so the report can be passed on."
    )
    TAGS = ("backend", "python", "pytorch", "gpu", "cuda", "versions", "diagnose")

    def parameters(self) -> list[p.Definition]:
        return [p.report("A page with everything that was found.")]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [
            QgsProcessingOutputBoolean("OK", p.tr("The backend works")),
            QgsProcessingOutputString("DEVICE", p.tr("What jobs compute on")),
            QgsProcessingOutputNumber("PROBLEMS", p.tr("Number of problems")),
        ]

    def job(self, values: Values) -> CheckBackendJob:
        return CheckBackendJob(report=values.output("REPORT"), scratch=QgsProcessingUtils.tempFolder())
