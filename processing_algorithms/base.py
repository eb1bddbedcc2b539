"""What all algorithms share: names, help, the JOB parameter, and the way from parameters to a job to outputs.

An algorithm translates; it never computes. Its parameters become a job, the backend does the job, and the job's
outputs are the algorithm's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputDefinition,
    QgsProcessingParameterDefinition,
)
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

from ..core.contract.errors import InstaGeoError
from ..core.contract.jobs import Job
from .backend import backend_problem
from .inputs import Inputs, resolve_inputs
from .parameters import file_output
from .scratch import scratch_folder
from .values import Values

RESOURCES = Path(__file__).resolve().parents[1] / "resources"
ICON = RESOURCES / "icons" / "instageo.svg"
HOMEPAGE = "https://github.com/instageo/instageo-qgis"
JOB = "JOB"
JOB_HELP = (
    "Write the job to this file instead of running it, to run it on another machine with "
    "'python -m instageo_plugin.core run FILE'. Layers are exported into a folder beside it."
)
NO_LOGIN = (
    "The job file does not hold the login. Where it runs, give it in the variables INSTAGEO_AUTH_USERNAME and "
    "INSTAGEO_AUTH_PASSWORD, or INSTAGEO_AUTH_TOKEN."
)

SETUP = ("setup", "Setup")
DATA = ("data", "Data")
MODELS = ("models", "Models")
PREDICTION = ("prediction", "Prediction")

_running: set[QgsProcessingFeedback] = set()


def tr(text: str) -> str:
    """`text` in the user's language."""
    return QCoreApplication.translate("InstaGeo", text)


@contextmanager
def running(feedback: QgsProcessingFeedback) -> Iterator[None]:
    """What runs inside is cancelled, through `feedback`, when the plugin is unloaded."""
    _running.add(feedback)
    try:
        yield
    finally:
        _running.discard(feedback)


def cancel_running(patience_s: float = 10.0) -> None:
    """Cancel what runs and wait until its workers are gone; for the plugin's unloading."""
    for feedback in list(_running):
        feedback.cancel()
    deadline = time.monotonic() + patience_s
    while _running and time.monotonic() < deadline:
        time.sleep(0.05)


class InstaGeoAlgorithm(QgsProcessingAlgorithm):
    """An algorithm of the provider. A subclass gives the class attributes, `parameters`, `results` and `job`."""

    NAME: ClassVar[str]
    TITLE: ClassVar[str]
    GROUP: ClassVar[tuple[str, str]]
    SUMMARY: ClassVar[str]
    HELP: ClassVar[str]
    TAGS: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        self._inputs = Inputs()

    def parameters(self) -> list[QgsProcessingParameterDefinition]:
        """The parameters, in the order of the dialog; JOB is added to them."""
        raise NotImplementedError

    def results(self) -> list[QgsProcessingOutputDefinition]:
        """The outputs that no destination parameter declares."""
        return []

    def job(self, values: Values) -> Job:
        """The job these values ask for; raises `InstaGeoError` that lists what is wrong with them."""
        raise NotImplementedError

    def load(self, outputs: Mapping[str, Any], context: QgsProcessingContext) -> None:
        """Ask QGIS to load layers that are no destination parameter."""

    def name(self) -> str:
        return self.NAME

    def displayName(self) -> str:  # noqa: N802 - QGIS's names, here and below
        return tr(self.TITLE)

    def group(self) -> str:
        return tr(self.GROUP[1])

    def groupId(self) -> str:  # noqa: N802
        return self.GROUP[0]

    def shortDescription(self) -> str:  # noqa: N802
        return tr(self.SUMMARY)

    def shortHelpString(self) -> str:  # noqa: N802
        """The description, then each parameter that is not advanced."""
        advanced = QgsProcessingParameterDefinition.Flag.FlagAdvanced
        explained = [
            f"<b>{definition.description()}</b>: {definition.help()}"
            for definition in self.parameterDefinitions()
            if not definition.flags() & advanced
        ]
        return "\n".join([tr(self.SUMMARY), tr(self.HELP), *explained])

    def helpUrl(self) -> str:  # noqa: N802
        return f"{HOMEPAGE}#readme"

    def icon(self) -> QIcon:
        return QIcon(str(ICON))

    def svgIconPath(self) -> str:  # noqa: N802
        return str(ICON)

    def tags(self) -> list[str]:
        return [tr(tag) for tag in self.TAGS]

    def createInstance(self) -> InstaGeoAlgorithm:  # noqa: N802
        return type(self)()

    def initAlgorithm(self, configuration: Mapping[str, Any] | None = None) -> None:  # noqa: N802
        for definition in self.parameters():
            self.addParameter(definition)
        for output in self.results():
            self.addOutput(output)
        self.addParameter(file_output(JOB, "Job file", "Job (*.json)", JOB_HELP, optional=True, advanced=True))

    def canExecute(self) -> tuple[bool, str]:  # noqa: N802
        problem = backend_problem()
        return not problem, problem

    def checkParameterValues(  # noqa: N802
        self, parameters: Mapping[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        fine, problem = super().checkParameterValues(parameters, context)
        if not fine:
            return fine, problem
        try:
            self.job(Values(self, parameters, context, resolve_inputs(self, parameters, context)))
        except (InstaGeoError, QgsProcessingException) as error:
            return False, str(error)
        return True, ""

    def prepareAlgorithm(  # noqa: N802
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Layers are touched here, on the thread they belong to."""
        try:
            self._inputs = resolve_inputs(self, parameters, context)
        except InstaGeoError as error:
            raise QgsProcessingException(str(error)) from error
        return True

    def processAlgorithm(  # noqa: N802
        self, parameters: Mapping[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        from .runner import run_job  # it would only slow QGIS's start

        job_file = self.parameterAsFileOutput(parameters, JOB, context)
        try:
            with running(feedback), scratch_folder(job_file, context) as folder:
                values = Values(self, parameters, context, self._inputs, folder)
                job = self.job(values)
                values.export(feedback)
                if job_file:
                    if self._inputs.secrets:
                        feedback.pushWarning(tr(NO_LOGIN))
                    return _write(job, os.path.abspath(job_file), context, feedback)
                outputs = run_job(job, feedback, secrets=self._inputs.secrets)
        except InstaGeoError as error:
            raise QgsProcessingException(str(error)) from error
        self.load(outputs, context)
        return {name: value for name, value in outputs.items() if value not in (None, "")}


def _write(job: Job, path: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
    from .runner import write_job

    write_job(job, path)
    context.setLayersToLoadOnCompletion({})  # they will be made elsewhere
    feedback.pushInfo(tr("The job is in {}; nothing was run.").format(path))
    return {JOB: path}
