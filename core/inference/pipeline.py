"""Reading windows ahead of the model, in batches, in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from rasterio.windows import Window

from ..imagery.occasion import Occasion
from .area import Area
from .blend import Part, Strip
from .source import Source, read_mirrored
from .windows import WindowPlan

T = TypeVar("T")
_AHEAD = 2
_TILES_PER_BATCH = 64  # skipped ones included, so that progress goes on over empty ground


@dataclass(frozen=True, eq=False)
class Tile:
    """A window of the lattice, by lattice row and column.

    images (T, C, H, W) float32, state (H, W) as in `blend.Rows`, and when and where; None where there is nothing to
    predict.
    """

    row: int
    col: int
    images: np.ndarray | None = None
    state: np.ndarray | None = None
    occasion: Occasion | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """Tiles in order, and the images of those that have any: (N, T, C, H, W), None when none has; likewise their
    occasions (N)."""

    tiles: tuple[Tile, ...]
    images: np.ndarray | None
    occasions: tuple[Occasion, ...]


@dataclass(frozen=True, eq=False)
class Lattice:
    """The windows of a plan and the part of each that counts."""

    plan: WindowPlan
    rows: Sequence[Part]
    cols: Sequence[Part]

    def window(self, row: int, col: int) -> Window:
        """The pixels of a window; they may reach beyond the raster at the right and at the bottom."""
        rows, cols = self.plan.rows, self.plan.cols
        return Window(cols.starts[col], rows.starts[row], cols.window, rows.window)


def read_tiles(source: Source, area: Area | None, lattice: Lattice, strip: Strip) -> Iterator[Tile]:
    """The tiles of a strip, row by row from the top."""
    for row in range(len(lattice.rows)):
        for col in strip.columns:
            yield _read_tile(source, area, lattice, row, col)


def _read_tile(source: Source, area: Area | None, lattice: Lattice, row: int, col: int) -> Tile:
    window = lattice.window(row, col)
    counts = lattice.rows[row].in_window, lattice.cols[col].in_window
    inside = area.inside(window) if area else None
    if inside is not None and not inside[counts].any():
        return Tile(row, col)
    images = read_mirrored(source, window)
    present = ~np.isnan(images)
    state = present.any(axis=(0, 1)).astype(np.uint8) + present.all(axis=(0, 1))
    if inside is not None:
        state[~inside] = 0
    if not state[counts].any():
        return Tile(row, col)
    return Tile(row, col, images, state, Occasion(source.dates, source.grid.window(window)))


def batched(tiles: Iterable[Tile], size: int) -> Iterator[Batch]:
    """Tiles in batches of at most `size` with images."""
    waiting: list[Tile] = []
    for tile in tiles:
        waiting.append(tile)
        if sum(t.images is not None for t in waiting) == size or len(waiting) == _TILES_PER_BATCH:
            yield _batch(waiting)
            waiting = []
    if waiting:
        yield _batch(waiting)


def _batch(tiles: Sequence[Tile]) -> Batch:
    images = [tile.images for tile in tiles if tile.images is not None]
    light = tuple(Tile(tile.row, tile.col, None, tile.state) for tile in tiles)
    occasions = tuple(tile.occasion for tile in tiles if tile.occasion is not None)
    return Batch(light, np.stack(images) if images else None, occasions)


def read_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items, each made in a thread while the caller works on those before it. Close it when leaving early."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader") as thread:
        pending = deque(thread.submit(next, items, None) for _ in range(_AHEAD))
        while (item := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, items, None))
            yield item
