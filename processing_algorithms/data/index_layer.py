"""The index of a chip dataset as an output and as a layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingOutputDefinition,
    QgsProcessingOutputNumber,
    QgsProcessingOutputVectorLayer,
    QgsProcessingUtils,
)

from ...core.contract.dataset import CHIPS_LAYER
from .. import parameters as p


def index_outputs(skipped: str) -> list[QgsProcessingOutputDefinition]:
    """INDEX, CHIP_COUNT and SKIPPED_COUNT; `skipped` says what the last one counts."""
    polygons = QgsProcessing.SourceType.TypeVectorPolygon
    return [
        QgsProcessingOutputVectorLayer("INDEX", p.tr("Index of the chips"), polygons),
        QgsProcessingOutputNumber("CHIP_COUNT", p.tr("Number of chips")),
        QgsProcessingOutputNumber("SKIPPED_COUNT", p.tr(skipped)),
    ]


def load_index(outputs: Mapping[str, Any], context: QgsProcessingContext) -> None:
    """Have QGIS open the index as a layer."""
    index, project = outputs.get("INDEX"), context.project()
    if not index or project is None:
        return
    hint = QgsProcessingUtils.LayerHint.Vector
    name = p.tr("{} chips").format(Path(str(outputs["OUTPUT"])).name)
    details = QgsProcessingContext.LayerDetails(name, project, "INDEX", hint)
    context.addLayerToLoadOnCompletion(f"{index}|layername={CHIPS_LAYER}", details)
