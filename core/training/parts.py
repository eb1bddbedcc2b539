"""Which chips train and which validate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..chips.dataset import ChipDataset
from ..chips.ground import centres, local_crs
from ..chips.index import ChipRow
from ..chips.split import assign_splits
from ..contract.dataset import TRAIN, VAL
from ..contract.errors import InstaGeoError
from ..contract.jobs import FinetuneJob, SplitChipsJob
from ..reporting import Reporter

VAL_PERCENT = 20.0
BLOCKS = 36  # wanted over the chips' extent, so that a fifth of them is several places
HALVINGS = 4


@dataclass(frozen=True)
class Parts:
    """Chips with labels. `val` may be empty; `notes` say in words what is unusual about the parts."""

    train: tuple[ChipRow, ...]
    val: tuple[ChipRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def measured(self) -> str:
        """The part that the figures of the training are measured on."""
        return VAL if self.val else TRAIN


def training_parts(dataset: ChipDataset, job: FinetuneJob, reporter: Reporter) -> Parts:
    """The parts that `job` asks for; every note is logged too.

    A dataset that was never split is split here, in memory. Two folds leave no chips to validate on beside those held
    out: then the whole other fold trains. Raises `InstaGeoError` when FOLD names no fold or nothing is left to train
    on.
    """
    notes: list[str] = []
    if job.fold < 0 and not any(chip.split for chip in dataset.chips):
        parts = _split_now(dataset, job.seed, reporter, notes)
    else:
        parts = _split_before(dataset, job.fold, notes)
    labelled = Parts(_labelled(parts[0], TRAIN, notes), _labelled(parts[1], VAL, notes))
    if not labelled.train:
        raise InstaGeoError(
            "No labelled chip is in the part 'train': there is nothing to train on.",
            "Split the chips with 'Split chips', or set the column split of chips.gpkg to train, val and test.",
        )
    if not labelled.val:
        notes.append(
            "No chip is left for validation: training runs for all EPOCHS and the figures are those of the training "
            "chips, which flatter the model."
        )
    for note in notes:
        reporter.log(note, "warning")
    return dataclasses.replace(labelled, notes=tuple(notes))


def _split_before(dataset: ChipDataset, fold: int, notes: list[str]) -> tuple[tuple[ChipRow, ...], tuple[ChipRow, ...]]:
    folds = 1 + max(chip.fold for chip in dataset.chips)
    if fold >= folds:
        found = f"has the folds 0 to {folds - 1}" if folds else "has no folds"
        raise InstaGeoError(
            f"FOLD is {fold}, but the dataset {found}.", "Choose one of its folds, or split it with FOLDS first."
        )
    train, val = dataset.part(TRAIN, fold), dataset.part(VAL, fold)
    if fold >= 0 and not train:
        notes.append("The dataset has two folds: the one that is not held out trains, none validates.")
        return val, ()
    return train, val


def _split_now(
    dataset: ChipDataset, seed: int, reporter: Reporter, notes: list[str]
) -> tuple[tuple[ChipRow, ...], tuple[ChipRow, ...]]:
    """A block split, or a random one where the chips are too few for blocks, or none at all."""
    block = _block_size_m(dataset.chips)
    job = SplitChipsJob(str(dataset.folder), "block", block_size=block, val=VAL_PERCENT, test=0.0, seed=seed)
    tries = [dataclasses.replace(job, block_size=block / 2**halving) for halving in range(HALVINGS)]
    for one in [*tries, dataclasses.replace(job, strategy="random")]:
        try:
            splits = assign_splits(dataset.chips, one, dataset.spec, reporter)
        except InstaGeoError:
            continue
        how = f"blocks of {one.block_size:.0f} m" if one.strategy == "block" else "groups of chips"
        notes.append(
            f"The dataset has no split: {VAL_PERCENT:g} % of its labels validate, chosen by {how} with seed {seed}."
        )
        parts = [tuple(c for c in dataset.chips if splits[c.chip][0] == part) for part in (TRAIN, VAL)]
        return parts[0], parts[1]
    notes.append("The dataset has no split, and too few chips to make one: all of them train.")
    return dataset.chips, ()


def _block_size_m(chips: Sequence[ChipRow]) -> float:
    """Side of a square block such that about `BLOCKS` of them cover the chips' extent."""
    crs = local_crs(chips)
    across = centres(chips, crs)
    spans = across.max(axis=0) - across.min(axis=0)
    area = float((spans[0] + 1) * (spans[1] + 1))
    return max(math.sqrt(area / BLOCKS), float(spans.max()) / BLOCKS, 1.0)


def _labelled(chips: Sequence[ChipRow], part: str, notes: list[str]) -> tuple[ChipRow, ...]:
    kept = tuple(chip for chip in chips if chip.label_path)
    if len(kept) < len(chips):
        notes.append(f"{len(chips) - len(kept)} of {len(chips)} chips of the part '{part}' have no labels: left out.")
    return kept
