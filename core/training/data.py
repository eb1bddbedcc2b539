"""Chips for training: read once, kept in memory while they fit, and squared to one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from ..chips.dataset import ChipDataset
from ..chips.index import ChipRow
from ..contract.classes import ClassTable
from ..contract.errors import InstaGeoError

IGNORED = -1  # class position of a pixel without a label
MEMORY_SHARE = 0.4  # of the memory that is free when training starts


@dataclass(frozen=True)
class Sample:
    """One chip: an array an input, (T, C, H, W) float32 with NaN = no data, and (H, W) int64 class positions."""

    images: tuple[np.ndarray, ...]
    label: np.ndarray

    @property
    def size_bytes(self) -> int:
        return sum(image.nbytes for image in self.images) + self.label.nbytes


class ChipReader:
    """Samples of a dataset, read from disk the first time and kept as long as `limit_bytes` allows.

    By default the limit is `MEMORY_SHARE` of the free memory; chips beyond it are read anew each time.
    """

    def __init__(self, dataset: ChipDataset, limit_bytes: int | None = None) -> None:
        free = psutil.virtual_memory().available
        self.dataset = dataset
        self._left = int(MEMORY_SHARE * free) if limit_bytes is None else limit_bytes
        self._kept: dict[str, Sample] = {}
        self._positions = position_table(dataset.spec.class_table)

    def sample(self, chip: ChipRow) -> Sample:
        """The chip's pixels and labels. Raises `InstaGeoError` when a file is damaged or a label is unknown."""
        if chip.chip in self._kept:
            return self._kept[chip.chip]
        images = tuple(self.dataset.read_images(chip))
        label = self._class_positions(chip, self.dataset.read_label(chip))
        sample = Sample(images, np.where(has_data(images), label, IGNORED))
        if sample.size_bytes <= self._left:
            self._left -= sample.size_bytes
            self._kept[chip.chip] = sample
        return sample

    @property
    def kept(self) -> int:
        """Chips held in memory."""
        return len(self._kept)

    def _class_positions(self, chip: ChipRow, label: np.ndarray) -> np.ndarray:
        spec = self.dataset.spec
        label = np.where(label == spec.ignore_value, IGNORED, label).astype(np.int64)
        positions = np.where(label < 0, IGNORED, self._positions[np.maximum(label, 0)])
        unknown = np.unique(label[(label != IGNORED) & (positions == IGNORED)])
        if unknown.size:
            raise InstaGeoError(
                f"Chip {chip.chip}: {chip.label_path} holds the class {', '.join(map(str, unknown[:5]))}; the class "
                f"table of the dataset has {', '.join(map(str, spec.class_table.values))}.",
                "Create the chips again, or delete the chip's row in chips.gpkg.",
            )
        return positions


def has_data(images: Sequence[np.ndarray]) -> np.ndarray:
    """(H, W): whether any band of any input has data there; a label elsewhere teaches nothing."""
    found: np.ndarray = np.any([np.isfinite(image).any(axis=(0, 1)) for image in images], axis=0)
    return found


def position_table(table: ClassTable) -> np.ndarray:
    """(32768,) position of each class value among the table's classes, `IGNORED` for all others."""
    positions = np.full(np.iinfo(np.int16).max + 1, IGNORED, dtype=np.int64)
    positions[list(table.values)] = np.arange(len(table.values))
    return positions


def squared(sample: Sample, size: int) -> Sample:
    """The sample padded below and right to `size` x `size`: pixels by reflection, labels ignored."""
    height, width = sample.label.shape
    rows, columns = (0, size - height), (0, size - width)
    if not rows[1] and not columns[1]:
        return sample
    images = tuple(np.pad(image, ((0, 0), (0, 0), rows, columns), mode="reflect") for image in sample.images)
    return Sample(images, np.pad(sample.label, (rows, columns), constant_values=IGNORED))


def common_size(chips: Sequence[ChipRow], multiple: int) -> int:
    """The side in pixels that holds every chip and is a multiple of `multiple`."""
    largest = max(max(chip.width, chip.height) for chip in chips)
    return -(-largest // multiple) * multiple
