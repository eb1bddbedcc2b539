"""Merge chips: several chip datasets to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputDefinition

from ...core.contract.jobs import MergeChipsJob
from .. import parameters as p
from ..base import DATA, InstaGeoAlgorithm
from ..values import Values
from .index_layer import index_outputs, load_index


class MergeChips(InstaGeoAlgorithm):
    """Copies the chips of several datasets into a new one."""

    NAME = "mergechips"
    TITLE = "Merge chips"
    GROUP = DATA
    SUMMARY = "Makes one chip dataset of several, such as those of several regions or seasons."
    HELP = (
        "The datasets must have the same inputs, bands, chip size, pixel size and task; their classes are united. What "
        "differs is listed. Splits stay where all have them and no labelled ground would be in two parts. Next: Split "
        "chips."
    )
    TAGS = ("chips", "merge", "combine", "dataset")

    def parameters(self) -> list[p.Definition]:
        return [
            p.datasets(
                "INPUTS",
                "Chip datasets",
                "The indexes of two or more datasets: their layers, or their files chips.gpkg.",
            ),
            p.folder_output("OUTPUT", "Merged chip dataset", "Folder of the new dataset."),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return index_outputs("Number of skipped cells and labels of all datasets")

    def job(self, values: Values) -> MergeChipsJob:
        return MergeChipsJob(datasets=values.files("INPUTS"), output=values.output("OUTPUT"))

    def load(self, outputs: Mapping[str, Any], context: QgsProcessingContext) -> None:
        load_index(outputs, context)
