"""Few searches for many labels: labels near each other in place and time share one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

CELL_DEG = 1.0  # about an MGRS tile
_JOINED_DAYS = 31  # searches less than this apart are one: a page holds more than a month of scenes of a cell


@dataclass(frozen=True)
class Search:
    """One search: the box of its labels in EPSG:4326, first and last UTC day, and the labels' positions."""

    box: shapely.Polygon
    first: dt.date
    last: dt.date
    labels: tuple[int, ...]


def plan_searches(bounds: np.ndarray, targets: Sequence[Sequence[dt.date]], tolerance_days: int) -> list[Search]:
    """The searches that together cover every target date of every label.

    `bounds` is (n, 4) west, south, east, north in degrees, `targets` the dates of each label. A label is in several
    searches when its dates lie far apart. Searches come by cell from the south-west, then by time.
    """
    cells: dict[tuple[int, int], list[int]] = {}
    middles = (bounds[:, :2] + bounds[:, 2:]) / 2
    for number, (column, row) in enumerate(np.floor(middles / CELL_DEG).astype(int).tolist()):
        cells.setdefault((row, column), []).append(number)
    tolerance = dt.timedelta(days=tolerance_days)
    searches = []
    for _, members in sorted(cells.items()):
        spans = ((date - tolerance, date + tolerance, number) for number in members for date in targets[number])
        for first, last, numbers in _joined(spans):
            west, south = bounds[list(numbers), :2].min(axis=0)
            east, north = bounds[list(numbers), 2:].max(axis=0)
            searches.append(Search(shapely.box(west, south, east, north), first, last, numbers))
    return searches


def _joined(spans: Iterable[tuple[dt.date, dt.date, int]]) -> list[tuple[dt.date, dt.date, tuple[int, ...]]]:
    """Spans of time that overlap, or nearly, as one, with all their labels."""
    joined: list[tuple[dt.date, dt.date, set[int]]] = []
    for first, last, number in sorted(spans):
        if joined and (first - joined[-1][1]).days < _JOINED_DAYS:
            start, end, numbers = joined[-1]
            numbers.add(number)
            joined[-1] = (start, max(end, last), numbers)
        else:
            joined.append((first, last, {number}))
    return [(first, last, tuple(sorted(numbers))) for first, last, numbers in joined]
