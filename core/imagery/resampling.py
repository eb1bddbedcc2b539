"""Another grid than the imagery's own, only where the user asks for one."""

from __future__ import annotations

import math
from dataclasses import replace

import rasterio.crs
from affine import Affine
from rasterio.errors import RasterioError
from rasterio.warp import calculate_default_transform, transform_bounds

from ..contract.errors import InstaGeoError
from .grid import Grid
from .scenes import Scene

_SLACK = 1e-6  # pixels: an edge this near a grid line lies on it


def parse_crs(text: str) -> rasterio.crs.CRS:
    """CRS from WKT or an authority code; raises `InstaGeoError`."""
    try:
        return rasterio.crs.CRS.from_user_input(text)
    except (RasterioError, ValueError) as error:
        raise InstaGeoError(f"CRS '{text[:60]}' is not known; expected a code such as EPSG:32632.") from error


def regrid(scene: Scene, crs: str, resolution: float) -> Scene:
    """`scene` on the grid asked for: `crs` (empty: its own) and `resolution` in its units (0: the imagery's)."""
    return replace(scene, grid=snapped_grid(scene.native, parse_crs(crs) if crs else scene.native.crs, resolution))


def snapped_grid(source: Grid, crs: rasterio.crs.CRS, resolution: float) -> Grid:
    """The grid in `crs` that covers `source`, its lines on whole multiples of the resolution.

    Raises `InstaGeoError` when the source cannot be projected there.
    """
    try:
        if not resolution:
            default, _, _ = calculate_default_transform(source.crs, crs, source.width, source.height, *source.bounds)
            resolution = default.a
        west, south, east, north = transform_bounds(source.crs, crs, *source.bounds, densify_pts=21)
    except RasterioError as error:
        raise InstaGeoError(
            f"The imagery cannot be projected to {crs.to_string()[:60]} ({error}).", "Choose another CRS."
        ) from error
    if not all(math.isfinite(edge) for edge in (west, south, east, north)):
        raise InstaGeoError(f"The imagery lies outside the domain of {crs.to_string()[:60]}.", "Choose another CRS.")
    left, top = math.floor(west / resolution + _SLACK), math.ceil(north / resolution - _SLACK)
    right, bottom = math.ceil(east / resolution - _SLACK), math.floor(south / resolution + _SLACK)
    transform = Affine(resolution, 0.0, left * resolution, 0.0, -resolution, top * resolution)
    return Grid(crs, transform, max(1, right - left), max(1, top - bottom))
