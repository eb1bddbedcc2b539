"""Everything decided before the first chip is cut, whatever the imagery comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

from ..contract.classes import ClassTable
from ..contract.dataset import InputSpec
from .index import SkippedRow
from .plan import BETWEEN_CELLS, Candidate, PlannedScene
from .sources import Production
from .vectors import LabelFeatures, skipped_labels

OUTSIDE_IMAGERY = "outside the imagery"
NO_PIXEL = "covers no pixel centre (ALL_TOUCHED is off)"


@dataclass(frozen=True)
class Labels:
    """The labels of a dataset: class table, and the features they come from (None: rasters, or no labels at all).

    `skipped` are those that no scene holds, `lost` the numbers of the features among them. `given` False: chips for
    prediction.
    """

    table: ClassTable
    given: bool
    features: Optional[LabelFeatures] = None
    skipped: list[SkippedRow] = field(default_factory=list)
    lost: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Preparation:
    """What a dataset will hold: its inputs, the records of the imagery used, and the chips planned."""

    inputs: tuple[InputSpec, ...]
    sources: tuple[dict[str, Any], ...]
    labels: Labels
    scenes: list[PlannedScene]
    production: Production

    @property
    def candidates(self) -> Iterator[Candidate]:
        """Of all scenes, in order."""
        return (candidate for scene in self.scenes for candidate in scene.plan.candidates)


def lost_between(preparation: Preparation, kept: set[int]) -> list[SkippedRow]:
    """Labels on the imagery that lie in no cell at all; `kept` numbers those in chips or skipped cells."""
    labels = preparation.labels
    if labels.features is None:
        return []
    everything = set(range(len(labels.features)))
    gone = np.array(sorted(everything - kept - labels.lost), dtype=int)
    return skipped_labels(
        labels.features.geometries[gone], labels.features.fids[gone], BETWEEN_CELLS, labels.features.crs
    )
