"""Which chips a scene may give, decided from labels and area before any imagery is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
import pyproj
import shapely

from ..contract.jobs import CreateChipsJob
from ..imagery.footprint import footprint_4326
from ..imagery.grid import Grid
from .index import SkippedRow
from .labels import SceneLabels
from .placement import Cell, centred_cells, chip_name, grid_cells, pixel_of
from .vectors import Layer, transform

PARTIAL_CELL = "partial cell at the edge of the imagery"
OUTSIDE_AREA = "outside the area"
BETWEEN_CELLS = "between the cells of the grid"
_EDGE_PIECES = 100  # edges of the area are straight in its own CRS and curved on another


@dataclass(frozen=True)
class Candidate:
    """A chip that may be made. `labels` numbers the label features in it, None where labels are no features."""

    name: str
    cell: Cell
    labels: Optional[np.ndarray] = None

    @property
    def label_count(self) -> int:
        """Labels in the chip; 1 (the cell itself) where labels are no features or there are none."""
        return max(1, len(self.members))

    @property
    def members(self) -> list[int]:
        """Numbers of the label features in the chip; none where labels are no features."""
        return [] if self.labels is None else [int(i) for i in self.labels]


@dataclass(frozen=True)
class ScenePlan:
    """`skipped_labels` numbers the label features in cells that edge or area rule out."""

    candidates: list[Candidate]
    skipped: list[SkippedRow] = field(default_factory=list)
    skipped_labels: frozenset[int] = frozenset()


@dataclass(frozen=True)
class PlannedScene:
    """A grid with its labels and the chips planned on it, all from the same imagery; `group` is for splitting."""

    name: str
    grid: Grid
    labels: SceneLabels
    plan: ScenePlan
    group: str = ""


def plan_scene(job: CreateChipsJob, grid: Grid, prefix: str, labels: SceneLabels, area: Optional[Layer]) -> ScenePlan:
    """The chips `job` asks for on `grid`, in order; those that the edge or the area rules out, with the reason.

    `prefix` begins the chips' names.
    """
    cells = _cells(job, grid, labels)
    members = labels.members(cells)
    found: Sequence[Optional[np.ndarray]] = [None for _ in cells] if members is None else members
    candidates = [
        Candidate(chip_name(prefix, cell, _digits(grid)), cell, numbers)
        for cell, numbers in zip(cells, found)
        if numbers is None or len(numbers) or job.placement == "dense"
    ]
    touched = _touched(candidates, grid, area)
    kept: list[Candidate] = []
    skipped: list[SkippedRow] = []
    left_out: set[int] = set()
    for candidate, inside in zip(candidates, touched):
        if not inside and not candidate.members:
            continue  # a cell without labels off the area was never asked for
        if inside and not candidate.cell.partial:
            kept.append(candidate)
        else:
            skipped.append(skipped_cell(PARTIAL_CELL if inside else OUTSIDE_AREA, candidate, grid))
            left_out.update(candidate.members)
    return ScenePlan(kept, skipped, frozenset(left_out))


def _digits(grid: Grid) -> int:
    return max(5, len(str(max(grid.width, grid.height))))


def _cells(job: CreateChipsJob, grid: Grid, labels: SceneLabels) -> Sequence[Cell]:
    if job.placement == "centred":
        return centred_cells(labels.centres(), (grid.width, grid.height), job.chip_size, job.edge)
    return grid_cells(grid.width, grid.height, job.chip_size, job.cell_step, job.edge)


def _touched(candidates: Sequence[Candidate], grid: Grid, area: Optional[Layer]) -> np.ndarray:
    """Which candidates' part on the scene the area touches."""
    if area is None or not candidates:
        return np.ones(len(candidates), dtype=bool)
    edges = np.array([c.cell.box for c in candidates], dtype=float)
    edges[:, 2] = np.minimum(edges[:, 2], grid.width)
    edges[:, 3] = np.minimum(edges[:, 3], grid.height)
    boxes = shapely.box(*edges.T)
    hit = np.unique(shapely.STRtree(_area_in_pixels(area, grid)).query(boxes, predicate="intersects")[0])
    return np.isin(np.arange(len(candidates)), hit)


def _area_in_pixels(area: Layer, grid: Grid) -> np.ndarray:
    geometries = area.geometries[~shapely.is_missing(area.geometries)]
    bounds = shapely.total_bounds(geometries)
    longest = max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / _EDGE_PIECES
    if longest > 0:
        geometries = shapely.segmentize(geometries, longest)
    moved = transform(geometries, area.crs, pyproj.CRS.from_wkt(grid.crs.to_wkt()))
    in_pixels = shapely.transform(moved, lambda xy: pixel_of(xy[:, 0], xy[:, 1], tuple(grid.transform)))
    finite: np.ndarray = in_pixels[np.isfinite(shapely.bounds(in_pixels)).all(axis=1)]
    return finite


def skipped_cell(reason: str, candidate: Candidate, grid: Grid, detail: str = "") -> SkippedRow:
    """A row of the skipped layer for a cell, its outline in EPSG:4326."""
    text = f"{candidate.name}: {detail}" if detail else candidate.name
    return SkippedRow(reason, text, candidate.label_count, footprint_4326(grid.window(candidate.cell.window)))
