"""A model against the labels of a chip dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..chips.dataset import ChipDataset, open_dataset
from ..chips.ground import repeated_ground
from ..chips.index import ChipRow
from ..contract.card import ModelCard
from ..contract.dataset import SPLITS, DatasetSpec
from ..contract.errors import InstaGeoError, Problems
from ..contract.jobs import EvaluateJob
from ..models.predictor import Predictor
from ..reporting import Reporter
from .tally import Evaluation, Tally

_BATCH_PIXELS = 512 * 512


@dataclass(frozen=True)
class ChipScore:
    """A chip's own figures, over all its labelled pixels; `accuracy` is None where it has none."""

    chip: ChipRow
    labelled: int
    correct: int

    @property
    def accuracy(self) -> float | None:
        return self.correct / self.labelled if self.labelled else None


def evaluate_model(job: EvaluateJob, reporter: Reporter) -> tuple[Evaluation, list[ChipScore]]:
    """Predict every chip of the part and compare with its labels.

    Ground that two chips of one scene hold is counted once. Labelled pixels at which no input has data are left out
    and counted. Raises `InstaGeoError` when model and dataset do not match, and when the part has no labels.
    """
    from ..models.load import load_predictor

    dataset = open_dataset(job.dataset)
    chips = chips_of_part(dataset, job.split, job.fold)
    reporter.progress(0.02, "Loading the model")
    predictor = load_predictor(job.model, device=job.device, precision=job.precision, reporter=reporter)
    card = predictor.card
    check_match(card, dataset.spec)
    _warn_of_resolution(card, dataset.spec, reporter)
    part = job.split + (f" of fold {job.fold}" if job.fold >= 0 else "")
    reporter.log(f"Evaluating {card.name} on {part}: {len(chips)} chips of {dataset.folder}.")
    tally, scores = _compare(predictor, dataset, chips, reporter)
    return tally.evaluation(
        {"Model": job.model, "Dataset": str(dataset.folder), "Part": part, "Chips": len(chips)}
    ), scores


def chips_of_part(dataset: ChipDataset, split: str, fold: int) -> tuple[ChipRow, ...]:
    """The chips of a split, or of a fold's split; `all` is every chip. Raises `InstaGeoError` when there are none."""
    folds = 1 + max(chip.fold for chip in dataset.chips)
    if split == "all":
        return dataset.chips
    if fold >= folds:
        found = f"folds 0 to {folds - 1}" if folds else "no folds"
        raise InstaGeoError(
            f"FOLD is {fold}, but the dataset {dataset.folder} has {found}.",
            "Choose another fold, or run 'Split chips' with FOLDS.",
        )
    chips = dataset.part(split, fold)
    if not chips:
        counts = ", ".join(f"{len(dataset.part(name, fold))} {name}" for name in SPLITS)
        raise InstaGeoError(
            f"The dataset {dataset.folder} has no chip in the part '{split}' (it has {counts}, "
            f"{len(dataset.chips)} in all).",
            "Choose another SPLIT ('all' is every chip), or run 'Split chips' first.",
        )
    return chips


def check_match(card: ModelCard, spec: DatasetSpec) -> None:
    """Raise one `InstaGeoError` that lists every difference between what a model reads and what a dataset holds."""
    problems = Problems("Model and dataset do not match", "Choose the dataset the model was made for, or one like it.")
    if card.task != spec.task:
        problems.add(f"the model's task is {card.task}, the dataset's {spec.task}.")
    held = {found.sensor: found for found in spec.inputs}
    for wanted in card.inputs:
        found = held.get(wanted.sensor)
        if found is None:
            problems.add(f"the model reads '{wanted.sensor}'; the dataset holds {', '.join(map(repr, held))}.")
            continue
        for name, own, other in (
            ("bands", " ".join(wanted.bands), " ".join(found.bands)),
            ("timesteps", wanted.timesteps, found.timesteps),
            ("units", wanted.units, found.units),
        ):
            if own != other:
                problems.add(f"{wanted.sensor}: the model expects {name} {own}; the dataset has {other}.")
    known = {entry.value: entry.name for entry in card.class_table.classes}
    for entry in spec.class_table.classes:
        if known.get(entry.value) != entry.name:
            meant = f"is '{known[entry.value]}' to the model" if entry.value in known else "is unknown to the model"
            problems.add(f"class {entry.value} '{entry.name}' of the dataset {meant}.")
    problems.raise_if_any()


def _warn_of_resolution(card: ModelCard, spec: DatasetSpec, reporter: Reporter) -> None:
    same_unit = card.resolution_unit == spec.resolution_unit
    if same_unit and np.allclose(card.resolution, spec.resolution, rtol=0.1):
        return
    reporter.log(
        f"The model was trained on pixels of {card.resolution[0]:g} {card.resolution_unit}s, the dataset's measure "
        f"{spec.resolution[0]:g} {spec.resolution_unit}s.",
        "warning",
    )


def _compare(
    predictor: Predictor, dataset: ChipDataset, chips: Sequence[ChipRow], reporter: Reporter
) -> tuple[Tally, list[ChipScore]]:
    tally, scores = Tally(predictor.card.class_table), []
    values = np.asarray(tally.table.values)
    repeated = repeated_ground(dataset, chips)
    for i, (chip, probabilities, valid) in enumerate(predicted_chips(predictor, dataset, chips)):
        reporter.check()
        labels = dataset.read_label(chip)
        labelled = labels != dataset.spec.ignore_value
        fresh = ~repeated(i)
        tally.left_out["labelled pixels without image data"] += int((labelled & ~valid & fresh).sum())
        labelled &= valid
        correct = (values[probabilities.argmax(axis=0)] == labels) & labelled
        scores.append(ChipScore(chip, int(labelled.sum()), int(correct.sum())))
        counted = labelled & fresh
        tally.add_probabilities(labels[counted], probabilities[:, counted].T)
        reporter.progress(0.05 + 0.85 * (i + 1) / len(chips), f"{i + 1} of {len(chips)} chips")
    return tally, scores


def predicted_chips(
    predictor: Predictor, dataset: ChipDataset, chips: Sequence[ChipRow]
) -> Iterator[tuple[ChipRow, np.ndarray, np.ndarray]]:
    """Each chip with its class probabilities (K, H, W) and where any input has data (H, W), in order."""
    inputs = [next(s for s in dataset.spec.inputs if s.sensor == wanted.sensor) for wanted in predictor.card.inputs]
    for batch in _batches(chips):
        images = [np.stack([dataset.read_image(chip, spec) for chip in batch]) for spec in inputs]
        valid = np.any([np.isfinite(image).any(axis=(1, 2)) for image in images], axis=0)
        height, width = batch[0].height, batch[0].width
        padded = [_pad(image, predictor.stride_px) for image in images]
        occasions = [chip.occasion() for chip in batch]
        probabilities = predictor.probabilities(padded, occasions)[:, :, :height, :width]
        yield from zip(batch, probabilities, valid)


def _batches(chips: Sequence[ChipRow]) -> Iterator[list[ChipRow]]:
    """Runs of chips of one size, of at most `_BATCH_PIXELS` pixels or one chip."""
    batch: list[ChipRow] = []
    for chip in chips:
        same = batch and (chip.height, chip.width) == (batch[0].height, batch[0].width)
        if batch and not (same and (len(batch) + 1) * chip.height * chip.width <= _BATCH_PIXELS):
            yield batch
            batch = []
        batch.append(chip)
    if batch:
        yield batch


def _pad(image: np.ndarray, stride: int) -> np.ndarray:
    """(N, T, C, H, W) mirrored at bottom and right until H and W are multiples of `stride`."""
    height, width = image.shape[-2:]
    return np.pad(image, [(0, 0)] * 3 + [(0, -height % stride), (0, -width % stride)], mode="symmetric")
