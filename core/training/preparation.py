"""From a chip dataset to what both ways of training start from, with every problem of it told at once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..chips.dataset import ChipDataset
from ..contract.card import PIXEL, Normalisation
from ..contract.classes import ClassTable
from ..contract.dataset import InputSpec
from ..contract.errors import Problems
from ..contract.jobs import FinetuneJob
from ..models.zoo import architecture
from ..reporting import PhaseReporter, Reporter
from .data import ChipReader
from .parts import Parts, training_parts
from .statistics import PartStatistics, normalisation, part_statistics

BALANCED, UNWEIGHTED = "balanced", "none"
# A mean this many standard deviations from the one in pretraining, or this small a share of it, is no reflectance.
ODD_DEVIATIONS, ODD_SHARE = 3.0, 0.1


@dataclass(frozen=True)
class Prepared:
    """`class_weights` (K,) float64 or None; `class_pixels`, `val_class_pixels` (K,) labelled pixels of the
    parts; `digest` names the data."""

    reader: ChipReader
    parts: Parts
    normalisation: tuple[Normalisation, ...]
    class_weights: np.ndarray | None
    class_pixels: np.ndarray
    val_class_pixels: np.ndarray
    digest: str

    @property
    def dataset(self) -> ChipDataset:
        return self.reader.dataset


def prepare(dataset: ChipDataset, job: FinetuneJob, reporter: Reporter) -> Prepared:
    """Choose the parts, read all chips once, and check them.

    Raises `InstaGeoError` that lists all of: fewer than two classes to train on, nothing labelled in a part, class
    weights that do not fit the class table.
    """
    parts = training_parts(dataset, job, reporter)
    reader = ChipReader(dataset)
    share = len(parts.train) / (len(parts.train) + len(parts.val))
    train = part_statistics(reader, parts.train, PhaseReporter(reporter, 0, share), "training")
    val = part_statistics(reader, parts.val, PhaseReporter(reporter, share, 1), "validation")
    _check(dataset.spec.class_table, job, parts, (train, val))
    _say(dataset.spec.class_table, parts, (train, val), reporter)
    return Prepared(
        reader=reader,
        parts=parts,
        normalisation=_normalisation(dataset, job, train, reporter),
        class_weights=class_weights(job.class_weights, train.class_pixels),
        class_pixels=train.class_pixels,
        val_class_pixels=val.class_pixels,
        digest=f"{train.digest:08x}{val.digest:08x}",
    )


def _normalisation(
    dataset: ChipDataset, job: FinetuneJob, train: PartStatistics, reporter: Reporter
) -> tuple[Normalisation, ...]:
    """Of the training chips; with published weights, the one these were trained with."""
    own = tuple(normalisation(one, moments, reporter) for one, moments in zip(dataset.spec.inputs, train.moments))
    if not job.weights or architecture(job.backbone).kind == PIXEL:  # series are scaled by the model itself
        return own
    from ..models.foundation import pretrained_normalisation  # torch takes seconds to import

    trained = pretrained_normalisation(job.backbone, dataset.spec.inputs, job.nearest_bands)
    for spec, mine, theirs in zip(dataset.spec.inputs, own, trained):
        _warn_of_other_values(spec, mine, theirs, reporter)
    return trained


def _warn_of_other_values(spec: InputSpec, own: Normalisation, trained: Normalisation, reporter: Reporter) -> None:
    """Values of another range than the weights were trained with make a bad model, and no error."""
    means = [10 * math.log10(mean) if mean > 0 else math.nan for mean in own.mean] if trained.decibel else own.mean
    odd = [
        f"{band} {mine:.4g} instead of {mean:.4g} +- {std:.4g}"
        for band, mine, mean, std in zip(spec.bands, means, trained.mean, trained.std)
        if abs(mine - mean) > ODD_DEVIATIONS * std or abs(mine) < ODD_SHARE * abs(mean)
    ]
    if odd:
        reporter.log(
            f"Input '{spec.sensor}' has other values than the weights were trained with: {', '.join(odd)}. Are they "
            f"in '{spec.units}'?",
            "warning",
        )


def _check(table: ClassTable, job: FinetuneJob, parts: Parts, found: tuple[PartStatistics, PartStatistics]) -> None:
    train, val = found
    problems = Problems("Fine-tune", "Look at the labels and the split of the chips, then create or split them again.")
    held = [name for name, count in zip(table.names, train.class_pixels) if count]
    if not held:
        problems.add("no pixel of the training chips is labelled.")
    if len(held) == 1:
        problems.add(f"the training chips hold one class only, '{held[0]}'; expected at least two.")
    if parts.val and not val.labelled:
        problems.add(f"no pixel of the {len(parts.val)} validation chips is labelled.")
    _check_weights(problems, job.class_weights, table)
    problems.raise_if_any()


def _check_weights(problems: Problems, text: str, table: ClassTable) -> None:
    if text in (BALANCED, UNWEIGHTED):
        return
    try:
        weights = _numbers(text)
    except ValueError:
        problems.add(f"CLASS_WEIGHTS is '{text}'; expected {UNWEIGHTED}, {BALANCED}, or one number a class.")
        return
    if len(weights) != len(table.classes):
        problems.add(
            f"CLASS_WEIGHTS holds {len(weights)} numbers; the class table has {len(table.classes)} classes "
            f"({', '.join(table.names)})."
        )
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        problems.add(f"CLASS_WEIGHTS is '{text}'; expected numbers from 0 on, not all 0.")


def _numbers(text: str) -> list[float]:
    return [float(part) for part in re.split(r"[\s,;]+", text.strip())]


def class_weights(text: str, pixels: np.ndarray) -> np.ndarray | None:
    """(K,) weights, None for none. `balanced`: all pixels / (classes x pixels of the class), as scikit-learn has it;
    a class without pixels weighs 0."""
    if text == UNWEIGHTED:
        return None
    if text != BALANCED:
        return np.array(_numbers(text))
    present = np.count_nonzero(pixels)
    weights: np.ndarray = np.where(pixels > 0, pixels.sum() / (present * np.maximum(pixels, 1)), 0.0)
    return weights


def _say(table: ClassTable, parts: Parts, found: tuple[PartStatistics, PartStatistics], reporter: Reporter) -> None:
    for part, chips, statistics in zip(("Training", "Validation"), (parts.train, parts.val), found):
        held = ", ".join(f"{name} {count}" for name, count in zip(table.names, statistics.class_pixels))
        reporter.log(f"{part}: {len(chips)} chips, {statistics.labelled} labelled pixels ({held}).")
    absent = _absent(table.names, found[0].class_pixels)
    if absent:
        reporter.log(f"Classes without training pixels, which the model will not learn: {absent}.", "warning")


def _absent(names: Sequence[str], pixels: np.ndarray) -> str:
    return ", ".join(name for name, count in zip(names, pixels) if not count)
