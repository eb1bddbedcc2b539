"""When and where pixels were taken, for the models that were trained to know."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from .footprint import to_degrees
from .grid import Grid

_SPACING = 32  # pixels between those whose place is computed; the others lie on straight lines between them


@dataclass(frozen=True)
class Occasion:
    """`dates` of the timesteps, ISO, oldest first, empty where not known (and no dates at all for undated imagery);
    `grid` is that of the pixels."""

    dates: tuple[str, ...]
    grid: Grid

    def times(self) -> np.ndarray:
        """(T, 2) float64: year and day of the year from 1; NaN where the date is not known."""
        return np.array([_year_and_day(date) for date in self.dates], dtype=np.float64).reshape(-1, 2)

    def middle(self) -> np.ndarray:
        """(2,) float64: latitude and longitude of the middle, in degrees."""
        columns, rows = (np.array([count / 2]) for count in (self.grid.width, self.grid.height))
        found: np.ndarray = self._places(columns, rows)[0, 0]
        return found

    def places(self) -> np.ndarray:
        """(H, W, 2) float64: latitude and longitude of every pixel's middle, to a millionth of a degree."""
        columns, rows = (_knots(count) for count in (self.grid.width, self.grid.height))
        known = self._places(columns, rows)
        known[..., 1] = np.unwrap(np.unwrap(known[..., 1], period=360, axis=0), period=360, axis=1)
        along = _between(known, rows, self.grid.height)
        return _between(along.swapaxes(0, 1), columns, self.grid.width).swapaxes(0, 1)

    def _places(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(rows, columns, 2) latitude and longitude of points of the grid."""
        a, b, c, d, e, f = self.grid.transform[:6]
        x = c + a * columns[None] + b * rows[:, None]
        y = f + d * columns[None] + e * rows[:, None]
        longitude, latitude = to_degrees(self.grid.crs.to_wkt()).transform(x, y)
        return np.stack([latitude, longitude], axis=-1)


def first_dates(dates: dict[str, list[str]]) -> tuple[str, ...]:
    """Those of the first dated input of a chip: all inputs of a chip follow the same targets."""
    return tuple(next((found for found in dates.values() if found), ()))


def _year_and_day(date: str) -> tuple[float, float]:
    if not date:
        return np.nan, np.nan
    day = datetime.date.fromisoformat(date)
    return float(day.year), float(day.timetuple().tm_yday)


def _knots(count: int) -> np.ndarray:
    """Middles of pixels on which places are computed: the first, the last, and some between."""
    return np.linspace(0.5, count - 0.5, max(2, -(-count // _SPACING) + 1))


def _between(values: np.ndarray, knots: np.ndarray, count: int) -> np.ndarray:
    """Values (knots, ...) at the middles of `count` pixels along the first axis."""
    at = np.clip((np.arange(count) + 0.5 - knots[0]) / (knots[1] - knots[0] or 1), 0, len(knots) - 1)
    below = np.minimum(at.astype(int), len(knots) - 2)
    share = (at - below)[:, None, None]
    found: np.ndarray = values[below] * (1 - share) + values[below + 1] * share
    return found
