"""Which windows cover a raster: pure rules, no reading and no model.

Windows form a lattice, the product of one `Axis` for rows and one for columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..contract.errors import InstaGeoError


@dataclass(frozen=True)
class Axis:
    """Windows along rows or along columns: `window` pixels from each of `starts`, over `size` raster pixels.

    The first window starts at 0; the last one ends at `padded`, at or beyond the raster's edge.
    """

    size: int
    window: int
    starts: tuple[int, ...]

    @property
    def padded(self) -> int:
        return self.starts[-1] + self.window

    @property
    def overlap(self) -> int:
        """Smallest number of pixels that two neighbouring windows share; a whole window where there is only one."""
        gaps = (right - left for left, right in zip(self.starts, self.starts[1:]))
        return self.window - max(gaps, default=0)


@dataclass(frozen=True)
class WindowPlan:
    """The lattice. `exact`: each pixel is taken from a window that holds all that the model looks at for it, so that
    the result does not depend on the windows."""

    rows: Axis
    cols: Axis
    exact: bool

    @property
    def count(self) -> int:
        return len(self.rows.starts) * len(self.cols.starts)


def plan_axis(size: int, window: int, overlap: int, stride: int) -> Axis:
    """Windows of `window` pixels that share at least `overlap`, spread evenly; starts are multiples of `stride`.

    `window` must be a multiple of `stride`, and `overlap` leave at least one stride between two windows.
    """
    padded = max(window, round_up(size, stride))
    longest_step = (window - overlap) // stride  # in strides, as is all below
    span = (padded - window) // stride
    gaps = -(-span // longest_step)
    return Axis(size, window, tuple(i * span // max(gaps, 1) * stride for i in range(gaps + 1)))


def plan_patches(shape: tuple[int, int], chip_size: int, stride: int, radius: int | None, overlap: int) -> WindowPlan:
    """Overlapping windows of a chip's size for a model that looks at a pixel's surroundings.

    shape: rows and columns of the raster. `radius`: the model's receptive radius in pixels, None when it sees its
    whole window. `overlap` in pixels, -1 for a quarter of the chip. Raises `InstaGeoError` when it is too large.
    """
    window = round_up(chip_size, stride)
    if overlap < 0:
        overlap = chip_size // 8 * 2
    if overlap > window - stride:
        raise InstaGeoError(
            f"OVERLAP is {overlap} pixels; the model's windows of {window} pixels allow at most {window - stride}.",
            f"Give less, or -1 for a quarter of a chip ({chip_size // 8 * 2} pixels).",
        )
    rows, cols = (plan_axis(size, window, overlap, stride) for size in shape)
    exact = radius is not None and 2 * radius <= min(rows.overlap, cols.overlap)
    return WindowPlan(rows, cols, exact)


def plan_pixels(shape: tuple[int, int], channels: int, bytes_at_once: int = 1 << 25) -> WindowPlan:
    """Windows without overlap, at most 512 pixels a side, for a model that looks at each pixel alone.

    `channels` (timesteps x bands) bounds the memory of a window.
    """
    side = 512
    while side > 64 and side * side * channels * 4 > bytes_at_once:
        side //= 2
    rows, cols = (plan_axis(size, -(-size // -(-size // side)), 0, 1) for size in shape)
    return WindowPlan(rows, cols, exact=True)


def reflected(start: int, count: int, size: int) -> np.ndarray:
    """Raster rows (or columns) that stand for `start` to `start + count`, mirrored at the edges 0 and `size`."""
    wanted = np.arange(start, start + count)
    if size == 1:
        return np.zeros(count, dtype=np.intp)
    period = 2 * (size - 1)
    folded = wanted % period
    return np.minimum(folded, period - folded)


def round_up(value: int, step: int) -> int:
    """The smallest multiple of `step` that is at least `value`."""
    return -(-value // step) * step
