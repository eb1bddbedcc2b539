"""The outline of a grid on the globe: EPSG:4326, edges densified, cut at the antimeridian."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyproj
import shapely

from .grid import Grid

EDGE_POINTS = 21  # a straight edge in a projected CRS is curved in degrees
_STRAIGHT = 1e-7  # degrees, about a centimetre: an edge less curved than this needs no points in between


def footprint_4326(grid: Grid) -> shapely.MultiPolygon:
    """The ground a grid covers, longitude within -180 to 180.

    A grid across the antimeridian becomes two parts, one around a pole reaches to the pole. Corners outside the
    domain of the projection are left out.
    """
    parts = shapely.get_parts(cut_at_antimeridian(_ring_4326(grid)))
    return shapely.MultiPolygon(shapely.simplify(parts, _STRAIGHT).tolist())


@lru_cache(maxsize=32)
def to_degrees(wkt: str) -> pyproj.Transformer:
    """From a CRS to longitude and latitude on WGS 84."""
    return pyproj.Transformer.from_crs(pyproj.CRS.from_wkt(wkt), "EPSG:4326", always_xy=True)


def _ring_4326(grid: Grid) -> np.ndarray:
    """(n, 2) longitude and latitude along the outline, without the closing point."""
    columns, rows = float(grid.width), float(grid.height)
    share = np.arange(EDGE_POINTS - 1) / (EDGE_POINTS - 1)
    along = np.concatenate([share * columns, np.full_like(share, columns), (1 - share) * columns, 0 * share])
    down = np.concatenate([0 * share, share * rows, np.full_like(share, rows), (1 - share) * rows])
    xs = grid.transform.c + grid.transform.a * along
    ys = grid.transform.f + grid.transform.e * down
    ring: np.ndarray = np.column_stack(to_degrees(grid.crs.to_wkt()).transform(xs, ys))
    finite: np.ndarray = ring[np.isfinite(ring).all(axis=1)]
    return finite


def cut_at_antimeridian(ring: np.ndarray) -> shapely.MultiPolygon:
    """The polygon of an outline (n, 2) in degrees whose longitudes may jump between -180 and 180.

    The outline is followed continuously (no step beyond half a turn), and each part brought back into range.
    """
    if len(ring) < 3:
        return shapely.MultiPolygon()
    closed = np.vstack([ring, ring[:1]])
    unrolled = np.column_stack([np.unwrap(closed[:, 0], period=360), closed[:, 1]])
    turn = unrolled[-1, 0] - unrolled[0, 0]
    if abs(turn) > 180:  # once around: the outline encloses a pole
        pole = np.copysign(90.0, closed[:, 1].mean())
        ends = [[unrolled[-1, 0], pole], [unrolled[0, 0], pole]]
        unrolled = np.vstack([unrolled, ends])
    whole = shapely.make_valid(shapely.Polygon(unrolled))
    west, _, east, _ = whole.bounds
    parts = []
    for k in range(int(np.floor((west + 180) / 360)), int(np.ceil((east + 180) / 360))):
        strip = shapely.box(360 * k - 180, -90, 360 * k + 180, 90)
        inside = shapely.intersection(whole, strip)
        parts += _polygons(shapely.transform(inside, lambda xy, k=k: xy - [360 * k, 0]))
    return shapely.MultiPolygon(parts)


def _polygons(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    return [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and part.area > 0]
