"""Cutting chips from an archive: what is needed is fetched ahead, once, while chips are made in threads."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from rasterio.windows import Window

from ..archive.access import PATIENCE, Access, Credentials, ReadFailure
from ..archive.assets import AssetStore
from ..archive.items import ArchiveItem
from ..archive.matching import Series
from ..archive.reading import MOSAIC, Input, InputReader, StepPixels
from ..contract.jobs import MEDIAN, CreateChipsJob
from ..imagery.footprint import footprint_4326
from ..imagery.grid import Grid
from ..imagery.masks import apply_strategy
from ..reporting import Reporter
from .chip_files import ChipMaker
from .ledger import Outcome
from .plan import Candidate, PlannedScene
from .sources import InputPixels, Unreadable

READ_FAILED = "imagery could not be read"
SPOOL = "spool"
_AHEAD = 64  # chips whose imagery is fetched before their turn
_LOOK_S = 0.2  # between two looks whether the user has cancelled


def chip_threads() -> int:
    """Chips made at a time: they wait for the network as often as they compute."""
    return min(8, 2 * (os.cpu_count() or 1))


@dataclass(frozen=True)
class ArchiveScene:
    """A planned scene and the items its chips are read from."""

    planned: PlannedScene
    series: Series


class ArchiveSource:
    """The imagery of one scene. Its chips may be read by many threads."""

    def __init__(self, scene: ArchiveScene, inputs: Sequence[Input], store: AssetStore, strategy: str) -> None:
        self._grid = scene.planned.grid
        self._series = scene.series
        self._inputs = inputs
        self._readers = [InputReader(one, store) for one in inputs]
        self._strategy = strategy

    def read(self, window: Window) -> list[InputPixels]:
        """See `ChipSource`."""
        grid = self._grid.window(window)
        try:
            return [self._input(number, grid) for number in range(len(self._inputs))]
        except ReadFailure as error:
            raise Unreadable(READ_FAILED, str(error)) from error

    def prefetch(self, grids: Sequence[Grid]) -> None:
        """Begin to fetch what chips on these grids need."""
        for reader, steps in zip(self._readers, self._series.steps):
            for items in steps:
                reader.prefetch(items, grids)

    def hrefs(self) -> set[str]:
        """All files that may be read."""
        return {
            href
            for reader, steps in zip(self._readers, self._series.steps)
            for items in steps
            for item in items
            for href in reader.hrefs(item)
        }

    def _input(self, number: int, grid: Grid) -> InputPixels:
        one = self._inputs[number]
        found = [self._readers[number].read(_near(one, items, grid), grid) for items in self._series.steps[number]]
        steps = [step for step, _ in found]
        masked = apply_strategy(np.stack([step.masked for step in steps]), self._strategy) if one.is_masked else None
        dates = [self._date(number, t, item) for t, (_, item) in enumerate(found)]
        return InputPixels(_stack(steps, "values"), _stack(steps, "data"), _stack(steps, "clamped"), masked,
                           [] if one.sensor.static else dates)  # fmt: skip

    def _date(self, number: int, timestep: int, item: Optional[ArchiveItem]) -> str:
        if item is not None:
            return item.time.date().isoformat()
        dated = self._inputs[number].selection == MEDIAN and self._series.steps[number][timestep]
        return self._series.targets[timestep].isoformat() if dated else ""


def _stack(steps: Sequence[StepPixels], name: str) -> np.ndarray:
    return np.stack([getattr(step, name) for step in steps])


def _near(one: Input, items: Sequence[ArchiveItem], grid: Grid) -> Sequence[ArchiveItem]:
    """A mosaic is made of the items that touch the chip."""
    if one.selection != MOSAIC:
        return items
    outline = footprint_4326(grid)
    return [item for item in items if item.footprint.intersects(outline)]


@dataclass(frozen=True)
class ArchiveWork:
    """What it takes to make chips of scenes anywhere: on this machine or on a worker of a cluster."""

    job: CreateChipsJob
    inputs: tuple[Input, ...]
    has_labels: bool

    def maker(self, scene: ArchiveScene, folder: Path, source: ArchiveSource) -> ChipMaker:
        specs = tuple(one.spec for one in self.inputs)
        return ChipMaker(self.job, folder, scene.planned, specs, source, self.has_labels)

    def source(self, scene: ArchiveScene, store: AssetStore) -> ArchiveSource:
        return ArchiveSource(scene, self.inputs, store, self.job.mask_strategy)


@dataclass
class _Unit:
    """A scene's chips that are still to be made."""

    maker: ChipMaker
    source: ArchiveSource
    candidates: Sequence[Candidate]
    hrefs: set[str]
    left: int

    @property
    def grids(self) -> list[Grid]:
        return [self.maker.scene.grid.window(candidate.cell.window) for candidate in self.candidates]


@dataclass(frozen=True)
class Batch:
    """Chips of one scene that are still to be made."""

    scene: ArchiveScene
    candidates: Sequence[Candidate]


def waiting_batches(scenes: Sequence[ArchiveScene], is_done: Callable[[str], bool]) -> list[Batch]:
    """What is not done yet, a batch a scene."""
    batches = [Batch(s, [c for c in s.planned.plan.candidates if not is_done(c.name)]) for s in scenes]
    return [batch for batch in batches if batch.candidates]


@dataclass(frozen=True)
class Workplace:
    """Where chips are made: their `folder`, one for what is fetched, and who the user is."""

    folder: Path
    spool: Path
    credentials: Credentials


def make_batches(
    work: ArchiveWork, batches: Sequence[Batch], place: Workplace, reporter: Reporter
) -> Iterator[Outcome]:
    """Make the chips of all batches, in order; their files are complete before their outcome is yielded."""
    threads = ThreadPoolExecutor(chip_threads(), thread_name_prefix="instageo-chip")
    try:
        with AssetStore(Access(place.credentials, PATIENCE), place.spool) as store:
            units = [_unit(work, batch, place.folder, store) for batch in batches]
            yield from _Run(units, store, threads, reporter).outcomes()
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def _unit(work: ArchiveWork, batch: Batch, folder: Path, store: AssetStore) -> _Unit:
    source = work.source(batch.scene, store)
    maker = work.maker(batch.scene, folder, source)
    return _Unit(maker, source, batch.candidates, source.hrefs(), len(batch.candidates))


@dataclass(frozen=True)
class ArchiveProduction:
    """Makes the chips on this machine."""

    work: ArchiveWork
    scenes: Sequence[ArchiveScene]
    credentials: Credentials

    def produce(self, folder: Path, is_done: Callable[[str], bool], reporter: Reporter) -> Iterator[Outcome]:
        """See `Production`. Chips that could not be read are told like any other; the caller tries them again."""
        place = Workplace(folder, folder / SPOOL, self.credentials)
        return make_batches(self.work, waiting_batches(self.scenes, is_done), place, reporter)


class _Run:
    """Makes units in order, with a bounded number of chips under way."""

    def __init__(
        self, units: Sequence[_Unit], store: AssetStore, threads: ThreadPoolExecutor, reporter: Reporter
    ) -> None:
        self._units = units
        self._store = store
        self._threads = threads
        self._reporter = reporter
        self._uses = Counter(href for unit in units for href in unit.hrefs)
        self._under_way: deque[tuple[_Unit, Future[Outcome]]] = deque()
        self._fetched = 0  # units
        self._ahead = 0  # chips of fetched units that are not made

    def outcomes(self) -> Iterator[Outcome]:
        for number, unit in enumerate(self._units):
            self._fetch_ahead(number)
            for candidate in unit.candidates:
                self._under_way.append((unit, self._threads.submit(unit.maker.make, candidate)))
                while len(self._under_way) > 2 * chip_threads():
                    yield self._next()
        while self._under_way:
            yield self._next()

    def _fetch_ahead(self, number: int) -> None:
        """Units that share files are fetched together, so that each block is asked for once."""
        while self._fetched < len(self._units) and (self._fetched <= number or self._ahead < _AHEAD):
            unit = self._units[self._fetched]
            unit.source.prefetch(unit.grids)
            self._ahead += len(unit.candidates)
            self._fetched += 1

    def _next(self) -> Outcome:
        unit, future = self._under_way.popleft()
        outcome = self._wait(future)
        self._ahead -= 1
        unit.left -= 1
        if unit.left == 0:
            self._uses.subtract(unit.hrefs)
            self._store.release([href for href in unit.hrefs if self._uses[href] == 0])
        return outcome

    def _wait(self, future: Future[Outcome]) -> Outcome:
        while True:
            self._reporter.check()
            with suppress(TimeoutError):
                return future.result(_LOOK_S)


def retry_names(outcomes: Mapping[str, Outcome]) -> set[str]:
    """Chips that a broken run could not read: the next run tries them again."""
    return {name for name, outcome in outcomes.items() if outcome.skipped and outcome.skipped.reason == READ_FAILED}
