"""Import model: a trained checkpoint of another program to a model file."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputNumber

from ...core.contract.backbones import BACKBONES, PATCH
from ...core.contract.jobs import ImportModelJob
from ...core.contract.sensors import CUSTOM, SENSORS
from .. import parameters as p
from ..base import MODELS, InstaGeoAlgorithm
from ..class_table import COLUMNS
from ..values import Values


class ImportModel(InstaGeoAlgorithm):
    """Takes over checkpoints of the InstaGeo framework and of TerraTorch."""

    NAME = "importmodel"
    TITLE = "Import model"
    GROUP = MODELS
    SUMMARY = "Makes a model file of a checkpoint that the InstaGeo framework or TerraTorch trained."
    HELP = (
        "Segmentation models of Prithvi and TerraMind come in: of the InstaGeo framework, and of TerraTorch with "
        "FCNDecoder or LinearDecoder. Such a file does not say which bands, classes and scaling it was trained with, "
        "so they are asked here.\n"
        "A file that holds more than weights could run code and is refused. Next: Evaluate, Predict raster."
    )
    TAGS = ("model", "import", "checkpoint", "terratorch", "lightning", "prithvi", "terramind")

    def parameters(self) -> list[p.Definition]:
        return [
            p.file_input(
                "INPUT", "Checkpoint", "Checkpoints (*.ckpt *.pt *.pth *.safetensors)", "File of the trained model."
            ),
            p.text(
                "BACKBONE",
                "Backbone",
                "prithvi_v1_100m",
                "The foundation model inside. Default 'prithvi_v1_100m'.",
                hints=tuple(one.name for one in BACKBONES if one.kind == PATCH),
            ),
            p.choice(
                "SENSOR",
                "Sensor",
                (*SENSORS, CUSTOM),
                ImportModelJob.sensor,
                "What it was trained on. Default 'hls'.",
            ),
            p.text(
                "BANDS",
                "Bands",
                "",
                "Names of the bands it was trained with, in order: 'blue green red'. Empty: the backbone's own.",
            ),
            p.matrix(
                "CLASS_TABLE",
                "Class table",
                COLUMNS,
                "A row a class, in the order of training: source value, class value (0 to 32767), name, colour "
                "(#rrggbb). Empty: numbers from 0.",
            ),
            p.integer(
                "CHIP_SIZE",
                "Chip size",
                ImportModelJob.chip_size,
                "Side of its chips in pixels. Default 224.",
                minimum=1,
            ),
            p.decimal(
                "RESOLUTION",
                "Pixel size",
                ImportModelJob.resolution,
                "Side of a pixel in metres. Default 30.",
                minimum=0,
            ),
            p.text(
                "MEAN",
                "Means",
                "",
                "Means of the bands in its training, in order. Empty: those of the backbone.",
                advanced=True,
            ),
            p.text("STD", "Standard deviations", "", "As the means.", advanced=True),
            p.decimal(
                "MULTIPLIER",
                "Multiplier",
                ImportModelJob.multiplier,
                "What reflectance x 10000 was multiplied by before means were subtracted, such as 0.0001. Default 1.",
                minimum=0,
                advanced=True,
            ),
            p.file_output("OUTPUT", "Model", p.MODEL_FILTER, "The model file, with its model card."),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [QgsProcessingOutputNumber("PARAMETERS", p.tr("Number of weights"))]

    def job(self, values: Values) -> ImportModelJob:
        return ImportModelJob(
            input=values.path("INPUT"),
            output=values.output("OUTPUT"),
            backbone=values.text("BACKBONE"),
            sensor=values.choice("SENSOR"),
            bands=tuple(values.text("BANDS").replace(",", " ").split()),
            class_table=values.class_table(""),
            chip_size=values.integer("CHIP_SIZE"),
            resolution=values.decimal("RESOLUTION"),
            mean=values.numbers("MEAN"),
            std=values.numbers("STD"),
            multiplier=values.decimal("MULTIPLIER"),
        )
