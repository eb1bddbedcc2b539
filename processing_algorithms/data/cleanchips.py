"""Clean chips: take chips that are not good enough out of a dataset."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputFolder, QgsProcessingOutputNumber

from ...core.contract.jobs import CleanChipsJob
from .. import parameters as p
from ..base import DATA, InstaGeoAlgorithm
from ..values import Values


class CleanChips(InstaGeoAlgorithm):
    """Moves rows of a dataset's index to its skipped layer."""

    NAME = "cleanchips"
    TITLE = "Clean chips"
    GROUP = DATA
    SUMMARY = "Takes chips with too few labels, too little data or too many clouds out of a dataset."
    HELP = (
        "The chips leave the index and stand in its layer 'skipped' with the reason; their files stay. Deleting rows "
        "of the chips layer by hand in QGIS does the same without a reason. Next: Split chips."
    )
    TAGS = ("chips", "quality", "clouds", "filter", "dataset")

    def parameters(self) -> list[p.Definition]:
        return [
            p.folder_input("INPUT", "Chip dataset", "Folder of the dataset, as Create chips made it."),
            p.decimal(
                "MIN_VALID",
                "Fewest valid pixels",
                CleanChipsJob.min_valid,
                "Percent of a chip's pixels that must have data. Default 0.",
                minimum=0,
                maximum=100,
            ),
            p.integer(
                "MIN_LABELS",
                "Fewest labelled pixels",
                CleanChipsJob.min_labels,
                "Labelled pixels that a chip must have. Default 1.",
                minimum=0,
            ),
            p.decimal(
                "MAX_CHIP_CLOUD",
                "Most masked pixels",
                CleanChipsJob.max_chip_cloud,
                "Percent of a chip's pixels that may be masked. Default 100.",
                minimum=0,
                maximum=100,
            ),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [
            QgsProcessingOutputFolder("OUTPUT", p.tr("Chip dataset")),
            QgsProcessingOutputNumber("CHIP_COUNT", p.tr("Number of chips left")),
            QgsProcessingOutputNumber("SKIPPED_COUNT", p.tr("Number of chips taken out")),
        ]

    def job(self, values: Values) -> CleanChipsJob:
        return CleanChipsJob(
            dataset=values.path("INPUT"),
            min_valid=values.decimal("MIN_VALID"),
            min_labels=values.integer("MIN_LABELS"),
            max_chip_cloud=values.decimal("MAX_CHIP_CLOUD"),
        )
