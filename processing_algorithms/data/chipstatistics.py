"""Chip statistics: what a dataset holds."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputNumber, QgsProcessingOutputString

from ...core.contract.jobs import EVALUATED_SPLITS, ChipStatisticsJob
from .. import parameters as p
from ..base import DATA, InstaGeoAlgorithm
from ..values import Values


class ChipStatistics(InstaGeoAlgorithm):
    """Counts classes and measures bands."""

    NAME = "chipstatistics"
    TITLE = "Chip statistics"
    GROUP = DATA
    SUMMARY = "Counts the classes of a dataset and measures its bands."
    HELP = "Look here before training: a class with few pixels, a band without values, a histogram with two humps."
    TAGS = ("chips", "classes", "histogram", "mean", "standard deviation", "balance", "dataset")

    def parameters(self) -> list[p.Definition]:
        return [
            p.folder_input("INPUT", "Chip dataset", "Folder of the dataset, as Create chips made it."),
            p.choice(
                "SPLIT",
                "Part of the dataset",
                EVALUATED_SPLITS,
                ChipStatisticsJob.split,
                "The chips to look at. Default 'all'.",
            ),
            p.report("A page with the class balance and a histogram a band."),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [
            QgsProcessingOutputNumber("CHIP_COUNT", p.tr("Number of chips")),
            QgsProcessingOutputNumber("LABELLED_PIXELS", p.tr("Number of labelled pixels")),
            QgsProcessingOutputString("CLASS_PIXELS", p.tr("Labelled pixels of each class")),
            QgsProcessingOutputString("CLASS_WEIGHTS", p.tr("Balanced weight of each class")),
            QgsProcessingOutputString("MEANS", p.tr("Mean of each band")),
            QgsProcessingOutputString("STDS", p.tr("Standard deviation of each band")),
        ]

    def job(self, values: Values) -> ChipStatisticsJob:
        return ChipStatisticsJob(
            dataset=values.path("INPUT"), split=values.choice("SPLIT"), report=values.output("REPORT")
        )
