"""What one pass over the chips tells: band means, standard deviations, class counts, and a digest of every pixel."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..chips.index import ChipRow
from ..contract.card import Normalisation
from ..contract.dataset import InputSpec
from ..reporting import Reporter
from .data import IGNORED, ChipReader, Sample


@dataclass
class BandMoments:
    """Running count, mean and sum of squared deviations of each band, in float64.

    Chunks are merged by the formula of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", 1979: no cancellation, whatever the size of the mean.
    """

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of_bands(cls, bands: int) -> BandMoments:
        return cls(np.zeros(bands), np.zeros(bands), np.zeros(bands))

    def add(self, image: np.ndarray) -> None:
        """Add (T, C, H, W) pixels; those that are not finite do not count."""
        bands = np.moveaxis(image, 1, 0).reshape(image.shape[1], -1).astype(np.float64)
        valid = np.isfinite(bands)
        count = valid.sum(axis=1)
        some = np.maximum(count, 1)
        mean = np.where(valid, bands, 0).sum(axis=1) / some
        squares = (np.where(valid, bands - mean[:, None], 0) ** 2).sum(axis=1)
        total = np.maximum(self.count + count, 1)
        shift = mean - self.mean
        self.squares += squares + shift**2 * self.count * count / total
        self.mean += shift * count / total
        self.count += count

    @property
    def std(self) -> np.ndarray:
        deviation: np.ndarray = np.sqrt(self.squares / np.maximum(self.count, 1))
        return deviation


@dataclass(frozen=True)
class PartStatistics:
    """Of the chips of one part: moments of each input, labelled pixels by class position, CRC-32 of all pixels."""

    moments: tuple[BandMoments, ...]
    class_pixels: np.ndarray
    digest: int

    @property
    def labelled(self) -> int:
        return int(self.class_pixels.sum())


def part_statistics(reader: ChipReader, chips: Sequence[ChipRow], reporter: Reporter, subject: str) -> PartStatistics:
    """Read every chip once. Raises `InstaGeoError` when one cannot be read or holds a class outside the table."""
    spec = reader.dataset.spec
    moments = tuple(BandMoments.of_bands(len(one.bands)) for one in spec.inputs)
    pixels = np.zeros(len(spec.class_table.classes), dtype=np.int64)
    digest = 0
    for number, chip in enumerate(chips):
        reporter.check()
        reporter.progress(number / len(chips), f"Reading {subject} chips: {number + 1} of {len(chips)}")
        sample = reader.sample(chip)
        for one, image in zip(moments, sample.images):
            one.add(image)
        pixels += np.bincount(sample.label[sample.label != IGNORED], minlength=len(pixels))
        digest = _extended(digest, chip, sample)
    return PartStatistics(moments, pixels, digest)


def _extended(digest: int, chip: ChipRow, sample: Sample) -> int:
    digest = zlib.crc32(chip.chip.encode(), digest)
    for array in (*sample.images, sample.label):
        digest = zlib.crc32(np.ascontiguousarray(array).data, digest)
    return digest


def normalisation(spec: InputSpec, moments: BandMoments, reporter: Reporter) -> Normalisation:
    """Mean and standard deviation of each band of one input.

    A band that is constant in training carries no information, yet the rest of the raster may be worth having (an
    empty band of a stack, a flat elevation tile), so it is not refused: its standard deviation becomes 1, which makes
    it all zeros, and the user is told. A band without any valid pixel likewise, with the mean 0.
    """
    std = moments.std
    for band, deviation, count in zip(spec.bands, std, moments.count):
        if not count:
            reporter.log(f"Band {band} of {spec.sensor} has no valid pixel in the training chips.", "warning")
        elif not deviation > 0:
            reporter.log(f"Band {band} of {spec.sensor} is constant in the training chips: it is ignored.", "warning")
    mean = tuple(float(value) for value in moments.mean)
    return Normalisation(mean, tuple(float(value) if value > 0 else 1.0 for value in std))
