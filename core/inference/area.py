"""The area to predict: polygons in any CRS, as a mask on the raster's grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pyproj
import shapely
from rasterio.features import geometry_mask
from rasterio.windows import Window

from ..contract.errors import InstaGeoError
from ..imagery.grid import Grid

_REMEDY = "Choose a layer of polygons that overlap the raster, or leave AREA empty."
_SEGMENTS_ACROSS = 100  # straight edges of one CRS are curves in another


@dataclass(frozen=True, eq=False)
class Area:
    """Polygons in the CRS of `grid`, with an index over them."""

    grid: Grid
    polygons: np.ndarray
    tree: shapely.STRtree

    def inside(self, window: Window) -> np.ndarray:
        """(H, W) bool: pixels whose centre lies in a polygon. `window` may reach beyond the grid."""
        grid = self.grid.window(window)
        pixel_x, pixel_y = grid.resolution
        west, south, east, north = grid.bounds
        frame = (west - pixel_x, south - pixel_y, east + pixel_x, north + pixel_y)
        near = self.polygons[self.tree.query(shapely.box(*frame))]
        clipped = [shape for shape in shapely.clip_by_rect(near, *frame) if not shape.is_empty]
        if not clipped:
            return np.zeros((grid.height, grid.width), dtype=bool)
        mask: np.ndarray = geometry_mask(clipped, (grid.height, grid.width), grid.transform, invert=True)
        return mask


def read_area(path: str, grid: Grid) -> Area:
    """The polygons of the first layer of the vector file `path`, on `grid`.

    Raises `InstaGeoError` when the file cannot be read, has no CRS or no polygons, or when they miss the raster.
    """
    try:
        meta, _, geometry, _ = pyogrio.raw.read(path, columns=[])
    except Exception as error:  # pyogrio's errors have no common base
        raise InstaGeoError(f"AREA {path} cannot be read ({error}).", _REMEDY) from error
    shapes = shapely.from_wkb(geometry if geometry is not None else [])
    polygons = _polygons(shapes)
    if not len(polygons):
        raise InstaGeoError(
            f"AREA {Path(path).name} holds {len(shapes)} features and no polygon; expected polygons.", _REMEDY
        )
    polygons = _transformed(polygons, meta["crs"], grid, path)
    tree = shapely.STRtree(polygons)
    if not len(tree.query(shapely.box(*grid.bounds), predicate="intersects")):
        raise InstaGeoError(
            f"AREA {Path(path).name} lies outside the raster: it spans {_span(shapely.total_bounds(polygons))} in the "
            f"raster's CRS {grid.crs.to_string()}, the raster {_span(grid.bounds)}.",
            _REMEDY,
        )
    return Area(grid, polygons, tree)


def _polygons(shapes: np.ndarray) -> np.ndarray:
    """Single, valid polygons."""
    present = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shapely.force_2d(present))))
    polygons: np.ndarray = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return polygons


def _transformed(polygons: np.ndarray, crs: str | None, grid: Grid, path: str) -> np.ndarray:
    if not crs:
        raise InstaGeoError(f"AREA {path} has no coordinate reference system.", "Assign it, and run this again.")
    source, target = pyproj.CRS.from_user_input(crs), pyproj.CRS.from_wkt(grid.crs.to_wkt())
    if source == target:
        return polygons
    west, south, east, north = shapely.total_bounds(polygons)
    longest = max(east - west, north - south) / _SEGMENTS_ACROSS
    change = pyproj.Transformer.from_crs(source, target, always_xy=True)
    moved = shapely.transform(shapely.segmentize(polygons, longest), change.transform, interleaved=False)
    finite = np.isfinite(shapely.bounds(moved)).all(axis=1)
    if not finite.any():
        raise InstaGeoError(
            f"AREA {path} cannot be expressed in the raster's CRS {grid.crs.to_string()}.",
            "Check the CRS of the layer and of the raster.",
        )
    return _polygons(moved[finite])


def _span(bounds: Any) -> str:
    west, south, east, north = bounds
    return f"{west:.7g} to {east:.7g} by {south:.7g} to {north:.7g}"
