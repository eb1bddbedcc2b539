"""Counts gathered chip by chip or window by window, and what they amount to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..contract.classes import ClassTable
from ..contract.errors import InstaGeoError
from .metrics import Scores, auc_one_vs_rest, calibration_error, confusion, scores_from_confusion

FEW_PIXELS = 30  # below this a class's share is known to worse than about +-0.15 (binomial, 90 %)
MOST_SAMPLED = 2_000_000  # pixels that AUC and calibration are computed on


@dataclass(frozen=True)
class Evaluation:
    """The figures of one evaluation.

    `subject` says in words what was compared; `left_out` counts labels that did not take part, by reason; `sampled`
    pixels stand behind AUC and calibration error, which are None where there are no probabilities.
    """

    subject: dict[str, Any]
    table: ClassTable
    matrix: np.ndarray
    scores: Scores
    auc: float | None
    calibration_error: float | None
    sampled: int
    left_out: dict[str, int]
    warnings: tuple[str, ...]


@dataclass
class Tally:
    """Gathers labelled pixels. `limit` bounds the pixels kept for AUC: beyond it only every second is, and so on."""

    table: ClassTable
    limit: int = MOST_SAMPLED
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        size = len(self.table.values)
        self.matrix = np.zeros((size, size), dtype=np.int64)
        self._truth: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []
        self._step, self._seen = 1, 0

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Class values of labelled pixels, (n,) each."""
        self.matrix += confusion(truth, predicted, self.table.values)

    def add_probabilities(self, truth: np.ndarray, probabilities: np.ndarray) -> None:
        """Class values (n,) of labelled pixels and their probabilities (n, K)."""
        self.add(truth, np.asarray(self.table.values)[probabilities.argmax(axis=1)])
        chosen = slice(-self._seen % self._step, None, self._step)
        self._truth.append(np.searchsorted(self.table.values, truth[chosen]))
        self._probabilities.append(probabilities[chosen].astype(np.float32))
        self._seen += len(truth)
        while self.sampled > self.limit:
            self._thin()

    @property
    def sampled(self) -> int:
        return sum(map(len, self._truth))

    def _thin(self) -> None:
        self._truth = [np.concatenate(self._truth)[::2]]
        self._probabilities = [np.concatenate(self._probabilities)[::2]]
        self._step *= 2

    def evaluation(self, subject: dict[str, Any]) -> Evaluation:
        """The figures so far. Raises `InstaGeoError` when no labelled pixel took part."""
        scores = scores_from_confusion(self.matrix, self.table.values, self.table.names)
        if not scores.count:
            reasons = "; ".join(f"{count} {reason}" for reason, count in self.left_out.items() if count)
            raise InstaGeoError(
                "There is no labelled pixel to compare with" + (f": {reasons}." if reasons else "."),
                "Choose another part of the dataset, or a reference that lies on the map.",
            )
        auc, calibration = self._from_probabilities()
        left_out = {reason: count for reason, count in self.left_out.items() if count}
        return Evaluation(
            subject, self.table, self.matrix, scores, auc, calibration, self.sampled, left_out, self._warnings(scores)
        )

    def _from_probabilities(self) -> tuple[float | None, float | None]:
        if not self._truth:
            return None, None
        truth, probabilities = np.concatenate(self._truth), np.concatenate(self._probabilities)
        correct = probabilities.argmax(axis=1) == truth
        return auc_one_vs_rest(truth, probabilities), calibration_error(correct, probabilities.max(axis=1))

    def _warnings(self, scores: Scores) -> tuple[str, ...]:
        few = [f"{c.name} ({c.support})" for c in scores.classes if 0 < c.support < FEW_PIXELS]
        warnings = [f"{count} {reason} left out." for reason, count in self.left_out.items() if count]
        if few:
            warnings.append(
                f"Fewer than {FEW_PIXELS} labelled pixels of {', '.join(few)}: their figures are uncertain."
            )
        if scores.absent:
            warnings.append(f"Absent in truth and prediction, and in no mean: {', '.join(scores.absent)}.")
        return tuple(warnings)
