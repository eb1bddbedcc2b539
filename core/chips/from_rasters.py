"""Chips from rasters at hand: scenes, labels on each, the plan, and the cutting, one chip at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import numpy as np
import pyproj
import shapely

from ..contract.classes import ClassTable
from ..contract.dataset import InputSpec
from ..contract.errors import InstaGeoError
from ..contract.jobs import CreateChipsJob
from ..contract.sensors import CUSTOM
from ..imagery.encoding import Encoding
from ..imagery.footprint import footprint_4326
from ..imagery.rasters import RasterInfo, crs_text
from ..imagery.reading import SceneReader, no_nodata_error
from ..imagery.resampling import regrid
from ..imagery.scene_table import scenes_from_table
from ..imagery.scenes import Imagery, Scene, make_imagery, scenes_from_rasters, source_records
from ..reporting import Reporter
from . import label_rasters
from .chip_files import ChipMaker
from .classify import class_values, parse_label_values, raster_table, vector_table, with_background
from .index import SkippedRow
from .labels import BurnRule, NoLabels, SceneLabels, VectorLabels, check_background
from .ledger import Outcome
from .placement import safe_name
from .plan import PlannedScene, plan_scene
from .prepare import NO_PIXEL, OUTSIDE_IMAGERY, Labels, Preparation
from .sources import RasterSource
from .vectors import LabelFeatures, Layer, extent_text, label_features, skipped_labels


def prepare_rasters(
    job: CreateChipsJob, layer: Optional[Layer], area: Optional[Layer], reporter: Reporter
) -> Preparation:
    """Read headers and labels and plan the chips of every scene.

    Raises `InstaGeoError` for anything that would stop the job later.
    """
    reporter.progress(0.0, "Reading the imagery's headers")
    imagery = read_imagery(job, reporter)
    encoding = Encoding(imagery.dtype, imagery.nodata, job.scale, job.offset)
    _check_encoding(job, imagery, encoding)
    reporter.progress(0.02, "Reading the labels")
    labels, on_scenes = _labels(job, layer, imagery, reporter)
    planned: list[PlannedScene] = []
    taken: list[str] = []
    for scene, on_scene in zip(imagery.scenes, on_scenes):
        reporter.check()
        taken.append(safe_name(scene.name, taken))
        plan = plan_scene(job, scene.grid, taken[-1], on_scene, area)
        planned.append(PlannedScene(scene.name, scene.grid, on_scene, plan))
    _check_padding(encoding, planned)
    spec = InputSpec(CUSTOM, imagery.bands, encoding.dtype, encoding.units, encoding.nodata_plain, imagery.timesteps)
    production = RasterProduction(job, imagery, encoding, planned, spec, labels.given)
    return Preparation((spec,), source_records(imagery), labels, planned, production)


@dataclass(frozen=True)
class RasterProduction:
    """Cuts the chips scene by scene, one at a time."""

    job: CreateChipsJob
    imagery: Imagery
    encoding: Encoding
    planned: Sequence[PlannedScene]
    spec: InputSpec
    has_labels: bool

    def produce(self, folder: Path, is_done: Callable[[str], bool], reporter: Reporter) -> Iterator[Outcome]:
        """See `Production`."""
        for scene, planned in zip(self.imagery.scenes, self.planned):
            with SceneReader(scene, self.encoding, self.job.resampling) as reader:
                source = RasterSource(self.job, scene, self.encoding, reader)
                maker = ChipMaker(self.job, folder, planned, (self.spec,), source, self.has_labels)
                for candidate in planned.plan.candidates:
                    reporter.check()
                    if not is_done(candidate.name):
                        yield maker.make(candidate)


def read_imagery(job: CreateChipsJob, reporter: Reporter) -> Imagery:
    """The scenes of RASTERS or RASTER_TABLE on the grids asked for."""
    if job.raster_table:
        scenes = scenes_from_table(job.raster_table, job.mask_rasters, reporter.log)
    else:
        scenes = scenes_from_rasters(job.rasters, job.mask_rasters, reporter.log)
    imagery = make_imagery(scenes, job.bands, CUSTOM)
    if job.crs or job.resolution:
        imagery = replace(imagery, scenes=tuple(regrid(s, job.crs, job.resolution) for s in imagery.scenes))
    reporter.log(
        f"Imagery: {len(imagery.scenes)} scene(s) with {imagery.timesteps} timestep(s) of {len(imagery.bands)} "
        f"band(s) ({', '.join(imagery.bands)}), {imagery.dtype}."
    )
    return imagery


def _check_encoding(job: CreateChipsJob, imagery: Imagery, encoding: Encoding) -> None:
    if job.mask_rasters and encoding.nodata is None:
        raise no_nodata_error("MASK_RASTERS mask pixels")
    if encoding.fill is None and any(scene.resampled for scene in imagery.scenes):
        raise no_nodata_error("CRS or RESOLUTION moves them to a grid with pixels beyond the edge")


def _check_padding(encoding: Encoding, planned: Sequence[PlannedScene]) -> None:
    if encoding.nodata is not None:
        return
    for scene in planned:
        for candidate in scene.plan.candidates:
            _, _, right, bottom = candidate.cell.box
            if right > scene.grid.width or bottom > scene.grid.height:
                raise no_nodata_error(
                    f"scene '{scene.name}' ({scene.grid.width} x {scene.grid.height} pixels) is smaller than a chip "
                    f"({candidate.cell.size} x {candidate.cell.size}) and has to be padded"
                )


def _labels(
    job: CreateChipsJob, layer: Optional[Layer], imagery: Imagery, reporter: Reporter
) -> tuple[Labels, list[SceneLabels]]:
    if layer is not None:
        return _vector_labels(job, layer, imagery, reporter)
    if job.background is not None:
        raise InstaGeoError(
            f"BACKGROUND is {job.background}, but the labels are no polygons.",
            "Leave it empty; values of LABEL_RASTERS are mapped with LABEL_VALUES.",
        )
    if job.label_rasters:
        return _raster_labels(job, imagery, reporter)
    return Labels(job.class_table, False), [NoLabels() for _ in imagery.scenes]


def _vector_labels(
    job: CreateChipsJob, layer: Layer, imagery: Imagery, reporter: Reporter
) -> tuple[Labels, list[SceneLabels]]:
    classes = vector_classes(job, layer)
    features, values, table = classes.features, classes.values, classes.table
    rule = BurnRule(job.all_touched, job.point_radius, job.background)
    scenes = []
    for scene in imagery.scenes:
        reporter.check()
        scenes.append(VectorLabels(features, values, scene.grid, rule))
    on_imagery = np.any([labels.on_scene for labels in scenes], axis=0)
    if not on_imagery.any():
        raise _miss(features, imagery.scenes)
    painting = np.any([labels.painting for labels in scenes], axis=0)
    skipped = list(features.skipped)
    for lost, reason in ((~on_imagery, OUTSIDE_IMAGERY), (on_imagery & ~painting, NO_PIXEL)):
        skipped += skipped_labels(features.geometries[lost], features.fids[lost], reason, features.crs)
    if features.repaired:
        reporter.log(f"{features.repaired} invalid polygon(s) repaired.", "warning")
    lost_numbers = frozenset(np.flatnonzero(~painting).tolist())
    return Labels(table, True, features, skipped, lost_numbers), list(scenes)


@dataclass(frozen=True)
class VectorClasses:
    """Usable label features, their class values (n,) and the class table."""

    features: LabelFeatures
    values: np.ndarray
    table: ClassTable


def vector_classes(job: CreateChipsJob, layer: Layer) -> VectorClasses:
    """The classes of label features; raises `InstaGeoError` for labels that cannot be used."""
    features = label_features(layer, job.class_field)
    check_background(features, job.background)
    table = vector_table(features.sources, features.numeric, job.class_table)
    numbered = not job.class_table.entries and not features.numeric
    return VectorClasses(
        features, class_values(features.sources, table), with_background(table, job.background, numbered)
    )


def raster_classes(job: CreateChipsJob, reporter: Reporter) -> tuple[list[RasterInfo], dict[int, int], ClassTable]:
    """Label rasters, class values by raster value, and the class table; raises `InstaGeoError`."""
    if job.placement == "centred":
        raise InstaGeoError(
            "PLACEMENT is centred, but raster labels have no centres.", "Choose grid or dense, or use vector labels."
        )
    infos = label_rasters.inspect_labels(job.label_rasters)
    mapping = parse_label_values(job.label_values)
    present = list(mapping) or label_rasters.values_present(infos, reporter)
    table = raster_table(present, mapping, job.class_table, label_rasters.style_of(infos, present))
    values = {int(entry.source): entry.value for entry in table.entries if entry.source.lstrip("-").isdecimal()}
    return infos, values, table


def _miss(features: LabelFeatures, scenes: Sequence[Scene]) -> InstaGeoError:
    """The error for labels that all lie off the imagery: both extents in EPSG:4326 and both CRSs."""
    extents = [extent_text(np.array([s.grid.bounds]), pyproj.CRS.from_wkt(s.grid.crs.to_wkt())) for s in scenes[:3]]
    more = f" and {len(scenes) - 3} more scenes" if len(scenes) > 3 else ""
    codes = ", ".join(dict.fromkeys(crs_text(scene.grid, short=True) for scene in scenes))
    found = extent_text(shapely.bounds(features.geometries), features.crs)
    authority = features.crs.to_authority(min_confidence=100)
    return InstaGeoError(
        f"No label lies on the imagery. In EPSG:4326 (west south east north) the labels cover {found}, the imagery "
        f"{'; '.join(extents)}{more}. The labels' CRS is {':'.join(authority) if authority else features.crs.name}, "
        f"the imagery's {codes}.",
        "Check that both layers have their true CRS (assigning a CRS does not move a layer), and that they show the "
        "same place.",
    )


def _raster_labels(job: CreateChipsJob, imagery: Imagery, reporter: Reporter) -> tuple[Labels, list[SceneLabels]]:
    infos, sources, table = raster_classes(job, reporter)
    placed = [label_rasters.place(infos, scene.name, scene.grid, scene.resampled) for scene in imagery.scenes]
    used = {p.info.path for on_scene in placed for p in on_scene}
    outside = [info for info in infos if info.path not in used]
    skipped = [SkippedRow(OUTSIDE_IMAGERY, info.path, 1, footprint_4326(info.grid)) for info in outside]
    if not used:
        raise _rasters_miss(imagery.scenes, outside[0].path, footprint_4326(outside[0].grid))
    scenes: list[SceneLabels] = [
        label_rasters.RasterLabels(scene.grid, on_scene, sources, job.resampling)
        for scene, on_scene in zip(imagery.scenes, placed)
    ]
    return Labels(table, True, skipped=skipped), scenes


def _rasters_miss(scenes: Sequence[Scene], path: str, outline: shapely.Geometry) -> InstaGeoError:
    extent = extent_text(np.array([scenes[0].grid.bounds]), pyproj.CRS.from_wkt(scenes[0].grid.crs.to_wkt()))
    found = " ".join(f"{edge:.5f}" for edge in outline.bounds)
    return InstaGeoError(
        f"No label raster lies on the imagery. In EPSG:4326 (west south east north) {path} covers {found}, scene "
        f"'{scenes[0].name}' {extent}.",
        "Check that both have their true CRS, and that they show the same place.",
    )
