"""The files of a prediction: drafts while windows come in, finished under their final names all at once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..contract.classes import ClassTable
from ..contract.errors import DISK, InstaGeoError, Problems
from ..contract.jobs import PredictRasterJob
from ..files import check_writable, remove, written_whole
from ..imagery.cog import PERCENT_NODATA, Draft, Layout, class_layout, disk_errors, percent_layout
from ..imagery.grid import Grid
from ..imagery.style import class_qml
from .blend import Rows
from .class_areas import ClassAreas

_DRAFT_AND_COG = 1.7  # of the raw size: the draft, and the compressed COG with overviews at its largest for real maps


@dataclass(frozen=True)
class OutputPaths:
    """Where the files go; None: not wanted. The style always stands beside the map as well."""

    map: Path
    probabilities: Path | None = None
    confidence: Path | None = None
    style: Path | None = None
    class_areas: Path | None = None

    @property
    def sidecar(self) -> Path:
        return self.map.with_suffix(".qml")

    def named(self) -> dict[str, Path]:
        """The files by output name."""
        paths = {
            "OUTPUT": self.map,
            "PROBABILITIES": self.probabilities,
            "CONFIDENCE": self.confidence,
            "STYLE": self.style or self.sidecar,
            "CLASS_AREAS": self.class_areas,
        }
        return {name: path for name, path in paths.items() if path is not None}


def output_paths(job: PredictRasterJob) -> OutputPaths:
    """The job's outputs. Raises `InstaGeoError` when two are one file, or one would overwrite an input."""
    given = [Path(text) if text else None for text in (job.probabilities, job.confidence, job.style, job.class_areas)]
    paths = OutputPaths(Path(job.output), *given)
    problems = Problems("Outputs", "Give each output a file of its own.")
    inputs = {os.path.realpath(path) for path in (*job.rasters, job.model, job.area) if path}
    seen: dict[str, str] = {}
    for name, path in paths.named().items():
        real = os.path.realpath(path)
        if real in inputs:
            problems.add(f"{name} is {path}, which is an input.")
        if real in seen:
            problems.add(f"{name} and {seen[real]} are both {path}.")
        seen[real] = name
    problems.raise_if_any()
    return paths


def output_layouts(paths: OutputPaths, grid: Grid, table: ClassTable) -> dict[str, tuple[Path, Layout]]:
    """Path and layout of each raster that is wanted."""
    layouts = {"map": (paths.map, class_layout(grid, table))}
    if paths.confidence is not None:
        layouts["confidence"] = (paths.confidence, percent_layout(grid, ("confidence",)))
    if paths.probabilities is not None:
        layouts["probabilities"] = (paths.probabilities, percent_layout(grid, table.names))
    return layouts


def check_disk(paths: OutputPaths, grid: Grid, table: ClassTable) -> None:
    """Raise `InstaGeoError` unless every folder can be written and its disk has room for what goes there."""
    for path in paths.named().values():
        check_writable(path)
    wanted: dict[int, float] = {}
    folders: dict[int, Path] = {}
    for path, layout in output_layouts(paths, grid, table).values():
        disk = path.parent.stat().st_dev
        folders[disk] = path.parent
        wanted[disk] = wanted.get(disk, 0) + layout.raw_bytes * _DRAFT_AND_COG
    for disk, size in wanted.items():
        free = shutil.disk_usage(folders[disk]).free
        if free < size:
            raise InstaGeoError(
                f"{folders[disk]} has {free / 1e6:,.1f} MB free; the outputs may need {size / 1e6:,.1f} MB.",
                f"Free some space, choose another place{', or leave PROBABILITIES empty' * bool(paths.probabilities)}.",
                DISK,
            )


class MapWriter:
    """Turns finished rows into the rasters that are wanted, and counts as it goes."""

    def __init__(self, drafts: Mapping[str, Draft], table: ClassTable) -> None:
        layout = drafts["map"].layout
        self._drafts = drafts
        self._codes = np.array([*table.values, layout.nodata], dtype=layout.dtype)
        self.areas = ClassAreas(layout.grid, table)
        self.partial_pixels = 0

    def write(self, rows: Rows) -> None:
        """Write rows; pixels of state 0 become nodata."""
        empty = rows.state == 0
        index = rows.probabilities.argmax(axis=0)
        index[empty] = len(self._codes) - 1
        self.areas.add(index, rows.row, rows.col)
        self.partial_pixels += int(np.count_nonzero(rows.state == 1))
        self._drafts["map"].write(rows.row, rows.col, self._codes[index][None])
        if "confidence" in self._drafts:
            best = rows.probabilities.max(axis=0, keepdims=True)
            self._drafts["confidence"].write(rows.row, rows.col, _percent(best, empty))
        if "probabilities" in self._drafts:
            self._drafts["probabilities"].write(rows.row, rows.col, _percent(rows.probabilities, empty))


def _percent(probabilities: np.ndarray, empty: np.ndarray) -> np.ndarray:
    percent: np.ndarray = np.rint(probabilities * 100).clip(0, 100).astype(np.uint8)
    percent[:, empty] = PERCENT_NODATA
    return percent


@contextmanager
def written_outputs(
    paths: OutputPaths, grid: Grid, table: ClassTable, finishing: Callable[[float, str], None]
) -> Iterator[MapWriter]:
    """Yield a writer; on success make the COGs, the styles and the areas, and only then give all their names.

    `finishing` is told the share of the finish that is done. On any failure nothing is left.
    """
    layouts = output_layouts(paths, grid, table)
    with ExitStack() as names:
        parts = {name: names.enter_context(_part(path)) for name, (path, _) in layouts.items()}
        drafts = {
            name: names.enter_context(Draft(parts[name].with_name(parts[name].name + ".raw"), layout))
            for name, (_, layout) in layouts.items()
        }
        writer = MapWriter(drafts, table)
        yield writer
        for i, (name, draft) in enumerate(drafts.items()):
            finishing(i / len(drafts), f"Writing {layouts[name][0].name}")
            draft.finish(parts[name])
        _write_texts(names, paths, table, writer.areas)
    for path, _ in layouts.values():
        remove(_statistics_of(path))  # those of an earlier map under this name


def _statistics_of(raster: Path) -> Path:
    """Where GDAL and QGIS keep statistics of a raster."""
    return raster.with_name(raster.name + ".aux.xml")


@contextmanager
def _part(raster: Path) -> Iterator[Path]:
    """`written_whole` for a raster, with what GDAL may leave beside it."""
    with written_whole(raster) as part:
        try:
            yield part
        finally:
            remove(_statistics_of(part))


def _write_texts(names: ExitStack, paths: OutputPaths, table: ClassTable, areas: ClassAreas) -> None:
    texts = {path: class_qml(table) for path in (paths.sidecar, paths.style) if path is not None}
    if paths.class_areas is not None:
        texts[paths.class_areas] = json.dumps(areas.to_plain(), indent=1, ensure_ascii=False) + "\n"
    for path, text in texts.items():
        part = names.enter_context(written_whole(path))
        with disk_errors(path):
            part.write_text(text, encoding="utf-8")
