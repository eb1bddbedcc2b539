"""Chips from an archive: labels dated, scenes searched and matched, chips planned on the scenes' own grids."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import shapely

from ..archive.access import Access, Credentials, ReadFailure, plain
from ..archive.assets import FETCHING_THREADS, AssetStore
from ..archive.finding import Finder, Finds, Wanted, finds_from_plain
from ..archive.items import ArchiveItem
from ..archive.matcher import Found, Matcher, zone_of
from ..archive.reading import MOSAIC, Input
from ..contract.errors import InstaGeoError
from ..contract.jobs import CreateChipsJob
from ..contract.sensors import CIRRUS, FMASK, NO_MASK, SENSORS, parse_sensor_bands
from ..files import written_whole
from ..imagery.footprint import footprint_4326
from ..imagery.grid import Grid
from ..imagery.rasters import crs_text
from ..imagery.resampling import parse_crs, snapped_grid
from ..reporting import Reporter
from .archive_chips import READ_FAILED, SPOOL, ArchiveProduction, ArchiveScene, ArchiveWork
from .archive_labels import Ground, GroundLabels, ground_of
from .index import SkippedRow
from .placement import safe_name
from .plan import Candidate, PlannedScene, ScenePlan, plan_scene, skipped_cell
from .prepare import Preparation
from .sources import Production
from .vectors import Layer

SEARCH_FILE = "search.json"
OUTSIDE_FOOTPRINT = "outside the footprint of every scene"


def inputs_of(job: CreateChipsJob, reporter: Reporter) -> tuple[Input, ...]:
    """One input a sensor. Raises `InstaGeoError` for unknown bands."""
    choice = job.archive
    bands = parse_sensor_bands(job.bands, job.sensors)
    if CIRRUS in choice.masks and any(SENSORS[name].mask_decoder == FMASK for name in job.sensors):
        reporter.log("HLS reserves its cirrus bit and never sets it: MASK cirrus hides nothing there.", "warning")
    inputs = []
    for name in job.sensors:
        sensor = SENSORS[name]
        masks = choice.masks if sensor.mask_decoder != NO_MASK else ()
        selection = MOSAIC if sensor.static else choice.selection
        timesteps = 1 if sensor.static else choice.timesteps
        inputs.append(Input(sensor, bands[name], timesteps, selection, masks, job.resampling))
    return tuple(inputs)


def prepare_archive(
    job: CreateChipsJob,
    layer: Optional[Layer],
    area: Optional[Layer],
    reporter: Reporter,
    archive: ArchiveSession,
) -> Preparation:
    """Search the archive, match its scenes with the labels, and plan the chips.

    Raises `InstaGeoError` for anything that would stop the job later, and when there is no imagery at all.
    """
    inputs = inputs_of(job, reporter)
    reporter.progress(0.0, "Reading the labels")
    ground = ground_of(job, layer, area, reporter)
    finds = archive.search(job, inputs, ground, reporter)
    with AssetStore(Access(archive.credentials), archive.folder / SPOOL) as store:
        planner = _Planner(job, inputs, ground, finds, store, reporter)
        planner.plan(area)
    planner.tell()
    work = ArchiveWork(job, inputs, ground.given)
    production = _production(work, planner.scenes, archive.credentials)
    labels = ground.labels(planner.skipped, planner.lost)
    sources = tuple(_records(inputs, planner.scenes, job))
    planned = [scene.planned for scene in planner.scenes]
    if not planned:
        raise planner.nothing(labels.skipped)
    return Preparation(tuple(one.spec for one in inputs), sources, labels, planned, production)


def _production(work: ArchiveWork, scenes: Sequence[ArchiveScene], credentials: Credentials) -> Production:
    if not work.job.scheduler:
        return ArchiveProduction(work, scenes, credentials)
    from .cluster import ClusterProduction  # Dask takes a second to import

    return ClusterProduction(work, scenes, credentials)


@dataclass(frozen=True)
class ArchiveSession:
    """How one run reaches its archive. What a search found is kept in `folder`, so that a run that goes on ends as the
    broken one would have, whatever has come into the archive since."""

    credentials: Credentials
    folder: Path

    def search(self, job: CreateChipsJob, inputs: Sequence[Input], ground: Ground, reporter: Reporter) -> Finds:
        """What the archive has; raises `InstaGeoError` when there is nothing."""
        kept = self.folder / SEARCH_FILE
        if kept.is_file():
            return finds_from_plain(ground.boxes, json.loads(kept.read_text(encoding="utf-8")))
        wanted = [Wanted(box, targets) for box, targets in zip(ground.boxes, ground.targets)]
        finds = Finder(job.archive, inputs, self.credentials).find(wanted, reporter)
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_whole(kept) as part:
            part.write_text(json.dumps(finds.to_plain()), encoding="utf-8")
        return finds


@dataclass
class _Tiles:
    """Ground of one observation date, on its way through the tiles of an archive.

    `covered` are the outlines of the chips planned so far, `failed` cells without scenes: the ground they want, their
    grid, their row of the skipped layer, and the numbers of their labels.
    """

    numbers: Sequence[int]
    targets: tuple[dt.date, ...]
    near: list[list[ArchiveItem]]
    area: Optional[Layer]
    covered: list[shapely.Geometry] = field(default_factory=list)
    failed: list[tuple[shapely.Geometry, Grid, SkippedRow, list[int]]] = field(default_factory=list)


class _Planner:
    """Goes from ground to planned scenes."""

    def __init__(
        self,
        job: CreateChipsJob,
        inputs: Sequence[Input],
        ground: Ground,
        finds: Finds,
        store: AssetStore,
        reporter: Reporter,
    ) -> None:
        self._job = job
        self._inputs = inputs
        self._ground = ground
        self._finds = finds
        self._store = store
        self._reporter = reporter
        self._matcher = Matcher(job.archive, inputs)
        self._names: Counter[str] = Counter()
        self._grids: dict[str, Grid | ReadFailure] = {}
        self.scenes: list[ArchiveScene] = []
        self.skipped: list[SkippedRow] = []
        self.lost: set[int] = set()

    def plan(self, area: Optional[Layer]) -> None:
        """Fill `scenes`, `skipped` and `lost` (numbers of the labels that no scene holds)."""
        if self._ground.is_points:
            self._plan_points(area)
        else:
            self._plan_cells(area)

    def tell(self) -> None:
        items = {(i.collection, i.id) for s in self.scenes for steps in s.series.steps for step in steps for i in step}
        unknown = sum(i.cloud_cover is None for i in self._finds.items if (i.collection, i.id) in items)
        chips = sum(len(scene.planned.plan.candidates) for scene in self.scenes)
        self._reporter.log(f"{len(items)} scenes of the archive match; {chips} cells hold labels or are asked for.")
        if unknown:
            self._reporter.log(f"{unknown} of these scenes say nothing of clouds; they are kept.")

    def nothing(self, skipped: Sequence[SkippedRow]) -> InstaGeoError:
        """Why there is not one chip."""
        reasons: Counter[str] = Counter()
        for row in skipped:
            reasons[row.reason] += row.count
        listed = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
        details = next((row.detail for row in skipped if row.detail), "")
        return InstaGeoError(
            f"No chip came about: {listed or 'nothing was asked for'}. {details}".strip(),
            "Check the dates and places of the labels, and TOLERANCE_DAYS, MAX_CLOUD, TIMESTEPS, MIN_TIMESTEPS.",
        )

    # Points: each label has its own scenes, labels with the same scenes share chips.

    def _plan_points(self, area: Optional[Layer]) -> None:
        groups: dict[tuple[int, int], tuple[Found, list[int]]] = {}
        for number in range(len(self._ground)):
            self._reporter.check()
            found = self._match_point(number)
            if found.series is None:
                self._skip_label(number, found.reason, found.detail)
            else:
                groups.setdefault((id(found.series), id(found.reference)), (found, []))[1].append(number)
        self._open_grids(found.reference for found, _ in groups.values())
        for found, numbers in sorted(groups.values(), key=lambda group: _order(group[0])):
            self._reporter.check()
            grid = self._grid(found.reference)
            if isinstance(grid, ReadFailure):
                for number in numbers:
                    self._skip_label(number, READ_FAILED, str(grid))
                continue
            labels = self._ground.burn_on(grid, numbers)
            self._skip_lost(labels, numbers)
            name = self._name(found)
            planned = PlannedScene(name, grid, labels, plan_scene(self._job, grid, name, labels, area), _group(found))
            self._add(planned, found)

    def _match_point(self, number: int) -> Found:
        x, y = self._ground.places[number]
        near = self._finds.near(number)
        items = [_covering(found, one, x, y) for found, one in zip(near, self._inputs)]
        targets = self._ground.targets[number]
        if not items[self._matcher.anchor]:
            around = self._finds.around(number)[self._matcher.anchor]
            found = self._matcher.find(targets, [around for _ in items], (float(x), float(y)))
            if found.series is not None:
                return Found(reason=OUTSIDE_FOOTPRINT, detail=f"{len(around)} scenes are near")
        return self._matcher.find(targets, items, (float(x), float(y)))

    def _skip_label(self, number: int, reason: str, detail: str) -> None:
        self.skipped.append(self._ground.skipped(number, reason, detail))
        self.lost.add(number)

    def _skip_lost(self, labels: GroundLabels, numbers: Sequence[int]) -> None:
        """Labels that paint no pixel of the grid their scenes have."""
        for number, reason in labels.unpainted(numbers):
            self._skip_label(number, reason, "")

    # Polygons, rasters, areas: cells of each tile in turn, each with its own scenes.

    def _plan_cells(self, area: Optional[Layer]) -> None:
        painted: set[int] = set()
        for numbers in self._ground.by_targets():
            near = self._finds.near_any(numbers)
            tiles = _Tiles(numbers, self._ground.targets[numbers[0]], near, area or self._ground.area)
            references = _references(near[self._matcher.anchor])
            self._open_grids(references)
            for reference in references:
                self._reporter.check()
                grid = self._grid(reference)
                if isinstance(grid, ReadFailure):
                    self._reporter.log(f"{READ_FAILED}: {grid}", "warning")
                    continue
                labels = self._ground.burn_on(grid, numbers)
                painted.update(labels.painted)
                self._plan_tile(reference, grid, labels, tiles)
            self._keep_failed(tiles)
            if not references:
                none = self._matcher.find(tiles.targets, [[] for _ in near], (0.0, 0.0))
                for number in numbers:
                    self._skip_label(number, none.reason, none.detail)
        if self._ground.has_features:
            for number in sorted(set(range(len(self._ground))) - painted - self.lost):
                self._skip_label(number, OUTSIDE_FOOTPRINT, "")

    def _plan_tile(self, reference: ArchiveItem, grid: Grid, labels: GroundLabels, tiles: _Tiles) -> None:
        """Plan the cells of one tile whose ground no tile before it has."""
        name = self._unique(f"{reference.tile or reference.id}_{tiles.targets[-1]:%Y%m%d}")
        job = self._job if self._ground.given else replace(self._job, placement="dense")
        plan = plan_scene(job, grid, name, labels, tiles.area)
        groups: dict[int, tuple[Found, list[Candidate]]] = {}
        covered = shapely.STRtree(tiles.covered)
        for candidate in plan.candidates:
            self._reporter.check()
            cell = grid.window(candidate.cell.window)
            outline = footprint_4326(cell)
            wanted = _uncovered(outline, self._ground.outline(candidate.members or tiles.numbers), covered, cell)
            if wanted.is_empty:
                continue
            place = shapely.point_on_surface(wanted)
            items = [_covering(found, one, place.x, place.y) for found, one in zip(tiles.near, self._inputs)]
            found = self._matcher.find(tiles.targets, items, (place.x, place.y), zone_of(reference))
            if found.series is None:
                row = skipped_cell(found.reason, candidate, grid, found.detail)
                tiles.failed.append((wanted, cell, row, candidate.members))
                continue
            groups.setdefault(id(found.series), (found, []))[1].append(candidate)
            tiles.covered.append(outline)
        skipped = (plan.skipped, plan.skipped_labels)
        for found, candidates in groups.values():
            self._add(PlannedScene(name, grid, labels, ScenePlan(candidates, *skipped), _group(found)), found)
            skipped = ([], frozenset())

    def _keep_failed(self, tiles: _Tiles) -> None:
        """Cells without scenes are skipped, unless another tile has the same ground."""
        for wanted, cell, row, members in tiles.failed:
            if _uncovered(wanted, wanted, shapely.STRtree(tiles.covered), cell).is_empty:
                continue
            tiles.covered.append(row.geometry)
            self.skipped.append(row)
            self.lost.update(members)

    # Both.

    def _add(self, planned: PlannedScene, found: Found) -> None:
        if found.series is None:
            return
        self.scenes.append(ArchiveScene(planned, found.series))

    def _open_grids(self, references: Iterable[ArchiveItem | None]) -> None:
        """Read the headers of these items' finest bands, many at a time."""
        anchor = self._inputs[self._matcher.anchor]
        hrefs = {anchor.href(item, anchor.finest) for item in references if item is not None} - set(self._grids)
        with ThreadPoolExecutor(FETCHING_THREADS) as pool:
            for href, grid in zip(sorted(hrefs), pool.map(self._grid_at, sorted(hrefs))):
                self._grids[href] = grid

    def _grid_at(self, href: str) -> Grid | ReadFailure:
        try:
            own = self._store.asset(href).header.grid
        except ReadFailure as error:
            return error
        finally:
            self._store.release([href])
        job = self._job
        if not (job.crs or job.resolution):
            return own
        return snapped_grid(own, parse_crs(job.crs) if job.crs else own.crs, job.resolution)

    def _grid(self, reference: ArchiveItem | None) -> Grid | ReadFailure:
        anchor = self._inputs[self._matcher.anchor]
        if reference is None:
            return ReadFailure("no scene")
        return self._grids[anchor.href(reference, anchor.finest)]

    def _name(self, found: Found) -> str:
        item = found.reference
        if item is None:
            return self._unique("scene")
        return self._unique(f"{item.tile or item.collection}_{item.time:%Y%m%d}")

    def _unique(self, name: str) -> str:
        base = safe_name(name)
        self._names[base.lower()] += 1
        count = self._names[base.lower()]
        return base if count == 1 else f"{base}-{count}"


def _covering(items: Sequence[ArchiveItem], one: Input, x: float, y: float) -> list[ArchiveItem]:
    """Items whose footprint holds a place; for a mosaic all that are near."""
    if one.selection == MOSAIC:
        return list(items)
    place = shapely.Point(x, y)
    return [item for item in items if shapely.prepare(item.footprint) or item.footprint.covers(place)]


def _uncovered(
    outline: shapely.Geometry, ground: shapely.Geometry, covered: shapely.STRtree, cell: Grid
) -> shapely.Geometry:
    """The part of `ground` in `outline` that no chip covers; empty where that is less than half a pixel, and half of
    what was wanted."""
    wanted = shapely.intersection(outline, ground)
    hits = covered.query(wanted, predicate="intersects")
    rest = shapely.difference(wanted, shapely.union_all(covered.geometries[hits])) if len(hits) else wanted
    pixel = footprint_4326(cell).area / (cell.width * cell.height)
    return rest if rest.area > min(pixel, wanted.area) / 2 else shapely.Polygon()


def _references(items: Sequence[ArchiveItem]) -> list[ArchiveItem]:
    """One item a tile, the newest, whose grid stands for the tile's; tiles with many items come first."""
    tiles: dict[str, list[ArchiveItem]] = {}
    for item in items:
        tiles.setdefault(item.tile or item.id, []).append(item)
    ordered = sorted(tiles.items(), key=lambda tile: (-len(tile[1]), tile[0]))
    return [max(found, key=lambda item: (item.time, item.id)) for _, found in ordered]


def _order(found: Found) -> tuple[str, dt.datetime, str]:
    """Scenes of one zone, and of one time, are read one after the other."""
    item = found.reference
    if item is None:
        return "", dt.datetime.min, ""
    return zone_of(item), item.time, item.id


def _group(found: Found) -> str:
    return found.reference.tile if found.reference else ""


def _records(inputs: Sequence[Input], scenes: Sequence[ArchiveScene], job: CreateChipsJob) -> Iterable[dict[str, Any]]:
    """One record an item used, for `dataset.json`; addresses without their signatures."""
    seen: set[tuple[str, str, str]] = set()
    for scene in scenes:
        for one, steps in zip(inputs, scene.series.steps):
            for item in (item for step in steps for item in step):
                key = (one.sensor.name, item.collection, item.id)
                if key in seen:
                    continue
                seen.add(key)
                yield {
                    "sensor": one.sensor.name,
                    "catalog": plain(job.archive.catalog),
                    "collection": item.collection,
                    "item": item.id,
                    "time": item.time.isoformat(),
                    "cloud_cover": item.cloud_cover,
                    "tile": item.tile,
                    "crs": crs_text(scene.planned.grid),
                    "assets": {band.name: plain(one.href(item, band)) for band in one.bands},
                    **({"mask": plain(one.mask_href(item))} if one.needs_mask else {}),
                }
