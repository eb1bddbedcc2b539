"""The grid of a raster: CRS, affine transform and shape as one value."""

from __future__ import annotations

from dataclasses import dataclass

import pyproj
import rasterio.crs
import rasterio.warp
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.windows import Window


@dataclass(frozen=True)
class Grid:
    """Pixels on the ground. `transform` maps (column, row) of a pixel's upper-left corner to CRS coordinates."""

    crs: rasterio.crs.CRS
    transform: Affine
    width: int
    height: int

    @property
    def resolution(self) -> tuple[float, float]:
        """Width and height of a pixel in CRS units, both positive."""
        return abs(self.transform.a), abs(self.transform.e)

    @property
    def resolution_unit(self) -> str:
        return "degree" if self.crs.is_geographic else "metre"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in the CRS."""
        xs, ys = zip(*(self.transform * corner for corner in self._corners()))
        return min(xs), min(ys), max(xs), max(ys)

    def _corners(self) -> tuple[tuple[int, int], ...]:
        return (0, 0), (self.width, 0), (self.width, self.height), (0, self.height)

    def window(self, window: Window) -> Grid:
        """The part of this grid in `window`, which may reach beyond it. Pixel corners stay exact to the last bit
        where the offsets are whole numbers."""
        a, b, c, d, e, f = self.transform[:6]
        col, row = window.col_off, window.row_off
        moved = Affine(a, b, c + a * col + b * row, d, e, f + d * col + e * row)
        return Grid(self.crs, moved, int(window.width), int(window.height))

    @property
    def full_window(self) -> Window:
        return Window(0, 0, self.width, self.height)


def grid_of(raster: DatasetReader) -> Grid:
    """The grid of an open raster."""
    return Grid(raster.crs, raster.transform, raster.width, raster.height)


def pixel_metres(grid: Grid) -> tuple[float, float]:
    """Width and height of a pixel in metres, of degrees at the grid's centre."""
    width, height = grid.resolution
    if grid.resolution_unit == "metre":
        return width, height
    east, north = metres_per_degree(centre_latitude(grid))
    return width * east, height * north


def centre_latitude(grid: Grid) -> float:
    """Degrees north of the middle of a grid."""
    centre = grid.transform * (grid.width / 2, grid.height / 2)
    to_degrees = pyproj.Transformer.from_crs(grid.crs.to_wkt(), "EPSG:4326", always_xy=True)
    return float(to_degrees.transform(*centre)[1])


def metres_per_degree(latitude: float) -> tuple[float, float]:
    """Of longitude and of latitude, on WGS 84."""
    geod = pyproj.Geod(ellps="WGS84")
    east = geod.line_length([0.0, 0.001], [latitude, latitude]) * 1000
    north = geod.line_length([0.0, 0.0], [latitude - 0.0005, latitude + 0.0005]) * 1000
    return east, north
