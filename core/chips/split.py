"""Assign the chips of a dataset to train, val and test, or to folds, so that the parts share no labelled ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from ..contract.dataset import SPLITS, TEST, TRAIN, VAL, DatasetSpec
from ..contract.errors import InstaGeoError
from ..contract.jobs import SplitChipsJob
from ..reporting import Reporter, SilentReporter
from .dataset import ChipDataset, open_dataset
from .ground import footprints, local_crs
from .index import ChipRow, update_splits
from .units import WORDS, units_of

Assignment = dict[str, tuple[str, int]]


def split_chips(job: SplitChipsJob, reporter: Reporter) -> dict[str, Any]:
    """Write split and fold of every chip into the dataset's index, in one transaction.

    Raises `InstaGeoError` when the dataset cannot be read, when it has too few blocks or chips for the parts asked
    for, or when another program holds the index.
    """
    reporter.progress(0, "Reading the chips")
    dataset = open_dataset(job.dataset)
    assignment = assign_splits(dataset.chips, job, dataset.spec, reporter)
    _report(dataset, job, assignment, reporter)
    reporter.progress(0.9, "Writing the split")
    update_splits(dataset.index_path, assignment)
    counts = {part: sum(split == part for split, _ in assignment.values()) for part in SPLITS}
    reporter.progress(1, "Split written")
    return {"OUTPUT": str(dataset.folder), **{f"{part.upper()}_COUNT": counts[part] for part in SPLITS}}


def assign_splits(
    chips: Sequence[ChipRow], job: SplitChipsJob, spec: DatasetSpec, reporter: Reporter | None = None
) -> Assignment:
    """Split and fold of each chip, by its name; the same job gives the same answer.

    Shares are of labelled pixels (of chips when nothing is labelled). Units are never torn apart: chips that share
    labelled ground, or for `block` all chips whose middle lies in one square block (such a group follows its first
    chip), for `group` all with one value of the group field, for `time` all of one year. Blocks lie in an equal-area
    CRS; the seed moves their origin. Years are held out from the newest backwards: test, then val. With folds, the
    split is that of fold 0 held out: fold 0 is test, fold 1 val. A chip too near to another part for BUFFER gets ""
    and fold -1.

    Label files are read from the folder `job.dataset`. Raises `InstaGeoError` when a part would be empty.
    """
    dataset = ChipDataset(Path(job.dataset), spec, tuple(chips))
    rng = np.random.default_rng(job.seed)
    units = units_of(dataset, chips, job, rng, reporter or SilentReporter())
    counts = _unit_counts(chips, units, spec)
    percent = [100 / job.folds] * job.folds if job.folds else [100 - job.val - job.test, job.val, job.test]
    shares = np.array(percent) / 100
    _check_possible(job, counts, shares)
    in_order = job.strategy == "time" and not job.folds
    parts = (_in_order(counts, shares) if in_order else _allocate(_strata(counts, job), shares, rng))[units]
    if job.buffer > 0:
        parts = _buffered(chips, parts, job)
        _check_left(job, parts, shares)
    return {chip.chip: _named(part, job) for chip, part in zip(chips, parts.tolist())}


def _named(part: int, job: SplitChipsJob) -> tuple[str, int]:
    if part < 0:
        return "", -1
    if not job.folds:
        return (TRAIN, VAL, TEST)[part], -1
    return {0: TEST, 1: VAL}.get(part, TRAIN), part


def _unit_counts(chips: Sequence[ChipRow], units: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """(units, K) labelled pixels by class; (units, 1) chips when no chip has a label."""
    values = spec.class_table.values or tuple(sorted({v for chip in chips for v in chip.class_counts}))
    counts = np.array([[chip.class_counts.get(value, 0) for value in values] for chip in chips], dtype=np.float64)
    if not counts.sum():
        counts = np.ones((len(chips), 1))
    totals = np.zeros((int(units.max()) + 1, counts.shape[1]))
    np.add.at(totals, units, counts)
    return totals


def _strata(counts: np.ndarray, job: SplitChipsJob) -> np.ndarray:
    """What the parts are balanced by: all pixels, pixels by the unit's dominant class, or pixels by class."""
    if job.strategy in ("block", "group") or job.folds:
        return counts
    totals: np.ndarray = counts.sum(axis=1, keepdims=True)
    if job.strategy == "random":
        return totals
    dominant = np.arange(counts.shape[1]) == counts.argmax(axis=1)[:, None]
    return np.asarray(np.where(dominant, totals, 0))


def _allocate(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(units,) part of each unit, so that every part comes near to its share of each column of `counts`.

    Units come in random order, each to the part that gains most by it; the best of several orders is taken (of one
    when a single column is balanced, which needs no more). No part with a share stays empty.
    """
    wanted = shares[:, None] * counts.sum(axis=0)
    tries = 1 if counts.shape[1] == 1 else int(np.clip(20_000 // len(counts), 1, 50))
    found = [_allocate_once(counts, wanted, rng.permutation(len(counts))) for _ in range(tries)]
    best = min(found, key=lambda parts: _misfit(counts, parts, wanted))
    for part in np.nonzero(shares)[0]:
        if not counts[best == part].sum():
            best[_spare(counts, best)] = part
    return best


def _in_order(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(units,) part of each unit, numbered by time: the newest for test, those before for val, the oldest to train.

    Each part but the last takes whole units until it has its share, and leaves one for each part still to come.
    """
    weights = counts.sum(axis=1)
    parts = np.zeros(len(counts), dtype=np.int64)
    left = len(counts)
    waiting = [part for part in (2, 1) if shares[part]]
    for still, part in zip(range(len(waiting), 0, -1), waiting):
        filled = 0.0
        while left > still and filled < shares[part] * weights.sum():
            left -= 1
            parts[left] = part
            filled += weights[left]
    return parts


def _allocate_once(counts: np.ndarray, wanted: np.ndarray, order: np.ndarray) -> np.ndarray:
    possible = np.nonzero(wanted.sum(axis=1))[0]
    scale = np.maximum(wanted[possible], 1e-12)
    filled = np.zeros_like(scale)
    parts = np.zeros(len(counts), dtype=np.int64)
    for unit in order:
        # Change of sum((filled - wanted)^2 / wanted) when the unit is added, less what is the same for all parts.
        cost = (counts[unit] * (2 * filled + counts[unit]) / scale).sum(axis=1)
        chosen = int(cost.argmin())
        filled[chosen] += counts[unit]
        parts[unit] = possible[chosen]
    return parts


def _misfit(counts: np.ndarray, parts: np.ndarray, wanted: np.ndarray) -> float:
    filled = np.zeros_like(wanted)
    np.add.at(filled, parts, counts)
    return float(((filled - wanted) ** 2 / np.maximum(wanted, 1e-12)).sum())


def _spare(counts: np.ndarray, parts: np.ndarray) -> int:
    """The smallest labelled unit of the part that has most of them."""
    weights = counts.sum(axis=1)
    largest = int(np.bincount(parts[weights > 0]).argmax())
    candidates = np.nonzero((parts == largest) & (weights > 0))[0]
    return int(candidates[weights[candidates].argmin()])


def _check_possible(job: SplitChipsJob, counts: np.ndarray, shares: np.ndarray) -> None:
    units, parts = int((counts.sum(axis=1) > 0).sum()), int((shares > 0).sum())
    if units >= parts:
        return
    asked = f"{parts} folds" if job.folds else f"{parts} parts (train, val and test, where not 0 %)"
    smaller = f"Choose a BLOCK_SIZE below {job.block_size:g} m, " if job.strategy == "block" else "Use more labels, "
    raise InstaGeoError(
        f"{asked} were asked for, but the labelled chips form only {units} {WORDS[job.strategy]}.",
        f"{smaller}fewer parts, or smaller chips that do not overlap (CHIP_SIZE, STRIDE, PLACEMENT grid).",
    )


def _buffered(chips: Sequence[ChipRow], parts: np.ndarray, job: SplitChipsJob) -> np.ndarray:
    """`parts` with -1 for chips that lie within BUFFER metres of another part's chips.

    Of two parts the less held-out one gives way: train to val, both to test. Folds are all alike: there the chip that
    is near to most others goes first, until no two folds are too near.
    """
    shapes = footprints(chips, local_crs(chips))
    first, second = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=job.buffer)
    near = parts[first] != parts[second]
    first, second = first[near], second[near]
    left = parts.copy()
    if not job.folds:
        left[first[parts[first] < parts[second]]] = -1
        return left
    while first.size:
        worst = int(np.bincount(first).argmax())
        left[worst] = -1
        kept = (first != worst) & (second != worst)
        first, second = first[kept], second[kept]
    return left


def _check_left(job: SplitChipsJob, parts: np.ndarray, shares: np.ndarray) -> None:
    empty = [_named(part, job) for part, share in enumerate(shares) if share > 0 and not (parts == part).any()]
    if empty:
        names = ", ".join(f"fold {fold}" if job.folds else split for split, fold in empty)
        raise InstaGeoError(
            f"BUFFER {job.buffer:g} m leaves no chip in {names}: all lie within it of another part.",
            "Choose a smaller BUFFER, or with STRATEGY block a larger BLOCK_SIZE.",
        )


def _report(dataset: ChipDataset, job: SplitChipsJob, assignment: Assignment, reporter: Reporter) -> None:
    """Say what each part holds, and warn of what it lacks."""
    if job.folds:
        reporter.log(
            f"VAL and TEST do not apply to {job.folds} folds; the split column holds out fold 0, fold 1 as val."
        )
        parts = {f"fold {k}": [c for c in dataset.chips if assignment[c.chip][1] == k] for k in range(job.folds)}
    else:
        asked = {TRAIN: 1.0, VAL: job.val, TEST: job.test}
        parts = {p: [c for c in dataset.chips if assignment[c.chip][0] == p] for p in SPLITS if asked[p]}
    for name, chips in parts.items():
        _report_part(name, _class_pixels(dataset, chips), len(chips), reporter)
    dropped = sum(not split for split, _ in assignment.values())
    if dropped:
        reporter.log(
            f"{dropped} of {len(assignment)} chips lie within BUFFER {job.buffer:g} m of another part: no split.",
            "warning",
        )


def _class_pixels(dataset: ChipDataset, chips: Sequence[ChipRow]) -> Mapping[str, int]:
    classes = dataset.spec.class_table.classes
    return {entry.name: sum(chip.class_counts.get(entry.value, 0) for chip in chips) for entry in classes}


def _report_part(name: str, pixels: Mapping[str, int], chips: int, reporter: Reporter) -> None:
    held = ", ".join(f"{label} {count}" for label, count in pixels.items())
    reporter.log(f"{name}: {chips} chips, {sum(pixels.values())} labelled pixels" + (f" ({held})." if held else "."))
    missing = [label for label, count in pixels.items() if not count]
    if missing:
        reporter.log(f"{name} has no pixel of {', '.join(missing)}.", "warning")
