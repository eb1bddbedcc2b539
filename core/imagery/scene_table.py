"""RASTER_TABLE to scenes: files that hold one band each, and whatever file names cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..contract.errors import InstaGeoError, Problems
from ..contract.jobs import RasterEntry
from .dates import parse_iso_date
from .rasters import RasterInfo, describe_grid, inspect_rasters, same_grid, same_nodata
from .scenes import BandRef, Log, Scene, Timestep, check_apart, name_scenes, sort_by_date, timestep_of, with_masks

_Row = tuple[RasterEntry, RasterInfo]


def scenes_from_table(table: Sequence[RasterEntry], masks: Sequence[str], log: Log) -> list[Scene]:
    """Rows (file, scene, date, band) to scenes.

    Rows that name a band are single-band files; those of one scene and date are stacked in table order, and every
    scene and date needs the same bands. Rows without a scene are grouped by grid, as RASTERS are. `masks` are in the
    order of the scenes in the table and, within a scene, of the dates. Raises `InstaGeoError` listing all problems.
    """
    rows = _read_rows(table)
    groups = _by_scene(rows)
    _check_grids(groups)
    stacked = {scene: _timesteps(scene, members) for scene, members in groups.items()}
    _check_bands(stacked)
    ordered = [(name, sort_by_date(steps, log)) for (name, _), steps in stacked.items()]
    if masks:
        masked = iter(with_masks([step for _, steps in ordered for step in steps], masks))
        ordered = [(name, [next(masked) for _ in steps]) for name, steps in ordered]
    return name_scenes(ordered)


def _read_rows(table: Sequence[RasterEntry]) -> list[_Row]:
    problems = Problems("RASTER_TABLE")
    dated = []
    for i, entry in enumerate(table):
        try:
            date = parse_iso_date(entry.date, f"row {i + 1} ({entry.file})") if entry.date.strip() else ""
            dated.append(replace(entry, date=date, scene=entry.scene.strip(), band=entry.band.strip()))
        except InstaGeoError as error:
            problems.add(error.message)
    problems.raise_if_any()
    infos = inspect_rasters([entry.file for entry in dated], "RASTER_TABLE")
    for entry, info in zip(dated, infos):
        if entry.band and info.count != 1:
            problems.add(f"{entry.file} has {info.count} bands; a row that names a band takes a file of one band.")
    problems.raise_if_any()
    return [(replace(entry, date=entry.date or info.date), info) for entry, info in zip(dated, infos)]


def _by_scene(rows: Sequence[_Row]) -> dict[tuple[str, int], list[_Row]]:
    """Rows by scene name, or by grid where the table names no scene; in the order of first appearance."""
    groups: dict[tuple[str, int], list[_Row]] = {}
    unnamed: list[RasterInfo] = []
    for entry, info in rows:
        number = 0
        if not entry.scene:
            number = next((i for i, seen in enumerate(unnamed) if same_grid(seen.grid, info.grid)), len(unnamed))
            if number == len(unnamed):
                unnamed.append(info)
        groups.setdefault((entry.scene, number), []).append((entry, info))
    check_apart([timestep_of(info) for info in unnamed])
    return groups


def _check_grids(groups: Mapping[tuple[str, int], Sequence[_Row]]) -> None:
    problems = Problems("RASTER_TABLE", "Give files on different grids different scene names, or warp them first.")
    for (scene, _), rows in groups.items():
        first = rows[0][1]
        for _, info in rows[1:]:
            if not same_grid(first.grid, info.grid):
                problems.add(
                    f"scene '{scene}': {info.path} is on the grid {describe_grid(info.grid)}; {first.path} on "
                    f"{describe_grid(first.grid)}. Expected one grid."
                )
    problems.raise_if_any()


def _timesteps(scene: tuple[str, int], rows: Sequence[_Row]) -> list[Timestep]:
    """One timestep a date. Undated files of one band form one timestep together, undated whole files one each."""
    moments: dict[str, list[_Row]] = {}
    for i, (entry, info) in enumerate(rows):
        key = entry.date if entry.date or entry.band else f"undated {i}"
        moments.setdefault(key, []).append((entry, info))
    return [_stack(scene[0], members) for members in moments.values()]


def _stack(scene: str, rows: Sequence[_Row]) -> Timestep:
    names = tuple(entry.band for entry, _ in rows)
    first, info = rows[0]
    if len(rows) == 1 and not first.band:
        return replace(timestep_of(info), date=first.date)
    where = f"RASTER_TABLE: scene '{scene}', date {first.date or 'unknown'}"
    problems = Problems(where, "Give each band of a scene and date one row, or each date one file with all bands.")
    if not all(names):
        problems.add(f"{names.count('')} of {len(rows)} files name no band; expected a band in every row.")
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        problems.add(f"band '{name}' stands {names.count(name)} times.")
    for _, other in rows[1:]:
        if other.dtype != info.dtype or not same_nodata(other.nodata, info.nodata):
            problems.add(f"{other.path} and {info.path} differ in type or nodata; expected the same.")
    problems.raise_if_any()
    bands = tuple(BandRef(member.path, 1) for _, member in rows)
    return Timestep(info.grid, info.dtype, info.nodata, names, bands, first.date)


def _check_bands(stacked: dict[tuple[str, int], list[Timestep]]) -> None:
    """Every scene and date has the named bands of the first, which also sets their order."""
    first = next(iter(stacked.values()))[0]
    problems = Problems("RASTER_TABLE", "Add rows for the missing bands, or take out the scenes that lack them.")
    for scene, steps in stacked.items():
        for i, step in enumerate(steps):
            where = f"scene '{scene[0]}', date {step.date or 'unknown'}"
            missing = [name for name in first.names if name and name not in step.names]
            added = [name for name in step.names if name and name not in first.names]
            if missing:
                problems.add(f"{where} lacks {', '.join(missing)}.")
            if added:
                problems.add(f"{where} has {', '.join(added)}, which the first has not.")
            if not missing and not added and len(set(first.names) - {""}) == len(first.names):
                order = [step.names.index(name) for name in first.names]
                steps[i] = replace(step, names=first.names, bands=tuple(step.bands[k] for k in order))
    problems.raise_if_any()
