"""Sampling and augmentation as functions of (seed, epoch, index), so that a resumed run equals an unbroken one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .data import Sample

# Standard deviation of the jitter, in normalised units: of a factor about 1, and of an amount added to all bands.
# The order of differences in illumination and haze within and between scenes; chosen with scripts/bench/csmask.py.
GAIN_JITTER = 0.2
OFFSET_JITTER = 0.3

_ORDER, _AUGMENT = 0, 1  # streams of random numbers that must not repeat each other


def epoch_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Indices of the samples of each batch of an epoch: every sample once, in random order.

    Batches differ by at most one sample in size, and have `batch_size` samples or fewer: a last batch of one sample
    would make the statistics of a batch normalisation worthless.
    """
    order = np.random.default_rng((seed, _ORDER, epoch)).permutation(count)
    return np.array_split(order, -(-count // batch_size))


@dataclass(frozen=True)
class Augmentation:
    """`quarter_turns` and `flip` move pixels of image and label alike; `gain` and `offset` are of the image alone."""

    quarter_turns: int
    flip: bool
    gain: float
    offset: float


def augmentation(seed: int, epoch: int, index: int) -> Augmentation:
    """What happens to sample `index` in `epoch`."""
    random = np.random.default_rng((seed, _AUGMENT, epoch, index))
    return Augmentation(
        quarter_turns=int(random.integers(4)),
        flip=bool(random.integers(2)),
        gain=float(1 + GAIN_JITTER * random.standard_normal()),
        offset=float(OFFSET_JITTER * random.standard_normal()),
    )


def moved(array: np.ndarray, by: Augmentation) -> np.ndarray:
    """The last two axes of `array` turned and flipped; no value is changed."""
    turned = np.rot90(array, by.quarter_turns, axes=(-2, -1))
    return turned[..., ::-1] if by.flip else turned


def augmented(sample: Sample, by: Augmentation) -> Sample:
    """The sample turned and flipped; its radiometry is jittered later, in normalised units."""
    images = tuple(np.ascontiguousarray(moved(image, by)) for image in sample.images)
    return Sample(images, np.ascontiguousarray(moved(sample.label, by)))


def radiometry(by: Sequence[Augmentation]) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset of each sample of a batch, float32, shaped to act on (N, T, C, H, W)."""
    shape = (len(by), 1, 1, 1, 1)
    gain = np.array([one.gain for one in by], dtype=np.float32).reshape(shape)
    return gain, np.array([one.offset for one in by], dtype=np.float32).reshape(shape)
