"""What an archive has for many labels: few searches, their items kept by input."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from ..contract.errors import InstaGeoError
from ..contract.jobs import ArchiveChoice
from ..reporting import Reporter
from .access import Credentials
from .catalog import Catalog, Query, collections_by_sensor, nearest_dates, open_catalog
from .items import ArchiveItem, item_from_plain, plain_item
from .matcher import anchor_of
from .planning import Search, plan_searches
from .reading import Input, usable

_SEARCHING_THREADS = 4
_MONTH_DAYS = 31
_AROUND_DEG = 0.5
_ANY_TIME = (dt.date(1900, 1, 1), dt.date(2200, 1, 1))


@dataclass(frozen=True)
class Wanted:
    """Ground in EPSG:4326 and the dates of its imagery."""

    outline: shapely.Geometry
    targets: tuple[dt.date, ...]


class Finds:
    """Items by input. `near` looks them up by place."""

    def __init__(self, outlines: Sequence[shapely.Geometry], items: Sequence[Sequence[ArchiveItem]]) -> None:
        self._outlines = outlines
        self._by_input = items
        self._trees = [shapely.STRtree([item.footprint for item in found]) for found in items]

    @property
    def items(self) -> list[ArchiveItem]:
        """All of them."""
        return [item for found in self._by_input for item in found]

    def near(self, number: int) -> list[list[ArchiveItem]]:
        """The items whose footprint touches outline `number`, a list an input, by time and id."""
        return self.near_any([number])

    def around(self, number: int) -> list[list[ArchiveItem]]:
        """As `near`, with the items that lie less than half a degree away."""
        return self._touching(np.array([shapely.buffer(self._outlines[number], _AROUND_DEG)], dtype=object))

    def near_any(self, numbers: Sequence[int]) -> list[list[ArchiveItem]]:
        """The items that touch one of these outlines."""
        return self._touching(np.array([self._outlines[number] for number in numbers], dtype=object))

    def _touching(self, outlines: np.ndarray) -> list[list[ArchiveItem]]:
        hits = [np.unique(tree.query(outlines, predicate="intersects")[1]) for tree in self._trees]
        return [[found[i] for i in hit.tolist()] for found, hit in zip(self._by_input, hits)]

    def to_plain(self) -> list[list[dict[str, Any]]]:
        """As JSON has it, for `finds_from_plain`."""
        return [[plain_item(item) for item in found] for found in self._by_input]


def finds_from_plain(outlines: Sequence[shapely.Geometry], kept: Sequence[Sequence[Mapping[str, Any]]]) -> Finds:
    """The finds of an earlier run."""
    return Finds(outlines, [[item_from_plain(item) for item in found] for found in kept])


class Finder:
    """Searches a catalogue for all inputs of a dataset."""

    def __init__(self, choice: ArchiveChoice, inputs: Sequence[Input], credentials: Credentials) -> None:
        self._choice = choice
        self._inputs = inputs
        self._credentials = credentials

    def find(self, wanted: Sequence[Wanted], reporter: Reporter) -> Finds:
        """Everything that may serve.

        Raises `InstaGeoError` for a catalogue that fails, unknown collections, items without the bands, and when
        nothing is found, with the nearest dates that exist.
        """
        reporter.progress(0.01, "Opening the catalogue")
        catalog = open_catalog(self._choice.catalog, self._credentials)
        owners = collections_by_sensor(
            catalog, self._choice.catalog, [one.sensor for one in self._inputs], self._choice.collections
        )
        parts = [(part, one.targets) for one in wanted for part in shapely.get_parts(one.outline)]
        bounds = np.array([part.bounds for part, _ in parts]).reshape(-1, 4)
        found: dict[str, dict[tuple[str, str], ArchiveItem]] = {one.sensor.name: {} for one in self._inputs}
        queries = self._queries(bounds, [targets for _, targets in parts], owners)
        reporter.log(f"{len(queries)} searches for {len(wanted)} labels or areas.")
        with ThreadPoolExecutor(_SEARCHING_THREADS) as pool:
            answers = pool.map(lambda query: catalog.search(query, reporter), queries)
            for number, items in enumerate(answers):
                reporter.progress(0.01 + 0.02 * number / len(queries), f"{number} of {len(queries)} searches")
                for item in items:
                    found[owners[item.collection]][item.collection, item.id] = item
        self._check_found(found, catalog, queries, reporter)
        return Finds([one.outline for one in wanted], [self._usable(one, found, reporter) for one in self._inputs])

    def _queries(
        self, bounds: np.ndarray, targets: Sequence[tuple[dt.date, ...]], owners: Mapping[str, str]
    ) -> list[Query]:
        static = {one.sensor.name for one in self._inputs if one.sensor.static}
        monthly = any(one.sensor.monthly for one in self._inputs)
        tolerance = self._choice.tolerance_days + (_MONTH_DAYS if monthly else 0)
        dated = tuple(name for name, sensor in owners.items() if sensor not in static)
        undated = tuple(name for name, sensor in owners.items() if sensor in static)
        searches = plan_searches(bounds, targets, tolerance)
        queries = [Query(dated, search.box, search.first, search.last) for search in searches]
        if undated:
            boxes = {_key(search): search.box for search in plan_searches(bounds, [_ANY_TIME[:1]] * len(bounds), 0)}
            queries += [Query(undated, box, *_ANY_TIME) for box in boxes.values()]
        return queries

    def _usable(
        self, one: Input, found: Mapping[str, Mapping[tuple[str, str], ArchiveItem]], reporter: Reporter
    ) -> list[ArchiveItem]:
        """Items with all the bands, by time and id."""
        items = sorted(found[one.sensor.name].values(), key=lambda item: (item.time, item.id))
        kept, lacking = usable(items, one)
        if not lacking:
            return kept
        bands = ", ".join(band.name for band in one.bands)
        what = f"{bands} or the mask" if one.needs_mask else bands
        if not kept:
            raise InstaGeoError(
                f"None of the {len(items)} items of {one.sensor.title} has the assets for {what}; item "
                f"{lacking[0].id} has {', '.join(lacking[0].assets)}.",
                "Choose other BANDS or another CATALOG, or leave MASK empty.",
            )
        reporter.log(
            f"{len(lacking)} items of {one.sensor.title} lack assets for {what} and are left out, the first: "
            f"{lacking[0].id}.",
            "warning",
        )
        return kept

    def _check_found(
        self,
        found: Mapping[str, Mapping[tuple[str, str], ArchiveItem]],
        catalog: Catalog,
        queries: Sequence[Query],
        reporter: Reporter,
    ) -> None:
        """Raise `InstaGeoError` when there is no imagery at all."""
        if found[self._inputs[anchor_of(self._inputs)].sensor.name]:
            return
        areas = shapely.union_all([query.geometry for query in queries])
        first, last = (
            min(query.first for query in queries),
            max(query.last for query in queries if query.first.year > 1900),
        )
        raise nearest_dates(catalog, Query(queries[0].collections, areas, first, last), reporter)


def _key(search: Search) -> bytes:
    return bytes(shapely.to_wkb(search.box))
