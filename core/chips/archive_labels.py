"""Labels for an archive: where and when they were observed, and how they are burnt on whatever grid comes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

import numpy as np
import shapely
from rasterio.windows import Window

from ..contract.classes import ClassTable
from ..contract.errors import InstaGeoError
from ..contract.jobs import CreateChipsJob
from ..imagery.footprint import cut_at_antimeridian, footprint_4326
from ..imagery.grid import Grid
from ..imagery.rasters import RasterInfo
from ..reporting import Reporter
from . import label_rasters
from .from_rasters import VectorClasses, raster_classes, vector_classes
from .index import SkippedRow
from .labels import Burned, BurnRule, NoLabels, SceneLabels, VectorLabels
from .placement import Cell
from .prepare import NO_PIXEL, OUTSIDE_IMAGERY, Labels
from .timing import Steps, parse_label_dates
from .vectors import Layer, area_outlines, skipped_labels, to_4326

NO_DATE = "no date"
_POINT_DEG = 1e-6  # a point among polygons is a very small polygon


class GroundLabels:
    """Labels of some of the ground on one grid; `members` are numbers among all labels of the dataset."""

    def __init__(self, inner: SceneLabels, numbers: np.ndarray) -> None:
        self._inner = inner
        self._numbers = numbers

    def burn(self, window: Window) -> Burned:
        """See `SceneLabels`."""
        return self._inner.burn(window)

    def members(self, cells: Sequence[Cell]) -> Optional[list[np.ndarray]]:
        """See `SceneLabels`."""
        found = self._inner.members(cells)
        return None if found is None else [self._numbers[each] for each in found]

    def centres(self) -> list[tuple[int, int]]:
        """See `SceneLabels`."""
        return self._inner.centres()

    @property
    def painted(self) -> list[int]:
        """Numbers of the labels that cover a pixel of the grid."""
        if not isinstance(self._inner, VectorLabels):
            return []
        return [int(number) for number in self._numbers[self._inner.painting]]

    def unpainted(self, numbers: Sequence[int]) -> list[tuple[int, str]]:
        """Which of `numbers` cover no pixel, and why."""
        if not isinstance(self._inner, VectorLabels):
            return []
        on_scene = set(self._numbers[self._inner.on_scene].tolist())
        painted = set(self.painted)
        return [(n, NO_PIXEL if n in on_scene else OUTSIDE_IMAGERY) for n in numbers if n not in painted]


@dataclass(frozen=True)
class Ground:
    """Everything that asks for imagery: label features, label rasters, or an area without labels.

    `places` (n, 2) longitude and latitude and `boxes` (polygons in EPSG:4326, cut at the antimeridian) one each;
    `targets` the dates of imagery, oldest first.
    """

    places: np.ndarray
    boxes: list[shapely.Geometry]
    targets: list[tuple[dt.date, ...]]
    job: CreateChipsJob
    classes: Optional[VectorClasses] = None
    rasters: Sequence[RasterInfo] = ()
    values: dict[int, int] = field(default_factory=dict)
    table: ClassTable = field(default_factory=ClassTable)
    area: Optional[Layer] = None
    undated: list[SkippedRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def given(self) -> bool:
        """Whether there are labels at all."""
        return self.classes is not None or bool(self.rasters)

    @property
    def has_features(self) -> bool:
        return self.classes is not None

    @property
    def is_points(self) -> bool:
        return self.classes is not None and bool(
            np.isin(shapely.get_type_id(self.classes.features.geometries), (0, 4)).all()
        )

    def outline(self, numbers: Sequence[int]) -> shapely.Geometry:
        """The ground of some of it in EPSG:4326."""
        return shapely.union_all([self.boxes[number] for number in numbers])

    def by_targets(self) -> list[list[int]]:
        """Numbers of what shares its target dates, oldest first."""
        groups: dict[tuple[dt.date, ...], list[int]] = {}
        for number, targets in enumerate(self.targets):
            groups.setdefault(targets, []).append(number)
        return [numbers for _, numbers in sorted(groups.items())]

    def burn_on(self, grid: Grid, numbers: Sequence[int]) -> GroundLabels:
        """The labels `numbers` on `grid`."""
        chosen = np.array(numbers, dtype=int)
        if self.classes is not None:
            job = self.job
            rule = BurnRule(job.all_touched, job.point_radius, job.background)
            features = self.classes.features.subset(chosen)
            return GroundLabels(VectorLabels(features, self.classes.values[chosen], grid, rule), chosen)
        if self.rasters:
            placed = label_rasters.place([self.rasters[n] for n in numbers], "of the archive", grid, warp=True)
            return GroundLabels(label_rasters.RasterLabels(grid, placed, self.values, self.job.resampling), chosen)
        return GroundLabels(NoLabels(), chosen)

    def skipped(self, number: int, reason: str, detail: str) -> SkippedRow:
        """A row of the skipped layer for one label."""
        if self.classes is None:
            return SkippedRow(reason, detail, 1, self.boxes[number])
        features = self.classes.features
        row = skipped_labels(features.geometries[[number]], features.fids[[number]], reason, features.crs)[0]
        return replace(row, detail=f"{row.detail}: {detail}" if detail else row.detail)

    def labels(self, skipped: Sequence[SkippedRow], lost: set[int]) -> Labels:
        """What the dataset says of its labels."""
        features = self.classes.features if self.classes else None
        before = [*(features.skipped if features else ()), *self.undated]
        return Labels(self.table, self.given, features, [*before, *skipped], frozenset(lost if features else ()))


def ground_of(job: CreateChipsJob, layer: Optional[Layer], area: Optional[Layer], reporter: Reporter) -> Ground:
    """The ground `job` asks for, dated. Raises `InstaGeoError` for labels and dates that cannot be used."""
    choice = job.archive
    steps = Steps(choice.timesteps, choice.step, choice.step_unit, choice.offset_days, choice.month_start)
    if layer is not None:
        return _feature_ground(job, layer, steps, reporter)
    [date] = parse_label_dates([job.date], job.date_format, "DATE")
    if date is None:
        raise InstaGeoError("DATE is empty; expected a date such as 2022-06-08.")
    targets = tuple(steps.targets(date))
    if job.label_rasters:
        infos, values, table = raster_classes(job, reporter)
        boxes = [footprint_4326(info.grid) for info in infos]
        return Ground(_middles(boxes), list(boxes), [targets] * len(boxes), job, rasters=infos, values=values,
                      table=table)  # fmt: skip
    if area is None:
        raise InstaGeoError("There are neither labels nor an area.", "Give INPUT, LABEL_RASTERS, AREA or EXTENT.")
    outlines = area_outlines(area)
    return Ground(_middles(outlines), outlines, [targets] * len(outlines), job, area=area, table=job.class_table)


def _feature_ground(job: CreateChipsJob, layer: Layer, steps: Steps, reporter: Reporter) -> Ground:
    classes = vector_classes(job, layer)
    features = classes.features
    if job.date:
        dates = parse_label_dates([job.date], job.date_format, "DATE") * len(features)
    else:
        texts = [layer.dates[fid] for fid in features.fids.tolist()]
        dates = parse_label_dates(texts, job.date_format, f"DATE_FIELD '{job.date_field}'")
    dated = np.array([date is not None for date in dates], dtype=bool)
    undated = skipped_labels(features.geometries[~dated], features.fids[~dated], NO_DATE, features.crs)
    if not dated.any():
        raise InstaGeoError(
            f"None of the {len(dates)} labels has a date in the field '{job.date_field}'.",
            "Choose the field that says when the labels were observed, or give DATE for all.",
        )
    if features.repaired:
        reporter.log(f"{features.repaired} invalid polygon(s) repaired.", "warning")
    kept = np.flatnonzero(dated)
    subset = features.subset(kept)
    boxes = [_outline_4326(geometry) for geometry in to_4326(subset.geometries, subset.crs)]
    targets = [tuple(steps.targets(date)) for date in dates if date is not None]
    if any(box.area for box in boxes):
        boxes = [box if box.area else box.buffer(_POINT_DEG) for box in boxes]
    return Ground(
        _middles(boxes),
        boxes,
        targets,
        job,
        classes=replace(classes, features=subset, values=classes.values[kept]),
        table=classes.table,
        undated=undated,
    )


def _outline_4326(geometry: shapely.Geometry) -> shapely.Geometry:
    """A geometry in degrees, its longitudes from -180 to 180; polygons as their outlines, cut at the antimeridian."""
    if geometry.geom_type in ("Point", "MultiPoint"):
        return shapely.transform(geometry, lambda xy: np.column_stack([(xy[:, 0] + 180) % 360 - 180, xy[:, 1]]))
    parts = [p for p in shapely.get_parts(geometry) if p.geom_type == "Polygon" and not p.is_empty]
    return shapely.union_all([cut_at_antimeridian(shapely.get_coordinates(p.exterior)[:-1]) for p in parts])


def _middles(outlines: Sequence[shapely.Geometry]) -> np.ndarray:
    """A place inside each outline, longitude and latitude."""
    points = shapely.point_on_surface(np.array(outlines, dtype=object))
    return np.column_stack([shapely.get_x(points), shapely.get_y(points)])
