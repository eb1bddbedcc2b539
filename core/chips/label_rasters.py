"""Raster labels: on the imagery's own grid, their values kept or renumbered."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from rasterio.windows import Window

from ..contract.classes import IGNORE_VALUE, LARGEST_CLASS_VALUE, ClassEntry, ClassTable
from ..contract.errors import InstaGeoError, Problems
from ..imagery.footprint import footprint_4326
from ..imagery.grid import Grid
from ..imagery.rasters import SAME_PIXEL, RasterInfo, describe_grid, inspect_rasters, open_raster, pixel_offset
from ..imagery.reading import inner_slices, inner_window, open_on_grid
from ..reporting import Reporter
from .labels import Burned
from .placement import Cell

_MOST_CLASSES = 1000


@dataclass(frozen=True)
class PlacedRaster:
    """A label raster on a scene: its pixel (0, 0) is the scene's (`col`, `row`). `warped`: it is read onto the
    scene's grid, and `col` and `row` are 0."""

    info: RasterInfo
    col: int
    row: int
    warped: bool = False


def inspect_labels(paths: Sequence[str]) -> list[RasterInfo]:
    """The headers of label rasters; raises `InstaGeoError` for more than one band."""
    infos = inspect_rasters(paths, "LABEL_RASTERS")
    problems = Problems("LABEL_RASTERS")
    for info in infos:
        if info.count != 1:
            problems.add(f"{info.path} has {info.count} bands; expected 1 with the class values.")
    problems.raise_if_any()
    return infos


def place(infos: Sequence[RasterInfo], name: str, grid: Grid, warp: bool) -> list[PlacedRaster]:
    """The label rasters that lie on `grid`, that of the scene `name`.

    Raises `InstaGeoError` for one that does but whose pixels are not the grid's, unless they may be warped.
    """
    problems = Problems("LABEL_RASTERS", "Warp the labels to the imagery's grid (nearest neighbour), or give CRS.")
    placed = []
    outline = footprint_4326(grid)
    for info in infos:
        offset = pixel_offset(grid, info.grid)
        if offset is not None and max(abs(shift - round(shift)) for shift in offset) <= SAME_PIXEL:
            if _overlaps(grid, info.grid, offset):
                placed.append(PlacedRaster(info, round(offset[0]), round(offset[1])))
            continue
        if not footprint_4326(info.grid).intersection(outline).area > 0:
            continue
        if warp:
            placed.append(PlacedRaster(info, 0, 0, warped=True))
            continue
        problems.add(
            f"{info.path} is on the grid {describe_grid(info.grid)}; expected pixels that coincide with those of "
            f"scene '{name}': {describe_grid(grid)}."
        )
    problems.raise_if_any()
    return placed


def _overlaps(scene: Grid, labels: Grid, offset: tuple[float, float]) -> bool:
    col, row = offset
    across = min(scene.width, col + labels.width) - max(0, col)
    return bool(across > SAME_PIXEL and min(scene.height, row + labels.height) - max(0, row) > SAME_PIXEL)


def values_present(infos: Sequence[RasterInfo], reporter: Reporter) -> list[int]:
    """All values in the rasters but their nodata, ascending, read block by block.

    Raises `InstaGeoError` for decimals, for values that are no class (beyond 0 to 32767), and for very many of them.
    """
    found: set[float] = set()
    for info in infos:
        for pixels in _blocks(info, reporter):
            found.update(np.unique(pixels[_holds_label(pixels, info)]).tolist())
            if len(found) > _MOST_CLASSES:
                raise InstaGeoError(
                    f"{info.path} holds more than {_MOST_CLASSES} different values; expected classes.",
                    "Choose a class raster, or name the values to keep with LABEL_VALUES.",
                )
    wrong = sorted(v for v in found if v != int(v) or not 0 <= v <= LARGEST_CLASS_VALUE)
    if wrong:
        raise InstaGeoError(
            f"LABEL_RASTERS hold {', '.join(f'{v:g}' for v in wrong[:10])}; expected whole numbers from 0 to "
            f"{LARGEST_CLASS_VALUE}.",
            "Name the values to keep, renumbered where needed, with LABEL_VALUES: '1 2' or '100000:0 200000:1'.",
        )
    return sorted(int(v) for v in found)


def _holds_label(pixels: np.ndarray, info: RasterInfo) -> np.ndarray:
    kept = ~np.isnan(pixels) if pixels.dtype.kind == "f" else np.ones(pixels.shape, dtype=bool)
    if info.nodata is not None:
        kept &= pixels != info.nodata
    return kept


def _blocks(info: RasterInfo, reporter: Reporter, side: int = 2048) -> Iterator[np.ndarray]:
    with open_raster(info.path) as raster:
        for row in range(0, info.grid.height, side):
            for col in range(0, info.grid.width, side):
                reporter.check()
                window = Window(col, row, min(side, info.grid.width - col), min(side, info.grid.height - row))
                yield raster.read(1, window=window)


def style_of(infos: Sequence[RasterInfo], sources: Sequence[int]) -> ClassTable:
    """Names and colours the first raster itself has for the values `sources`; a table with no entries if none."""
    with open_raster(infos[0].path) as raster:
        try:
            colors = raster.colormap(1)
        except ValueError:
            colors = {}
    names = category_names(infos[0].path)
    entries = []
    for value in sources:
        name = names[value] if 0 <= value < len(names) else ""
        color = "#{:02x}{:02x}{:02x}".format(*colors[value][:3]) if value in colors else ""
        if (name or color) and 0 <= value <= LARGEST_CLASS_VALUE:
            entries.append(ClassEntry(str(value), value, name or str(value), color))
    return ClassTable(tuple(entries))


def category_names(path: str) -> list[str]:
    """Category names that GDAL keeps beside a raster in `.aux.xml`, by value; none when there is no such file."""
    sidecar = Path(f"{path}.aux.xml")
    if not sidecar.is_file():
        return []
    text = sidecar.read_text(encoding="utf-8", errors="replace")
    block = re.search(r"<CategoryNames>(.*?)</CategoryNames>", text, re.DOTALL)
    found = re.findall(r"<Category\s*/>|<Category>(.*?)</Category>", block[1], re.DOTALL) if block else []
    return [html.unescape(name).strip() for name in found]


class RasterLabels:
    """Label rasters on one scene; `mapping` is raster value to class value, all else is ignored."""

    def __init__(self, grid: Grid, placed: Sequence[PlacedRaster], mapping: dict[int, int], resampling: str) -> None:
        self._grid = grid
        self._placed = placed
        self._sources = np.array(sorted(mapping), dtype=np.int64)
        self._values = np.array([mapping[source] for source in sorted(mapping)], dtype=np.int16)
        self._rule = "mode" if resampling == "mode" else "nearest"

    def members(self, cells: Sequence[Cell]) -> Optional[list[np.ndarray]]:
        return None

    def centres(self) -> list[tuple[int, int]]:
        return []

    def burn(self, window: Window) -> Burned:
        shape = (int(window.height), int(window.width))
        pixels = np.full(shape, IGNORE_VALUE, dtype=np.int16)
        conflict = np.zeros(shape, dtype=bool)
        for placed in self._placed:
            moved = Window(window.col_off - placed.col, window.row_off - placed.row, window.width, window.height)
            inner = inner_window(moved, self._grid if placed.warped else placed.info.grid)
            if inner is None:
                continue
            rows, cols = inner_slices(moved, inner)
            found = self._classes(self._read(placed, inner), placed.info)
            before = pixels[rows, cols]
            conflict[rows, cols] |= (before != IGNORE_VALUE) & (found != IGNORE_VALUE) & (before != found)
            pixels[rows, cols] = np.where(found != IGNORE_VALUE, found, before)
        on_scene = self._on_scene(window)
        conflict &= on_scene
        pixels[conflict | ~on_scene] = IGNORE_VALUE
        return Burned(pixels, int(np.count_nonzero(pixels != IGNORE_VALUE)), int(np.count_nonzero(conflict)))

    def _read(self, placed: PlacedRaster, window: Window) -> np.ndarray:
        """Opened for each window, since chips may be made by several threads or processes."""
        path = placed.info.path
        with ExitStack() as stack:
            if placed.warped:
                raster = open_on_grid(path, self._grid, self._rule, _outside(placed.info), stack)
            else:
                raster = stack.enter_context(open_raster(path))
            pixels: np.ndarray = raster.read(1, window=window)
        return pixels

    def _on_scene(self, window: Window) -> np.ndarray:
        """A label raster may reach beyond the scene, where there is no imagery to learn from."""
        inside = np.zeros((int(window.height), int(window.width)), dtype=bool)
        inner = inner_window(window, self._grid)
        if inner is not None:
            inside[inner_slices(window, inner)] = True
        return inside

    def _classes(self, found: np.ndarray, info: RasterInfo) -> np.ndarray:
        holds = _holds_label(found, info)
        whole = np.where(holds, found, 0).astype(np.int64)
        holds &= whole == found
        at = np.clip(np.searchsorted(self._sources, whole), 0, len(self._sources) - 1)
        known = holds & (self._sources[at] == whole)
        return np.where(known, self._values[at], IGNORE_VALUE).astype(np.int16)


def _outside(info: RasterInfo) -> float:
    """What a warped label raster holds beyond its edge: its nodata, else a value no class has."""
    if info.nodata is not None:
        return info.nodata
    kind = np.dtype(info.dtype)
    return float("nan") if kind.kind == "f" else float(np.iinfo(kind).max)
