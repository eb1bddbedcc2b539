"""Batches of normalised tensors, made one step ahead of the network."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..chips.index import ChipRow
from ..contract.card import Normalisation
from ..models.context import Context, context_of
from ..models.normalise import normalise
from ..models.series import SeriesContext
from .augment import Augmentation, augmentation, augmented, epoch_batches, radiometry
from .data import ChipReader, Sample, squared

AHEAD = 2


class Batch(NamedTuple):
    """`images`: an input each (N, T, C, H, W) float32 without NaN; `label` (N, H, W) class positions."""

    images: list[Tensor]
    label: Tensor
    context: Context | SeriesContext

    def to(self, device: torch.device) -> Batch:
        """Itself on another device."""
        return Batch([image.to(device) for image in self.images], self.label.to(device), self.context.to(device))


@dataclass(frozen=True)
class BatchSource:
    """Chips and how they become tensors of `size_px` x `size_px`."""

    reader: ChipReader
    chips: tuple[ChipRow, ...]
    normalisation: tuple[Normalisation, ...]
    size_px: int

    def __len__(self) -> int:
        return len(self.chips)

    def batch(self, indices: Sequence[int], changes: Sequence[Augmentation] = ()) -> Batch:
        """See `Source`."""
        chips = [self.chips[i] for i in indices]
        samples = [squared(self.reader.sample(chip), self.size_px) for chip in chips]
        if changes:
            samples = [augmented(sample, by) for sample, by in zip(samples, changes)]
        label = torch.from_numpy(np.stack([sample.label for sample in samples]))
        images = [self._input(samples, number, changes) for number in range(len(self.normalisation))]
        return Batch(images, label, context_of([chip.occasion() for chip in chips]))

    def _input(self, samples: Sequence[Sample], number: int, changes: Sequence[Augmentation]) -> Tensor:
        raw = torch.from_numpy(np.stack([sample.images[number] for sample in samples]))
        scaled = normalise(raw, self.normalisation[number])
        if not changes:
            return scaled
        gain, offset = (torch.from_numpy(part) for part in radiometry(changes))
        # A pixel without data stays 0, as it is in prediction.
        return torch.where(torch.isfinite(raw), scaled * gain + offset, scaled)


class Source(Protocol):
    """Samples of a part: chips, or pixels."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], changes: Sequence[Augmentation] = ()) -> Batch:
        """Those at `indices`, each changed by its augmentation when there are any."""
        ...


class TrainingBatches:
    """An epoch's batches, anew for each iteration; which epoch it is, `epoch` tells."""

    def __init__(self, source: Source, batch_size: int, seed: int, augment: bool) -> None:
        self.source = source
        self.epoch: Callable[[], int] = lambda: 0
        self._batch_size = batch_size
        self._seed = seed
        self._augment = augment

    def __len__(self) -> int:
        return math.ceil(len(self.source) / self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: Lightning makes the iterator before it knows at which epoch a resumed run stands.
        epoch = self.epoch()
        order = epoch_batches(len(self.source), self._batch_size, self._seed, epoch)
        yield from _ahead([self._maker(epoch, [int(i) for i in indices]) for indices in order])

    def _maker(self, epoch: int, indices: list[int]) -> Callable[[], Batch]:
        changes = [augmentation(self._seed, epoch, i) for i in indices] if self._augment else []
        return lambda: self.source.batch(indices, changes)


class PlainBatches:
    """All chips in their order, unchanged."""

    def __init__(self, source: Source, batch_size: int) -> None:
        self.source = source
        self._batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.source) / self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        count, size = len(self.source), self._batch_size
        chunks = [range(start, min(start + size, count)) for start in range(0, count, size)]
        return _ahead([_later(self.source, chunk) for chunk in chunks])


def _later(source: Source, indices: Sequence[int]) -> Callable[[], Batch]:
    return lambda: source.batch(indices)


def _ahead(makers: Sequence[Callable[[], Batch]]) -> Iterator[Batch]:
    """Results in order, the next ones being made by another thread meanwhile."""
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        for make in makers:
            waiting.append(pool.submit(make))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
