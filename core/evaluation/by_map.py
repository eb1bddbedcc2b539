"""A class map against a reference: a raster on the same pixels, or points and polygons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ..contract.classes import IGNORE_VALUE, ClassEntry, ClassTable
from ..contract.errors import InstaGeoError
from ..contract.jobs import EvaluateJob
from ..imagery.grid import Grid, grid_of
from ..imagery.rasters import SAME_PIXEL, open_raster
from ..reporting import Reporter
from .reference_vector import read_reference
from .tally import Evaluation, Tally

WINDOW_PX = 1024
CLASS_TAG = "CLASS_"
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class MapPart:
    """A window of the map, in its own pixels, and the same ground's window in the reference."""

    own: Window
    other: Window


def evaluate_map(job: EvaluateJob, reporter: Reporter) -> Evaluation:
    """Compare the map with its reference, window by window.

    Classes are those the map names in its tags; a map without names has the values found in it. Raises
    `InstaGeoError` when a file cannot be read, when the reference is on other pixels or elsewhere, when it holds a
    class unknown to the map, and when no labelled pixel lies on the map.
    """
    with open_raster(job.prediction) as raster:
        if job.reference:
            return _against_raster(job, raster, reporter)
        return _against_vector(job, raster, reporter)


def _against_raster(job: EvaluateJob, raster: DatasetReader, reporter: Reporter) -> Evaluation:
    with open_raster(job.reference) as reference:
        parts = _shared_parts(grid_of(raster), grid_of(reference), job)
        table = class_table_of(raster) or _found_table(raster, reference, parts, reporter)
        tally = Tally(table)
        unknown: set[int] = set()
        for share, part in _steps(parts, reporter):
            truth, labelled = _read(reference, part.other)
            unknown |= set(np.unique(truth[labelled]).tolist()) - set(table.values)
            known = labelled & np.isin(truth, table.values)
            _count(tally, raster, part, np.where(known, truth, IGNORE_VALUE))
            reporter.progress(0.1 + 0.8 * share)
    _check_classes({str(value) for value in sorted(unknown)}, table, job.reference)
    return tally.evaluation({"Map": job.prediction, "Reference": job.reference})


def _against_vector(job: EvaluateJob, raster: DatasetReader, reporter: Reporter) -> Evaluation:
    grid = grid_of(raster)
    reference = read_reference(job)
    parts = [MapPart(window, window) for window in _windows(grid.full_window)]
    table = class_table_of(raster) or _found_table(raster, None, parts, reporter)
    _check_classes(reference.unknown(table), table, f"{job.reference_vector}, field {job.class_field},")
    labels = reference.on_grid(grid, table)
    tally = Tally(table, left_out=reference.left_out(labels))
    for share, part in _steps(parts, reporter):
        burned = labels.burn(part.own)
        tally.left_out["pixels with labels of several classes"] += burned.conflicts
        if burned.labelled:
            _count(tally, raster, part, burned.pixels)
        reporter.progress(0.1 + 0.8 * share)
    return tally.evaluation({"Map": job.prediction, "Reference": job.reference_vector, "Class field": job.class_field})


def _count(tally: Tally, raster: DatasetReader, part: MapPart, truth: np.ndarray) -> None:
    """Add a window's labelled pixels; those at which the map has no data are left out."""
    predicted, mapped = _read(raster, part.own)
    labelled = truth != IGNORE_VALUE
    tally.left_out["labelled pixels without a prediction"] += int((labelled & ~mapped).sum())
    tally.add(truth[labelled & mapped], predicted[labelled & mapped])


def _steps(parts: list[MapPart], reporter: Reporter) -> Iterator[tuple[float, MapPart]]:
    for i, part in enumerate(parts):
        reporter.check()
        yield (i + 1) / len(parts), part


def _read(raster: DatasetReader, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) int64 values of the first band and where they are data; values that are not whole are refused."""
    band = raster.read(1, window=window)
    valid: np.ndarray = np.isfinite(band)
    if raster.nodata is not None and not np.isnan(raster.nodata):
        valid &= band != raster.nodata
    whole = np.where(valid, band, 0)
    if not np.array_equal(whole, np.round(whole)):
        raise InstaGeoError(
            f"{raster.name} holds values that are not whole numbers ({whole[whole != np.round(whole)][0]:g}, say).",
            "Choose rasters of class values.",
        )
    return whole.astype(np.int64), valid


def class_table_of(raster: DatasetReader) -> ClassTable | None:
    """Classes named in the map's tags (`CLASS_<value>=<name>`), coloured by its colour table; None without names."""
    tags = {**raster.tags(), **raster.tags(1)}
    named = {key[len(CLASS_TAG) :]: name for key, name in tags.items() if key.startswith(CLASS_TAG)}
    values = {int(value): name for value, name in named.items() if value.isdecimal()}
    return _table(values, raster) if values else None


def _table(names: dict[int, str], raster: DatasetReader) -> ClassTable:
    try:
        colors = raster.colormap(1)
    except ValueError:  # rasterio's word for "no colour table"
        colors = {}
    entries = []
    for value, name in sorted(names.items()):
        color = "#{:02x}{:02x}{:02x}".format(*colors[value][:3]) if value in colors else ""
        entries.append(ClassEntry(name if list(names.values()).count(name) == 1 else str(value), value, name, color))
    return ClassTable(tuple(entries))


def _found_table(
    raster: DatasetReader, reference: DatasetReader | None, parts: list[MapPart], reporter: Reporter
) -> ClassTable:
    reporter.log("The map names no classes; the values found are taken as classes.")
    values: set[int] = set()
    for _, part in _steps(parts, reporter):
        for source, window in ((raster, part.own), (reference, part.other)):
            if source is not None:
                pixels, valid = _read(source, window)
                values |= set(np.unique(pixels[valid]).tolist())
        if len(values) > _MOST_CLASSES:
            raise InstaGeoError(
                f"{raster.name} holds more than {_MOST_CLASSES} different values; expected a class map.",
                "Choose the class map, not an image.",
            )
    if min(values, default=0) < 0:
        raise InstaGeoError(
            f"Class values must not be negative; found {min(values)}.", "Declare it as the raster's nodata value."
        )
    return _table({value: str(value) for value in values}, raster)


def _check_classes(unknown: set[str], table: ClassTable, where: str) -> None:
    if not unknown:
        return
    classes = ", ".join(f"{entry.value} {entry.name}" for entry in table.classes)
    raise InstaGeoError(
        f"{where} holds classes that the map does not know: {', '.join(sorted(unknown)[:10])}. It knows {classes}.",
        "Renumber or rename them, or declare values that mean 'no label' as nodata (in a table: NULL).",
    )


def _shared_parts(grid: Grid, other: Grid, job: EvaluateJob) -> list[MapPart]:
    """The windows that both grids hold. Raises `InstaGeoError` that names both grids when they do not fit."""
    column, row = ~grid.transform * (other.transform.c, other.transform.f)
    offset = round(column), round(row)
    same_steps = np.allclose(_pixel_vectors(grid), _pixel_vectors(other), rtol=1e-6, atol=0)
    aligned = max(abs(column - offset[0]), abs(row - offset[1])) < SAME_PIXEL
    if not (grid.crs == other.crs and same_steps and aligned):
        raise InstaGeoError(
            f"Map and reference lie on different grids: {job.prediction} has {_words(grid)}; "
            f"{job.reference} has {_words(other)}.",
            "Warp the reference to the map's grid (nearest neighbour), or give the labels as REFERENCE_VECTOR.",
        )
    left, top = max(0, offset[0]), max(0, offset[1])
    right, bottom = min(grid.width, offset[0] + other.width), min(grid.height, offset[1] + other.height)
    if right <= left or bottom <= top:
        raise InstaGeoError(
            f"Map and reference do not overlap: {job.prediction} has {_words(grid)}; "
            f"{job.reference} has {_words(other)}.",
            "Choose a reference of the same area.",
        )
    shared = Window(left, top, right - left, bottom - top)
    return [MapPart(window, _moved(window, offset)) for window in _windows(shared)]


def _pixel_vectors(grid: Grid) -> tuple[float, ...]:
    a, b, _, d, e, _ = grid.transform[:6]
    return a, b, d, e


def _moved(window: Window, offset: tuple[int, int]) -> Window:
    return Window(window.col_off - offset[0], window.row_off - offset[1], window.width, window.height)


def _windows(whole: Window) -> list[Window]:
    rows = range(whole.row_off, whole.row_off + whole.height, WINDOW_PX)
    columns = range(whole.col_off, whole.col_off + whole.width, WINDOW_PX)
    bottom, right = whole.row_off + whole.height, whole.col_off + whole.width
    return [Window(c, r, min(WINDOW_PX, right - c), min(WINDOW_PX, bottom - r)) for r in rows for c in columns]


def _words(grid: Grid) -> str:
    width, height = grid.resolution
    west, south, east, north = grid.bounds
    name = grid.crs.to_string() if grid.crs else "no CRS"
    return (
        f"{grid.width} x {grid.height} pixels of {width:g} x {height:g} in {name}, "
        f"{west:.10g} to {east:.10g} and {south:.10g} to {north:.10g}"
    )
