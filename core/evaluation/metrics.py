"""Figures of a classification, from its confusion matrix.

Every mean over classes (mIoU, F1) comes from one matrix pooled over all pixels, and runs over the classes that are
present in truth or prediction. A figure that is not defined (precision of a class never predicted) is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassScores:
    """One class: `support` counts pixels of it in truth, `predicted` in the prediction."""

    value: int
    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None


@dataclass(frozen=True)
class Scores:
    """Figures over all pixels; `absent` names the classes that neither truth nor prediction holds."""

    count: int
    accuracy: float | None
    balanced_accuracy: float | None
    miou: float | None
    f1: float | None
    kappa: float | None
    classes: tuple[ClassScores, ...]
    absent: tuple[str, ...]


def confusion(truth: np.ndarray, predicted: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """(K, K) int64 counts: row = true class, column = predicted class, both in the order of `values`.

    `truth` and `predicted` have one shape. Pixels whose truth is not among `values` (the ignore value) are left out.
    Raises `ValueError` when a labelled pixel's prediction is not among `values`.
    """
    truth, predicted = np.asarray(truth).ravel(), np.asarray(predicted).ravel()
    rows, labelled = _positions(truth, values)
    columns, known = _positions(predicted[labelled], values)
    if not known.all():
        raise ValueError(f"{np.count_nonzero(~known)} labelled pixels have a prediction outside the classes.")
    size = len(values)
    matrix = np.bincount(rows[labelled] * size + columns, minlength=size * size)
    return matrix.reshape(size, size).astype(np.int64)


def _positions(found: np.ndarray, values: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Where each element stands among `values`, and whether it does."""
    order = np.argsort(values)
    ascending = np.asarray(values)[order]
    nearest = np.minimum(np.searchsorted(ascending, found), len(ascending) - 1)
    return order[nearest], ascending[nearest] == found


def scores_from_confusion(
    matrix: np.ndarray, values: Sequence[int] | None = None, names: Sequence[str] | None = None
) -> Scores:
    """All figures of a (K, K) matrix with truth in rows.

    `values` and `names` are those of the K classes; by default 0 to K - 1 and the values as text.

    Accuracy, kappa: Cohen, "A coefficient of agreement for nominal scales", 1960. IoU: Jaccard's index, as pooled by
    the PASCAL VOC challenge (Everingham et al., 2010). Precision, recall, F1: van Rijsbergen, "Information
    Retrieval", 1979, F1 averaged over classes unweighted. Balanced accuracy: mean recall of the classes in truth
    (Brodersen et al., 2010).
    """
    values = range(len(matrix)) if values is None else values
    names = [str(value) for value in values] if names is None else names
    classes = tuple(_class_scores(matrix, i, value, name) for i, (value, name) in enumerate(zip(values, names)))
    total = int(matrix.sum())
    return Scores(
        count=total,
        accuracy=_share(int(np.trace(matrix)), total),
        balanced_accuracy=_mean([c.recall for c in classes if c.support]),
        miou=_mean([c.iou for c in classes]),
        f1=_mean([c.f1 for c in classes]),
        kappa=_kappa(matrix, total),
        classes=classes,
        absent=tuple(c.name for c in classes if not c.support and not c.predicted),
    )


def _class_scores(matrix: np.ndarray, i: int, value: int, name: str) -> ClassScores:
    hits, support, predicted = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
    return ClassScores(
        value=int(value),
        name=name,
        support=support,
        predicted=predicted,
        precision=_share(hits, predicted),
        recall=_share(hits, support),
        f1=_share(2 * hits, support + predicted),
        iou=_share(hits, support + predicted - hits),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(figures: Sequence[float | None]) -> float | None:
    defined = [figure for figure in figures if figure is not None]
    return float(np.mean(defined)) if defined else None


def _kappa(matrix: np.ndarray, total: int) -> float | None:
    """(observed - expected agreement) / (1 - expected); None when one class is all there is."""
    if not total:
        return None
    shares = matrix / total
    expected = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return None if np.isclose(expected, 1, atol=1e-12) else (float(np.trace(shares)) - expected) / (1 - expected)


def auc_one_vs_rest(truth: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Area under the ROC curve of each class against the rest, averaged over the classes where it is defined.

    `truth` (n,) holds class positions 0 to K - 1, `probabilities` is (n, K). A class with no pixel, or with all
    pixels, has no curve; None when that leaves no class. Hand and Till, "A simple generalisation of the area under
    the ROC curve for multiple class classification problems", 2001, section on one-against-all.
    """
    from sklearn.metrics import roc_auc_score

    areas = []
    for position in range(probabilities.shape[1]):
        own = truth == position
        if 0 < np.count_nonzero(own) < own.size:
            areas.append(float(roc_auc_score(own, probabilities[:, position])))
    return _mean(areas)


def calibration_error(correct: np.ndarray, confidence: np.ndarray, bins: int = 10) -> float | None:
    """Expected calibration error: mean |accuracy - confidence| over equal bins of confidence, weighted by count.

    `correct` (n,) boolean, `confidence` (n,) in 0 to 1. Naeini et al., "Obtaining well calibrated probabilities using
    Bayesian binning", 2015.
    """
    if not correct.size:
        return None
    position = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    surplus = np.bincount(position, weights=correct - confidence.astype(np.float64), minlength=bins)
    return float(np.abs(surplus).sum() / correct.size)
