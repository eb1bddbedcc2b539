"""Export chips: a chip dataset to files for other programs."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputNumber

from ...core.contract.jobs import CHIP_FORMATS, EVALUATED_SPLITS, ExportChipsJob
from .. import parameters as p
from ..base import DATA, InstaGeoAlgorithm
from ..values import Values


class ExportChips(InstaGeoAlgorithm):
    """Writes a dataset's images and labels in a layout that other programs read."""

    NAME = "exportchips"
    TITLE = "Export chips"
    GROUP = DATA
    SUMMARY = "Writes a chip dataset as image and label files for InstaGeo, TerraTorch and others."
    HELP = "Grid, dates and band names stay; classes.csv holds the classes. Splits become a list of files each."
    TAGS = ("chips", "export", "csv", "geotiff", "terratorch", "dataset")

    def parameters(self) -> list[p.Definition]:
        return [
            p.folder_input("INPUT", "Chip dataset", "Folder of the dataset, as Create chips made it."),
            p.choice(
                "FORMAT",
                "Layout",
                CHIP_FORMATS,
                ExportChipsJob.format,
                "'instageo': folders chips and seg_maps with csv files of Input and Label; reflectance as uint16 with "
                "nodata 0 (default). 'pairs': folders images and labels with equal file names, unchanged.",
            ),
            p.choice("SPLIT", "Split", EVALUATED_SPLITS, ExportChipsJob.split, "Which chips. Default 'all'."),
            p.text(
                "SENSOR",
                "Sensor",
                ExportChipsJob.sensor,
                "The input to export, where the dataset has several. Empty: all ('instageo' takes one).",
                advanced=True,
            ),
            p.folder_output("OUTPUT", "Exported files", "A new or empty folder."),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [QgsProcessingOutputNumber("CHIP_COUNT", p.tr("Number of chips"))]

    def job(self, values: Values) -> ExportChipsJob:
        return ExportChipsJob(
            dataset=values.path("INPUT"),
            output=values.output("OUTPUT"),
            format=values.choice("FORMAT"),
            split=values.choice("SPLIT"),
            sensor=values.text("SENSOR"),
        )
