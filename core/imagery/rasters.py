"""What a raster file is, read from its header: grid, bands, type, nodata, date."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from ..contract.errors import InstaGeoError, Problems
from .dates import acquisition_date
from .grid import Grid, grid_of

# Whoever silences a warning changes the filters of the whole process, which threads must not do at once.
WARNING_FILTERS = threading.Lock()
SAME_PIXEL = 1e-3  # pixels: corners closer than this are one place, since drivers store transforms as rounded text


@dataclass(frozen=True)
class RasterInfo:
    """The header of one raster. `descriptions` has "" for a band without one, `date` "" where none is known.

    `nodata` is None where the file declares none, or one its type cannot hold.
    """

    path: str
    grid: Grid
    dtype: str
    nodata: Optional[float]
    descriptions: tuple[str, ...]
    date: str

    @property
    def count(self) -> int:
        return len(self.descriptions)


def open_raster(path: str) -> DatasetReader:
    """Open a raster; raises `InstaGeoError` when it cannot be read as one."""
    try:
        with WARNING_FILTERS, warnings.catch_warnings():
            # A raster without a georeference gets its own message in `inspect_raster`.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path)
    except RasterioError as error:
        raise InstaGeoError(f"{path} cannot be read as a raster ({error}).") from error


def read_failure(error: RasterioError) -> str:
    """Why pixels cannot be read: GDAL's words, to which rasterio's own error only points."""
    return str(error.__cause__ or error).rstrip(".")


def inspect_raster(path: str) -> RasterInfo:
    """Read the header of `path`.

    Raises `InstaGeoError` for what is no raster, has no CRS or georeference, is rotated, or mixes types in its bands.
    """
    with open_raster(path) as raster:
        _check(path, raster)
        return RasterInfo(
            path=path,
            grid=grid_of(raster),
            dtype=str(raster.dtypes[0]),
            nodata=_usable_nodata(raster.nodata, str(raster.dtypes[0])),
            descriptions=tuple((text or "").strip() for text in raster.descriptions),
            date=raster_date(raster),
        )


def raster_date(raster: DatasetReader) -> str:
    """The acquisition date of an open raster, ISO, or empty; see `acquisition_date`."""
    return acquisition_date(raster.name, {**raster.tags(), **raster.tags(ns="IMAGERY")})


def inspect_rasters(paths: Iterable[str], subject: str) -> list[RasterInfo]:
    """The headers of all `paths`; raises one `InstaGeoError` that lists the problems of all."""
    problems = Problems(subject)
    infos = []
    for path in paths:
        try:
            infos.append(inspect_raster(path))
        except InstaGeoError as error:
            problems.add(str(error).replace("\n", " "))
    problems.raise_if_any()
    return infos


def _check(path: str, raster: DatasetReader) -> None:
    problems = Problems(path)
    transform = raster.transform
    if raster.count == 0:
        problems.add("it holds no bands of its own; choose one of its subdatasets.")
    if raster.crs is None:
        problems.add("it has no CRS; assign one with 'Assign projection'.")
    if transform.is_identity:
        problems.add("it is not georeferenced; georeference it first.")
    if transform.b != 0 or transform.d != 0:
        problems.add("its grid is rotated or sheared; expected rows that run along the CRS axes. Warp it first.")
    if len(set(raster.dtypes)) > 1:
        problems.add(f"its bands have the types {', '.join(sorted(set(raster.dtypes)))}; expected one type.")
    if any(str(dtype).startswith("complex") for dtype in raster.dtypes):
        problems.add("its values are complex numbers; expected real ones.")
    if len({str(value) for value in raster.nodatavals}) > 1:
        problems.add(f"its bands have the nodata values {', '.join(map(str, raster.nodatavals))}; expected one.")
    problems.raise_if_any()


def _usable_nodata(nodata: Any, dtype: str) -> Optional[float]:
    """The declared nodata if pixels of `dtype` can have it; a file may declare -9999 on bytes."""
    if nodata is None:
        return None
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return float(nodata)
    if not math.isfinite(nodata) or int(nodata) != nodata:
        return None
    limits = np.iinfo(kind)
    return float(nodata) if limits.min <= nodata <= limits.max else None


def same_nodata(one: Optional[float], other: Optional[float]) -> bool:
    """Whether two nodata values are one; NaN equals NaN."""
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


def same_grid(one: Grid, other: Grid) -> bool:
    """Whether two grids have the same pixels: CRS, shape, and corners within `SAME_PIXEL`."""
    if (one.width, one.height) != (other.width, other.height):
        return False
    offset = pixel_offset(one, other)
    return offset is not None and abs(offset[0]) <= SAME_PIXEL and abs(offset[1]) <= SAME_PIXEL


def pixel_offset(base: Grid, other: Grid) -> Optional[tuple[float, float]]:
    """Columns and rows from the origin of `base` to that of `other`; None when CRS or resolution differ."""
    a, b = base.transform, other.transform
    if abs(a.a - b.a) * other.width > SAME_PIXEL * abs(a.a) or abs(a.e - b.e) * other.height > SAME_PIXEL * abs(a.e):
        return None
    if base.crs != other.crs:
        return None
    return (b.c - a.c) / a.a, (b.f - a.f) / a.e


def describe_grid(grid: Grid) -> str:
    """A grid in one line for messages."""
    width, height = grid.resolution
    origin = f"{grid.transform.c:.10g}, {grid.transform.f:.10g}"
    size = f"{grid.width} x {grid.height} pixels of {width:.8g} x {height:.8g} {grid.resolution_unit}"
    return f"{crs_text(grid, short=True)}, {size}, origin {origin}"


def crs_text(grid: Grid, short: bool = False) -> str:
    """The CRS as an authority code when that code says exactly the same, else as WKT (`short`: its name)."""
    authority = grid.crs.to_authority(confidence_threshold=100)
    if authority:
        code = ":".join(authority)
        with suppress(RasterioError):
            if rasterio.crs.CRS.from_user_input(code) == grid.crs:
                return code
    wkt: str = grid.crs.to_wkt()
    return wkt.split('"')[1] if short else wkt
