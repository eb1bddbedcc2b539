"""Export model: a model file for other programs."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputNumber

from ...core.contract.jobs import MODEL_FORMATS, ExportModelJob
from .. import parameters as p
from ..base import MODELS, InstaGeoAlgorithm
from ..values import Values
from .common import model_input


class ExportModel(InstaGeoAlgorithm):
    """Writes ONNX files and checkpoints of the InstaGeo framework."""

    NAME = "exportmodel"
    TITLE = "Export model"
    GROUP = MODELS
    SUMMARY = "Writes a model file for other programs: ONNX for the Deepness plugin, or an InstaGeo checkpoint."
    HELP = (
        "'onnx' has one input, the bands of all timesteps as Deepness reads them (values / 255), and gives class "
        "probabilities; class names, pixel size and tile size stand in the file. It is run once and compared with the "
        "model.\n"
        "'instageo' is for Prithvi models that were trained with HEAD 'instageo'."
    )
    TAGS = ("model", "export", "onnx", "deepness", "checkpoint")

    def parameters(self) -> list[p.Definition]:
        return [
            model_input(),
            p.choice(
                "FORMAT",
                "Format",
                MODEL_FORMATS,
                ExportModelJob.format,
                "'onnx': for Deepness and other programs (default). 'instageo': a checkpoint with the key names of the "
                "InstaGeo framework.",
            ),
            p.file_output("OUTPUT", "Exported model", "ONNX (*.onnx);;Checkpoint (*.ckpt)", "The .onnx or .ckpt file."),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [QgsProcessingOutputNumber("DIFFERENCE", p.tr("Largest difference of a probability"))]

    def job(self, values: Values) -> ExportModelJob:
        return ExportModelJob(
            model=values.path("MODEL"), output=values.output("OUTPUT"), format=values.choice("FORMAT")
        )
