"""Model info: the card of a model file."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputNumber, QgsProcessingOutputString

from ...core.contract.jobs import ModelInfoJob
from .. import parameters as p
from ..base import MODELS, InstaGeoAlgorithm
from ..values import Values
from .common import model_input


class ModelInfo(InstaGeoAlgorithm):
    """Shows what a model expects, what it was trained on and how good it was."""

    NAME = "modelinfo"
    TITLE = "Model info"
    GROUP = MODELS
    SUMMARY = "Shows the model card: expected bands, classes, training and figures."
    HELP = "Everything on the page stands in the model file itself."
    TAGS = ("model", "model card", "bands", "classes")

    def parameters(self) -> list[p.Definition]:
        return [
            model_input(),
            p.file_output("OUTPUT_HTML", "Model card", p.HTML_FILTER, "The card as a page."),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [
            QgsProcessingOutputNumber("PARAMETERS", p.tr("Number of weights")),
            QgsProcessingOutputString("BACKBONE", p.tr("Backbone")),
        ]

    def job(self, values: Values) -> ModelInfoJob:
        return ModelInfoJob(model=values.path("MODEL"), output_html=values.output("OUTPUT_HTML"))
