"""How overlapping windows become one map: weights along each axis, and a band of rows that adds them up.

Since windows form a lattice, a window's weights are the outer product of its weights along rows and along columns; on
each axis the weights at a pixel sum to 1, so nothing needs to be divided afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .windows import Axis, WindowPlan

BLOCK = 256  # strips and writers cut the raster at multiples of it


@dataclass(frozen=True, eq=False)
class Part:
    """The part of a window that counts, along one axis: raster pixels from `start` on, with positive `weights`.

    `offset` is where the part begins in the window.
    """

    start: int
    offset: int
    weights: np.ndarray

    @property
    def stop(self) -> int:
        return self.start + len(self.weights)

    def clipped(self, start: int, stop: int) -> Part:
        """What of it lies in raster pixels `start` to `stop`; may be empty."""
        first = min(max(start - self.start, 0), len(self.weights))
        last = max(min(stop - self.start, len(self.weights)), first)
        return Part(self.start + first, self.offset + first, self.weights[first:last])

    @property
    def in_window(self) -> slice:
        return slice(self.offset, self.offset + len(self.weights))

    def within(self, origin: int) -> slice:
        """Its place in an array whose first pixel is the raster's `origin`."""
        return slice(self.start - origin, self.stop - origin)


def axis_parts(axis: Axis, exact: bool) -> list[Part]:
    """One part a window. `exact`: cut in the middle of each overlap; else cosine ramps over the overlaps."""
    return _cut(axis) if exact else _ramped(axis)


def _cut(axis: Axis) -> list[Part]:
    middles = [(left + axis.window + right) // 2 for left, right in zip(axis.starts, axis.starts[1:])]
    edges = [0, *middles, axis.size]
    return [
        Part(low, low - start, np.ones(high - low, dtype=np.float32))
        for start, low, high in zip(axis.starts, edges, edges[1:])
    ]


def _ramped(axis: Axis) -> list[Part]:
    raw = [_window_weights(axis, i) for i in range(len(axis.starts))]
    total = np.zeros(axis.padded)
    for start, weights in zip(axis.starts, raw):
        total[start : start + axis.window] += weights
    parts = []
    for start, weights in zip(axis.starts, raw):
        normal = (weights / total[start : start + axis.window]).astype(np.float32)
        parts.append(Part(start, 0, normal[: axis.size - start]))
    return parts


def _window_weights(axis: Axis, i: int) -> np.ndarray:
    """1, falling as a raised cosine over the overlap at edges that have a neighbour, never to 0."""
    length = axis.overlap
    weights = np.ones(axis.window)
    if len(axis.starts) == 1 or length == 0:
        return weights
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)
    if i > 0:
        weights[:length] *= ramp
    if i < len(axis.starts) - 1:
        weights[-length:] *= ramp[::-1]
    return weights


@dataclass(frozen=True, eq=False)
class Strip:
    """Raster columns `start` to `stop`, worked on from top to bottom before the next strip begins.

    It bounds the memory of very wide rasters. `columns`: the lattice columns that it needs.
    """

    start: int
    stop: int
    columns: tuple[int, ...]

    @property
    def width(self) -> int:
        return self.stop - self.start


def plan_strips(plan: WindowPlan, classes: int, bytes_at_once: int = 1 << 26) -> list[Strip]:
    """Strips as wide as a band of windows with `classes` float32 values a pixel may be."""
    width = bytes_at_once // (4 * classes * plan.rows.window)
    width = max(width // BLOCK, 2) * BLOCK
    parts = axis_parts(plan.cols, plan.exact)
    strips = []
    for start in range(0, plan.cols.size, width):
        stop = min(start + width, plan.cols.size)
        columns = tuple(i for i, part in enumerate(parts) if part.start < stop and part.stop > start)
        strips.append(Strip(start, stop, columns))
    return strips


@dataclass(frozen=True, eq=False)
class Rows:
    """Finished rows: raster row and column of their upper-left pixel, probabilities (K, rows, columns), and state.

    state (rows, columns) uint8: 0 no data at all, 1 some bands or timesteps are missing, 2 complete.
    """

    row: int
    col: int
    probabilities: np.ndarray
    state: np.ndarray


class RowBand:
    """The rows of a strip on which windows are still being added: as many as a window has, however tall the raster.

    `top`: the first raster row that is not finished.
    """

    def __init__(self, parts: Sequence[Part], classes: int, strip: Strip) -> None:
        height = max(len(part.weights) for part in parts)
        self.top = 0
        self._strip = strip
        self.top = 0
        self._sums = np.zeros((classes, height, strip.width), dtype=np.float32)
        self._state = np.zeros((height, strip.width), dtype=np.uint8)

    def add(self, row: Part, col: Part, state: np.ndarray, probabilities: np.ndarray) -> None:
        """Add a window: probabilities (K, H, W), state (H, W)."""
        col = col.clipped(self._strip.start, self._strip.stop)
        place = row.within(self.top), col.within(self._strip.start)
        window = row.in_window, col.in_window
        weights = row.weights[:, None] * col.weights
        self._sums[:, place[0], place[1]] += probabilities[:, window[0], window[1]] * weights
        self._state[place] = state[window]

    def finish(self, row: int) -> Rows:
        """Give the rows above raster row `row`, to which nothing will be added any more, and move down to it."""
        count = row - self.top
        done = Rows(self.top, self._strip.start, self._sums[:, :count].copy(), self._state[:count].copy())
        for array in (self._sums, self._state):
            kept = array.shape[-2] - count
            array[..., :kept, :] = array[..., count:, :].copy()
            array[..., kept:, :] = 0
        self.top = row
        return done
