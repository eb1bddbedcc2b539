"""Where chips lie on a scene: pure arithmetic on pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Optional

import numpy as np
from rasterio.windows import Window

SHIFT, SKIP = "shift", "skip"


@dataclass(frozen=True)
class Cell:
    """A chip's place: upper-left pixel, side in pixels. `partial`: it reaches beyond the scene and is to be skipped."""

    col: int
    row: int
    size: int
    partial: bool = False

    @property
    def window(self) -> Window:
        return Window(self.col, self.row, self.size, self.size)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in pixels."""
        return self.col, self.row, self.col + self.size, self.row + self.size


def axis_starts(length: int, size: int, step: int, edge: str) -> list[tuple[int, bool]]:
    """First pixel of each cell along an axis of `length` pixels, and whether the cell is partial.

    Cells start at 0, `step`, 2 `step` ... as long as they fit. Where pixels remain, one more covers them: with edge
    `shift` moved inwards (to 0 when the axis is shorter than a cell), with `skip` left where it is, as partial.
    """
    starts = [(start, False) for start in range(0, length - size + 1, step)]
    following = len(starts) * step
    covered = following - step + size if starts else 0
    if covered < length and following < length:
        starts.append((max(0, length - size), False) if edge == SHIFT else (following, True))
    return starts


@lru_cache(maxsize=32)  # an archive has very many scenes of few shapes
def grid_cells(width: int, height: int, size: int, step: int, edge: str) -> tuple[Cell, ...]:
    """Cells of the fixed grid from the upper-left corner, row by row."""
    columns = axis_starts(width, size, step, edge)
    rows = axis_starts(height, size, step, edge)
    return tuple(Cell(col, row, size, part or lower) for row, lower in rows for col, part in columns)


def centred_start(pixel: int, length: int, size: int, edge: str) -> tuple[int, bool]:
    """First pixel of the cell whose pixel at index `size` // 2 is `pixel`, and whether it is partial.

    With edge `shift` a cell beyond the edge moves inwards (to 0 when the axis is shorter than a cell).
    """
    start = pixel - size // 2
    if 0 <= start <= length - size:
        return start, False
    if edge == SHIFT:
        return max(0, min(start, length - size)), False
    return start, True


def centred_cells(centres: Iterable[tuple[int, int]], shape: tuple[int, int], size: int, edge: str) -> list[Cell]:
    """One cell around each (column, row), identical ones once, in order. `shape` is the scene's width and height."""
    cells: dict[tuple[int, int], Cell] = {}
    for col, row in centres:
        left, beyond = centred_start(col, shape[0], size, edge)
        top, below = centred_start(row, shape[1], size, edge)
        cells.setdefault((left, top), Cell(left, top, size, beyond or below))
    return list(cells.values())


def pixel_of(x: np.ndarray, y: np.ndarray, transform: tuple[float, ...]) -> np.ndarray:
    """(n, 2) fractional column and row of coordinates on a grid without rotation.

    Subtracting the origin before dividing keeps coordinates on pixel edges exact.
    """
    a, _, c, _, e, f = transform[:6]
    return np.column_stack([(np.asarray(x) - c) / a, (np.asarray(y) - f) / e])


def chip_name(scene: str, cell: Cell, digits: int = 5) -> str:
    """`<scene>_<column>_<row>` of the upper-left pixel, zero padded; a minus only for cells beyond the edge."""
    return f"{scene}_{cell.col:0{digits}d}_{cell.row:0{digits}d}"


def safe_name(name: str, taken: Optional[Iterable[str]] = None, longest: int = 80) -> str:
    """`name` as a file name on every system, and different from those `taken`, whatever their case."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)
    base = kept.strip("-._")[:longest] or "scene"
    others = {other.lower() for other in taken or ()}
    unique, n = base, 1
    while unique.lower() in others:
        n += 1
        unique = f"{base}-{n}"
    return unique
