"""Rasters at hand as scenes: one grid each, its timesteps oldest first, the same bands in all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import shapely

from ..contract.errors import Problems
from .bands import complete_names, find_band, parse_bands, plain_band_name
from .footprint import footprint_4326
from .grid import Grid
from .rasters import RasterInfo, crs_text, describe_grid, inspect_rasters, same_grid, same_nodata

Log = Callable[[str], None]
_TABLE_REMEDY = "Choose rasters that share one grid or lie apart, or say which belong together with RASTER_TABLE."


@dataclass(frozen=True)
class BandRef:
    """One band of a file; `number` counts from 1."""

    path: str
    number: int


@dataclass(frozen=True)
class Timestep:
    """One date's bands. `names` are those the files give ("" where none), `date` ISO or "" where unknown.

    `mask` is a raster on the same grid whose nonzero pixels are masked, "" where there is none.
    """

    grid: Grid
    dtype: str
    nodata: Optional[float]
    names: tuple[str, ...]
    bands: tuple[BandRef, ...]
    date: str = ""
    mask: str = ""

    @property
    def title(self) -> str:
        return self.bands[0].path


@dataclass(frozen=True)
class Scene:
    """Timesteps on one ground. `native` is the grid of the files, `grid` the one chips are cut from."""

    name: str
    native: Grid
    grid: Grid
    timesteps: tuple[Timestep, ...]

    @property
    def dates(self) -> list[str]:
        """One ISO date a timestep ("" where unknown); empty when none is known."""
        dates = [step.date for step in self.timesteps]
        return dates if any(dates) else []

    @property
    def resampled(self) -> bool:
        return self.grid != self.native


@dataclass(frozen=True)
class Imagery:
    """All scenes of a dataset, with what they share: band names, pixel type and nodata of the files."""

    scenes: tuple[Scene, ...]
    bands: tuple[str, ...]
    dtype: str
    nodata: Optional[float]

    @property
    def timesteps(self) -> int:
        return len(self.scenes[0].timesteps)


def scenes_from_rasters(rasters: Sequence[str], masks: Sequence[str], log: Log) -> list[Scene]:
    """RASTERS to scenes: rasters on one grid are timesteps of a scene, rasters that lie apart are other scenes.

    `masks` pair with `rasters` by order, or are none. Raises `InstaGeoError` when two rasters overlap on different
    grids, or when a mask is not on its raster's grid.
    """
    steps = [timestep_of(info) for info in inspect_rasters(rasters, "RASTERS")]
    if masks:
        steps = with_masks(steps, masks)
    scenes: list[list[Timestep]] = []
    for step in steps:
        for scene in scenes:
            if same_grid(scene[0].grid, step.grid):
                scene.append(step)
                break
        else:
            scenes.append([step])
    check_apart([scene[0] for scene in scenes])
    return name_scenes([("", sort_by_date(scene, log)) for scene in scenes])


def timestep_of(info: RasterInfo) -> Timestep:
    """A raster that holds all bands of one date."""
    names = tuple(plain_band_name(text) for text in info.descriptions)
    bands = tuple(BandRef(info.path, i + 1) for i in range(info.count))
    return Timestep(info.grid, info.dtype, info.nodata, names, bands, info.date)


def with_masks(steps: Sequence[Timestep], masks: Sequence[str]) -> list[Timestep]:
    """Each timestep with its mask, by order. Raises `InstaGeoError` for another count, bands, or another grid."""
    problems = Problems("MASK_RASTERS", "Give one single-band mask for each raster, in the same order, on its grid.")
    if len(masks) != len(steps):
        problems.add(f"found {len(masks)} masks; expected {len(steps)}, one for each timestep.")
        problems.raise_if_any()
    for step, info in zip(steps, inspect_rasters(masks, "MASK_RASTERS")):
        if info.count != 1:
            problems.add(f"{info.path} has {info.count} bands; expected 1.")
        if not same_grid(step.grid, info.grid):
            problems.add(
                f"{info.path} is on the grid {describe_grid(info.grid)}; expected that of {step.title}: "
                f"{describe_grid(step.grid)}."
            )
    problems.raise_if_any()
    return [replace(step, mask=mask) for step, mask in zip(steps, masks)]


def check_apart(steps: Sequence[Timestep]) -> None:
    """Raise `InstaGeoError` when two timesteps on different grids cover common ground."""
    if len(steps) < 2:
        return
    footprints = [footprint_4326(step.grid) for step in steps]
    problems = Problems("RASTERS", _TABLE_REMEDY)
    for i, j in sorted(zip(*shapely.STRtree(footprints).query(footprints, predicate="intersects"))):
        if i < j and _overlap(steps[i].grid, steps[j].grid, footprints[i], footprints[j]):
            problems.add(
                f"{steps[i].title} and {steps[j].title} overlap on different grids "
                f"({describe_grid(steps[i].grid)}; {describe_grid(steps[j].grid)})."
            )
    problems.raise_if_any()


def _overlap(one: Grid, other: Grid, outline: shapely.Geometry, other_outline: shapely.Geometry) -> bool:
    """Whether common ground is more than a thousandth of a pixel wide and high, so that neighbours may touch."""
    if one.crs == other.crs:
        west, south, east, north = shapely.box(*one.bounds).intersection(shapely.box(*other.bounds)).bounds
        width, height = one.resolution
        return bool((east - west) > width / 1000 and (north - south) > height / 1000)
    pixel = outline.area / (one.width * one.height)
    return bool(outline.intersection(other_outline).area > pixel / 1000)


def sort_by_date(steps: Sequence[Timestep], log: Log) -> list[Timestep]:
    """Oldest first when every date is known; otherwise in the order given."""
    dates = [step.date for step in steps]
    if not all(dates):
        if any(dates) and len(steps) > 1:
            log(f"Some dates are unknown, so the order given is kept: {', '.join(d or 'unknown' for d in dates)}.")
        return list(steps)
    if dates != sorted(dates):
        log(f"Rasters sorted by date, oldest first: {', '.join(sorted(dates))} (given: {', '.join(dates)}).")
    return sorted(steps, key=lambda step: step.date)


def name_scenes(groups: Iterable[tuple[str, Sequence[Timestep]]]) -> list[Scene]:
    """Scenes from their timesteps; one without a name is called after what its files' names share."""
    scenes: list[Scene] = []
    taken: set[str] = set()
    for given, steps in groups:
        base = given or _common_name([step.title for step in steps]) or f"scene{len(scenes) + 1}"
        name, n = base, 1
        while name in taken:
            n += 1
            name = f"{base}-{n}"
        taken.add(name)
        scenes.append(Scene(name, steps[0].grid, steps[0].grid, tuple(steps)))
    return scenes


def _common_name(paths: Sequence[str]) -> str:
    stems = [Path(path).stem for path in paths]
    if len(set(stems)) == 1:
        return stems[0]
    shortest, longest = min(stems), max(stems)  # in code point order: what these two share at the start, all share
    shared = next((i for i, (a, b) in enumerate(zip(shortest, longest)) if a != b), len(shortest))
    return re.sub(r"[\W_\d]+$", "", shortest[:shared])


def make_imagery(scenes: Sequence[Scene], bands: str, sensor: str) -> Imagery:
    """Check that all scenes agree and pick BANDS.

    Raises one `InstaGeoError` that lists every scene or raster that differs in timesteps, type, nodata or bands.
    """
    steps = [step for scene in scenes for step in scene.timesteps]
    _check_alike(scenes, steps)
    wanted = parse_bands(bands, sensor)
    names, picked = _pick(steps, wanted) if wanted else _all_bands(steps)
    chosen = iter(picked)
    kept = tuple(replace(scene, timesteps=tuple(next(chosen) for _ in scene.timesteps)) for scene in scenes)
    return Imagery(kept, complete_names(names), steps[0].dtype, steps[0].nodata)


def _check_alike(scenes: Sequence[Scene], steps: Sequence[Timestep]) -> None:
    problems = Problems("The rasters differ", "Choose rasters of one kind, or make separate datasets.")
    counts = {len(scene.timesteps) for scene in scenes}
    if len(counts) > 1:
        listed = ", ".join(f"{scene.name} {len(scene.timesteps)}" for scene in scenes)
        problems.add(f"scenes have different numbers of timesteps ({listed}); expected the same in all.")
    for step in steps:
        if step.dtype != steps[0].dtype:
            problems.add(f"{step.title} has type {step.dtype}; expected {steps[0].dtype} as in {steps[0].title}.")
        if not same_nodata(step.nodata, steps[0].nodata):
            found, expected = _nodata_text(step.nodata), _nodata_text(steps[0].nodata)
            problems.add(f"{step.title} has nodata {found}; expected {expected} as in {steps[0].title}.")
    problems.raise_if_any()


def _nodata_text(nodata: Optional[float]) -> str:
    return "none" if nodata is None else f"{nodata:g}"


def _all_bands(steps: Sequence[Timestep]) -> tuple[tuple[str, ...], list[Timestep]]:
    """All bands of every timestep; rasters without band names take those of the others."""
    first = next((step for step in steps if any(step.names)), steps[0])
    problems = Problems("Bands differ", "Name the bands to take, in order, with BANDS, or choose rasters of one kind.")
    for step in steps:
        if len(step.names) != len(first.names):
            problems.add(f"{step.title} has {len(step.names)} bands; {first.title} has {len(first.names)}.")
        elif any(step.names) and step.names != first.names:
            problems.add(
                f"{step.title} has the bands {', '.join(step.names)}; {first.title} has {', '.join(first.names)}."
            )
    problems.raise_if_any()
    return first.names, list(steps)


def _pick(steps: Sequence[Timestep], wanted: Sequence[str]) -> tuple[tuple[str, ...], list[Timestep]]:
    """The bands `wanted`, looked up in each timestep by its own names."""
    problems = Problems("BANDS", "Choose among the bands the rasters have, by name or by number from 1.")
    picked, names = [], []
    for step in steps:
        found = complete_names(step.names)
        missing = [band for band in wanted if not _has(band, found)]
        if missing:
            problems.add(
                f"{step.title} has {len(found)} bands ({', '.join(found)}); expected {len(wanted)}: "
                f"{', '.join(wanted)}. Missing: {', '.join(missing)}."
            )
            continue
        indices = [find_band(band, found) for band in wanted]
        names.append(tuple(found[i] for i in indices))
        picked.append(replace(step, names=names[-1], bands=tuple(step.bands[i] for i in indices)))
    problems.raise_if_any()
    return names[0], picked


def _has(band: str, names: Sequence[str]) -> bool:
    try:
        find_band(band, names)
    except KeyError:
        return False
    return True


def source_records(imagery: Imagery) -> tuple[dict[str, str | int], ...]:
    """One record a band of a file for `dataset.json`: raster, its band number, scene, date, band name, and mask."""
    return tuple(
        {
            "raster": ref.path,
            "number": ref.number,
            "scene": scene.name,
            "date": step.date,
            "band": band,
            "mask": step.mask,
            "crs": crs_text(scene.native),
        }
        for scene in imagery.scenes
        for step in scene.timesteps
        for band, ref in zip(imagery.bands, step.bands)
    )
