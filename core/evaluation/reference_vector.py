"""Reference points and polygons, on the pixels of a map."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..chips.labels import BurnRule, VectorLabels
from ..chips.vectors import LabelFeatures, label_features, read_layer
from ..contract.classes import ClassTable
from ..contract.jobs import EvaluateJob
from ..imagery.grid import Grid


@dataclass(frozen=True)
class Reference:
    """Reference labels as they are in their file."""

    features: LabelFeatures

    def unknown(self, table: ClassTable) -> set[str]:
        """Classes that stand in the way: unless all are names of the table, or all its values, those that are not."""
        found = set(self.features.sources)
        by_name, by_value = found - set(table.names), found - set(map(str, table.values))
        return min(by_name, by_value, key=len)

    def on_grid(self, grid: Grid, table: ClassTable) -> VectorLabels:
        """The labels as pixels of `grid`: a point labels the pixel it lies in, a polygon those whose middle it covers.

        Whole numbers are class values first, text is class names first. `unknown(table)` must be empty.
        """
        codes = [dict(zip(table.names, table.values)), {str(value): value for value in table.values}]
        ordered = codes[::-1] if self.features.numeric else codes
        chosen = next(code for code in ordered if set(self.features.sources) <= set(code))
        values = np.array([chosen[source] for source in self.features.sources], dtype=np.int16)
        return VectorLabels(self.features, values, grid, BurnRule())

    def left_out(self, labels: VectorLabels) -> Counter[str]:
        """Features that label no pixel, by reason."""
        counts: Counter[str] = Counter()
        for row in self.features.skipped:
            counts[f"labels with {row.reason}"] += row.count
        counts["labels outside the map"] = int(np.count_nonzero(~labels.on_scene))
        without_pixel = labels.on_scene & ~labels.painting
        counts["polygons that cover the middle of no pixel"] = int(np.count_nonzero(without_pixel))
        return counts


def read_reference(job: EvaluateJob) -> Reference:
    """Read the reference layer.

    Raises `InstaGeoError` when it cannot be read, lacks the field or a CRS, holds lines, or has no class anywhere.
    """
    layer = read_layer(job.reference_vector, job.reference_layer, job.class_field, "REFERENCE_VECTOR")
    return Reference(label_features(layer, job.class_field, "REFERENCE_VECTOR"))
