"""Labels as pixels of a scene: vector features burnt, whatever window is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Protocol

import numpy as np
import pyproj
import rasterio.features
import shapely
from affine import Affine
from rasterio.windows import Window

from ..contract.classes import IGNORE_VALUE
from ..contract.errors import InstaGeoError
from ..imagery.grid import Grid
from ..imagery.rasters import WARNING_FILTERS
from ..imagery.reading import inner_slices, inner_window
from .placement import Cell, pixel_of
from .vectors import LabelFeatures, repaired, transform

_MANY_VERTICES = 1000
_SURE_RADIUS = 0.7072  # pixels: a disc with this radius holds a pixel centre wherever it lies
_LARGEST_TRIAL = 4_000_000  # pixels: memory for trying one shape stays bounded
_INSET = 1e-6  # pixels: features that only touch a window's edge are not in it


@dataclass(frozen=True)
class Burned:
    """Labels of a window: `pixels` (H, W) int16 class values or ignore; `painted` pixels carry a label (without the
    background); `conflicts` pixels carried several classes and are ignored."""

    pixels: np.ndarray
    painted: int
    conflicts: int

    @property
    def labelled(self) -> int:
        return int(np.count_nonzero(self.pixels != IGNORE_VALUE))


class SceneLabels(Protocol):
    """The labels that lie on one scene."""

    def burn(self, window: Window) -> Burned:
        """Labels of a window of the scene's grid, which may reach beyond it."""
        ...

    def members(self, cells: Sequence[Cell]) -> Optional[list[np.ndarray]]:
        """For each cell the numbers of the label features in it; None where labels are no features."""
        ...

    def centres(self) -> list[tuple[int, int]]:
        """(column, row) to centre chips on."""
        ...


@dataclass(frozen=True)
class BurnRule:
    """How features become pixels. `background` None: ground that no polygon covers is ignored."""

    all_touched: bool = False
    point_radius: int = 0
    background: Optional[int] = None


class VectorLabels:
    """Features on one scene, in its pixel coordinates.

    `values` are their class values. `on_scene` tells for each feature whether it lies on the scene, `painting`
    whether it covers a pixel there.
    """

    def __init__(self, features: LabelFeatures, values: np.ndarray, grid: Grid, rule: BurnRule) -> None:
        self._grid = grid
        self._rule = rule
        scene = shapely.box(0, 0, grid.width, grid.height)
        shapes = _in_pixels(features.geometries, features.crs, grid)
        is_point = np.isin(shapely.get_type_id(shapes), (0, 4))
        shapes, owners = _squares(shapes, is_point, rule.point_radius, grid)
        self._points = is_point[owners]
        inside = shapely.area(shapely.intersection(shapes, scene)) > 0
        self._shapes, self._owners, self._points = shapes[inside], owners[inside], self._points[inside]
        self._values = values[self._owners]
        self.on_scene = np.isin(np.arange(len(features)), self._owners)
        kept = self._painting(scene)
        self.painting = np.isin(np.arange(len(features)), self._owners[kept])
        self._shapes, self._owners, self._points = self._shapes[kept], self._owners[kept], self._points[kept]
        self._values = self._values[kept]
        self._tree = shapely.STRtree(self._shapes)
        self._unclassed = shapely.STRtree(_in_pixels(features.unclassed, features.crs, grid))

    def _painting(self, scene: shapely.Geometry) -> np.ndarray:
        """Which shapes paint a pixel. A shape with area / perimeter >= r holds a disc of radius r, so that only
        small and thin ones have to be tried."""
        clipped = shapely.intersection(self._shapes, scene)
        sure = self._points | (shapely.area(clipped) >= _SURE_RADIUS * shapely.length(clipped))
        if self._rule.all_touched:
            return np.ones(len(sure), dtype=bool)
        for i in np.flatnonzero(~sure):
            west, north, east, south = shapely.bounds(clipped[i])
            col, row = int(np.floor(west)), int(np.floor(north))
            shape = (int(np.ceil(south)) - row, int(np.ceil(east)) - col)
            sure[i] = (
                shape[0] * shape[1] > _LARGEST_TRIAL
                or _rasterize([(self._shapes[i], 1)], shape, (col, row), False).max() == 1
            )
        painting: np.ndarray = sure
        return painting

    def members(self, cells: Sequence[Cell]) -> list[np.ndarray]:
        if not cells:
            return []
        edges = np.array([cell.box for cell in cells], dtype=float)
        boxes = shapely.box(edges[:, 0] + _INSET, edges[:, 1] + _INSET, edges[:, 2] - _INSET, edges[:, 3] - _INSET)
        cell_of, shape_of = self._tree.query(boxes, predicate="intersects")
        order = np.lexsort((shape_of, cell_of))
        cuts = np.searchsorted(cell_of[order], np.arange(1, len(cells)))
        return [np.unique(self._owners[part]) for part in np.split(shape_of[order], cuts)]

    def centres(self) -> list[tuple[int, int]]:
        """The pixel of each point, the pixel at the centre of the part of each polygon's bounds on the scene."""
        bounds = shapely.bounds(self._shapes).reshape(-1, 4)
        whole = bounds.copy()
        whole[:, [0, 2]] = np.clip(bounds[:, [0, 2]], 0, self._grid.width)
        whole[:, [1, 3]] = np.clip(bounds[:, [1, 3]], 0, self._grid.height)
        edges = np.where(self._points[:, None], bounds, whole)
        middle = np.floor((edges[:, :2] + edges[:, 2:]) / 2).astype(int)
        last = np.array([self._grid.width - 1, self._grid.height - 1])
        return [(int(col), int(row)) for col, row in np.clip(middle, 0, last)]

    def burn(self, window: Window) -> Burned:
        size = (int(window.height), int(window.width))
        pixels = np.full(size, IGNORE_VALUE, dtype=np.int16)
        inner = inner_window(window, self._grid)
        if inner is None:
            return Burned(pixels, 0, 0)
        low, high = self._extremes(inner)
        painted = high != IGNORE_VALUE
        conflict = painted & (low != high)
        part = np.where(conflict, IGNORE_VALUE, high).astype(np.int16)
        if self._rule.background is not None:
            part[~painted & ~self._covered_without_class(inner)] = self._rule.background
        pixels[inner_slices(window, inner)] = part
        conflicts = int(np.count_nonzero(conflict))
        return Burned(pixels, int(np.count_nonzero(painted)) - conflicts, conflicts)

    def _covered_without_class(self, window: Window) -> np.ndarray:
        """Where polygons without a class lie: neither their class nor background."""
        shape, origin = (int(window.height), int(window.width)), (int(window.col_off), int(window.row_off))
        shapes = self._unclassed.geometries[self._unclassed.query(_box(window))]
        covered: np.ndarray = _rasterize([(s, 1) for s in shapes], shape, origin, self._rule.all_touched) == 1
        return covered

    def _extremes(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest class in each pixel, ignore where there is none: where they differ, classes conflict."""
        shape, origin = (int(window.height), int(window.width)), (int(window.col_off), int(window.row_off))
        box = _box(window)
        found = np.sort(self._tree.query(box))
        low = np.full(shape, np.iinfo(np.int16).max, dtype=np.int32)
        high = np.full(shape, IGNORE_VALUE, dtype=np.int32)
        for chosen, touched in ((found[self._points[found]], False),
                                (found[~self._points[found]], self._rule.all_touched)):  # fmt: skip
            if len(chosen):
                shapes = _clipped(self._shapes[chosen], box)
                ascending = np.argsort(self._values[chosen], kind="stable")
                pairs = [(shapes[i], int(self._values[chosen[i]])) for i in ascending]
                top = _rasterize(pairs, shape, origin, touched)
                one_class = pairs[0][1] == pairs[-1][1]
                bottom = top if one_class else _rasterize(pairs[::-1], shape, origin, touched)
                covered = top != IGNORE_VALUE
                high = np.maximum(high, top)
                low = np.where(covered, np.minimum(low, bottom), low)
        return low, high


def _box(window: Window) -> shapely.Polygon:
    left, top = window.col_off, window.row_off
    return shapely.box(left, top, left + window.width, top + window.height)


def _in_pixels(geometries: np.ndarray, crs: pyproj.CRS, grid: Grid) -> np.ndarray:
    moved = transform(geometries, crs, pyproj.CRS.from_wkt(grid.crs.to_wkt()))
    in_pixels: np.ndarray = shapely.transform(moved, lambda xy: pixel_of(xy[:, 0], xy[:, 1], tuple(grid.transform)))
    in_pixels[~np.isfinite(shapely.bounds(in_pixels)).all(axis=1)] = shapely.Polygon()
    return repaired(in_pixels)[0]


def _squares(shapes: np.ndarray, is_point: np.ndarray, radius: int, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Points as the squares of pixels they paint, each part of a multipoint on its own; and whose part each is.

    A point off the scene (its right and bottom edges included) paints nothing.
    """
    owners = np.arange(len(shapes))
    xy, part_of = shapely.get_coordinates(shapes[is_point], return_index=True)
    point_owner = owners[is_point][part_of]
    pixel = np.floor(xy)
    on_scene = ((pixel >= 0) & (pixel < [grid.width, grid.height])).all(axis=1)
    pixel, point_owner = pixel[on_scene], point_owner[on_scene]
    low, high = pixel - radius, pixel + radius + 1
    squares = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
    all_shapes = np.concatenate([shapes[~is_point], squares])
    all_owners = np.concatenate([owners[~is_point], point_owner])
    order = np.argsort(all_owners, kind="stable")
    return all_shapes[order], all_owners[order]


def _clipped(shapes: np.ndarray, box: shapely.Geometry) -> np.ndarray:
    """Shapes with very many vertices cut near the window, since every vertex is handed to the rasteriser."""
    large = shapely.get_num_coordinates(shapes) > _MANY_VERTICES
    if not large.any():
        return shapes
    clipped = shapes.copy()
    clipped[large] = shapely.intersection(shapes[large], shapely.buffer(box, 2, cap_style="square", join_style="mitre"))
    return clipped


def _rasterize(
    pairs: list[tuple[shapely.Geometry, int]], shape: tuple[int, int], origin: tuple[int, int], touched: bool
) -> np.ndarray:
    """Later pairs over earlier ones, ignore elsewhere; `origin` is the (column, row) of the array's first pixel."""
    kept = [(geometry, value) for geometry, value in pairs if not geometry.is_empty]
    if not kept:
        return np.full(shape, IGNORE_VALUE, dtype=np.int32)
    with WARNING_FILTERS:
        burnt: np.ndarray = rasterio.features.rasterize(
            kept,
            out_shape=shape,
            fill=IGNORE_VALUE,
            transform=Affine.translation(*origin),
            all_touched=touched,
            dtype="int32",
        )
    return burnt


class NoLabels:
    """A scene without labels: chips for prediction."""

    def burn(self, window: Window) -> Burned:
        pixels = np.full((int(window.height), int(window.width)), IGNORE_VALUE, dtype=np.int16)
        return Burned(pixels, 0, 0)

    def members(self, cells: Sequence[Cell]) -> Optional[list[np.ndarray]]:
        return None

    def centres(self) -> list[tuple[int, int]]:
        return []


def check_background(features: LabelFeatures, background: Optional[int]) -> None:
    """Raise `InstaGeoError` when BACKGROUND is asked for and labels are points."""
    if background is not None and np.isin(shapely.get_type_id(features.geometries), (0, 4)).any():
        raise InstaGeoError(
            f"BACKGROUND is {background}, but the labels are points: the ground between points is unknown.",
            "Leave BACKGROUND empty, or use polygons.",
        )
