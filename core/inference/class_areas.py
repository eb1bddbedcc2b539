"""Area of each class on the ellipsoid, added up while the map is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyproj

from ..contract.classes import ClassTable
from ..imagery.grid import Grid

CELL = 256  # pixels a side over which the scale of a projection counts as constant
SQUARE_METRES = 10_000  # of a hectare
_METHOD = "ellipsoidal ({}): {}"


class ClassAreas:
    """Pixels and hectares by class."""

    def __init__(self, grid: Grid, table: ClassTable) -> None:
        self._grid = grid
        self._table = table
        self._pixels = np.zeros(len(table.classes) + 1, dtype=np.int64)
        self._hectares = np.zeros(len(table.classes) + 1)
        crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
        self._geod = crs.get_geod() or pyproj.Geod(ellps="WGS84")
        self._to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs or "EPSG:4326", always_xy=True)
        self._geographic = crs.is_geographic
        self._to_radians = float(crs.axis_info[0].unit_conversion_factor)  # where the CRS is geographic

    def add(self, index: np.ndarray, row: int, col: int) -> None:
        """index (H, W): position in `table.classes`, their count where there is no data; `row`, `col` of its first
        pixel in the raster."""
        for rows, cols, hectares in self._cells(index.shape[0], index.shape[1], row, col):
            counts = np.bincount(index[rows, cols].ravel(), minlength=len(self._pixels))
            self._pixels += counts
            self._hectares += counts * hectares

    def _cells(self, height: int, width: int, row: int, col: int) -> Iterator[tuple[slice, slice, float]]:
        """Slices of the array in which all pixels are of one size, and that size in hectares."""
        if self._geographic:
            for i, hectares in enumerate(self._row_hectares(row, height)):
                yield slice(i, i + 1), slice(None), float(hectares)
            return
        for top in range(0, height, CELL):
            for left in range(0, width, CELL):
                rows, cols = min(CELL, height - top), min(CELL, width - left)
                hectares = self._cell_hectares(row + top, col + left, rows, cols)
                yield slice(top, top + rows), slice(left, left + cols), hectares

    def _row_hectares(self, row: int, height: int) -> np.ndarray:
        """Size of a pixel of each row in degrees: the ellipsoid's zone between two parallels, exactly."""
        transform, to_radians = self._grid.transform, self._to_radians
        edges = (transform.f + transform.e * np.arange(row, row + height + 1)) * to_radians
        zones = np.abs(np.diff(_zone(np.clip(edges, -np.pi / 2, np.pi / 2), self._geod.a, self._geod.es)))
        hectares: np.ndarray = zones * abs(transform.a) * to_radians / SQUARE_METRES
        return hectares

    def _cell_hectares(self, row: int, col: int, rows: int, cols: int) -> float:
        """Size of a pixel in a block of a projected raster: the geodesic polygon around the block, shared out."""
        transform = self._grid.transform
        corners = [(col, row), (col + cols, row), (col + cols, row + rows), (col, row + rows)]
        xs, ys = zip(*(transform * corner for corner in corners))
        longitudes, latitudes = self._to_degrees.transform(xs, ys)
        if not np.isfinite([longitudes, latitudes]).all():  # beyond what the projection can show of the ground
            return float(abs(transform.a * transform.e)) / SQUARE_METRES
        square_metres, _ = self._geod.polygon_area_perimeter(longitudes, latitudes)
        return float(abs(square_metres)) / (rows * cols) / SQUARE_METRES

    @property
    def predicted_pixels(self) -> int:
        return int(self._pixels[:-1].sum())

    def lines(self) -> list[str]:
        """The areas in words, a line a class."""
        total = self._hectares[:-1].sum()
        return [
            f"{entry.name}: {hectares:,.2f} ha ({100 * hectares / total if total else 0:.1f} %)"
            for entry, hectares in zip(self._table.classes, self._hectares)
        ]

    def to_plain(self) -> dict[str, Any]:
        """The JSON beside the map; shares are percent of the predicted area."""
        total = float(self._hectares[:-1].sum())
        by = "rows between parallels" if self._geographic else f"blocks of {CELL} x {CELL} pixels"
        return {
            "crs": self._grid.crs.to_string(),
            "method": _METHOD.format(self._geod.initstring, by),
            "unit": "hectare",
            "total": round(total, 4),
            "predicted_pixels": self.predicted_pixels,
            "nodata_pixels": int(self._pixels[-1]),
            "classes": [
                {
                    "value": entry.value,
                    "name": entry.name,
                    "color": entry.color,
                    "pixels": int(pixels),
                    "hectares": round(float(hectares), 4),
                    "share": round(100 * float(hectares) / total, 4) if total else 0.0,
                }
                for entry, pixels, hectares in zip(self._table.classes, self._pixels, self._hectares)
            ],
        }


def _zone(latitude: np.ndarray, semi_major: float, eccentricity_2: float) -> np.ndarray:
    """Square metres between the equator and `latitude`, a radian of longitude wide.

    Snyder, Map Projections: A Working Manual (USGS 1395, 1987), equation 3-12 times a^2 / 2.
    """
    sine: np.ndarray = np.sin(latitude)
    e = np.sqrt(eccentricity_2)
    logarithm = np.arctanh(e * sine) / e if e else sine
    zone: np.ndarray = semi_major**2 / 2 * (1 - eccentricity_2) * (sine / (1 - eccentricity_2 * sine**2) + logarithm)
    return zone
