"""The files behind items, opened once each: their grids, their blocks, their pixels on any grid."""

from __future__ import annotations

import contextvars
import math
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from ..imagery.grid import Grid, grid_of
from ..imagery.rasters import SAME_PIXEL, read_failure
from ..imagery.reading import WARP_ERROR, inner_slices, inner_window
from .access import Access, ReadFailure, plain
from .remote import CLOSED, RemoteFile, RemoteStream, Span

T = TypeVar("T")
OPENING_THREADS = 8
FETCHING_THREADS = 16  # requests at a time: servers answer late, so that many wait at once
_KERNEL_PX = 3  # source pixels beyond the edge that resampling looks at
_ENVIRONMENT = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


@dataclass(frozen=True)
class Header:
    """What a file says of itself. `levels`: by how much each overview is coarser, finest first."""

    grid: Grid
    nodata: float | None
    levels: tuple[int, ...]


def _header_of(raster: DatasetReader) -> Header:
    return Header(grid_of(raster), raster.nodata, tuple(int(factor) for factor in raster.overviews(1)))


class Asset:
    """One raster file of an archive. Methods may be called by many threads; they take turns."""

    def __init__(self, href: str, remote: RemoteFile | None) -> None:
        self.href = href
        self._remote = remote
        self._lock = threading.Lock()
        self._streams: list[RemoteStream] = []
        self._raster: DatasetReader | None = None
        self._failure: Exception | None = None
        self._announced: list[Future[None]] = []
        self._header: Header | None = None
        self._blocks: dict[tuple[int, int, int], Span | None] = {}
        # rasterio keeps what belongs to an opener in context variables: opened, read and closed must be in one context.
        self._context = contextvars.copy_context()

    def close(self) -> None:
        self._alone(self._close)

    @property
    def header(self) -> Header:
        """Raises, as all methods, `ReadFailure` when the file cannot be read."""
        if self._header is None:
            self._header = self._alone(lambda: _header_of(self._opened()))
        return self._header

    def announce(self, prefetching: Future[None]) -> None:
        """`prefetch` is about to be called: reading waits for it, so that it asks for whole blocks and not for what
        GDAL happens to want first."""
        self._announced.append(prefetching)

    def _await_announced(self) -> None:
        waiting = list(self._announced)
        wait(waiting)
        self._announced = [one for one in self._announced if one not in waiting]

    def prefetch(self, windows: Iterable[Window], pool: Executor, level: int = 0) -> None:
        """Begin to fetch the blocks of windows in the pixels of the file, or of its overview `level` (from 1)."""
        if self._remote is None:
            return
        spans = self._alone(lambda: {span for window in windows for span in self._spans(window, level)})
        self._remote.prefetch(sorted(spans), pool)

    def needed(self, grid: Grid) -> Window | None:
        """What `read` reads of the file for `grid`; None when it has nothing there."""
        own = self.header.grid
        if _scale(own, grid) is not None:
            return inner_window(_covering(own, grid), own)
        west, south, east, north = transform_bounds(grid.crs, own.crs, *grid.bounds, densify_pts=21)
        (left, top), (right, bottom) = (~own.transform * corner for corner in ((west, north), (east, south)))
        col, row = math.floor(left) - _KERNEL_PX, math.floor(top) - _KERNEL_PX
        size = math.ceil(right) + _KERNEL_PX - col, math.ceil(bottom) + _KERNEL_PX - row
        return inner_window(Window(col, row, *size), own)

    def read(self, grid: Grid, resampling: str, fill: float) -> np.ndarray:
        """(H, W) pixels on `grid`, `fill` where the file has none, in the file's type (float32 where `fill` is NaN).

        Where the pixels of both coincide, or those of `grid` divide the file's evenly, nothing is resampled.
        """
        self._await_announced()
        return self._alone(lambda: self._read(grid, resampling, fill))

    def read_coarse(self, window: Window, factor: int) -> np.ndarray:
        """A window, in the file's own pixels, read from the overview that is `factor` times coarser (1: the file)."""
        self._await_announced()
        shape = (math.ceil(window.height / factor), math.ceil(window.width / factor))
        found: np.ndarray = self._alone(lambda: self._opened().read(1, window=window, out_shape=shape))
        return found

    def _alone(self, action: Callable[[], T]) -> T:
        """Do something with the file, with GDAL's failures named."""
        with self._lock:
            try:
                return self._context.run(action)
            except RasterioError as error:
                raise self._named(error) from error

    def _close(self) -> None:
        if self._raster is not None:
            self._raster.close()
            self._raster = None
        self._failure = ReadFailure(CLOSED)
        if self._remote is not None:
            self._remote.close()

    def _read(self, grid: Grid, resampling: str, fill: float) -> np.ndarray:
        raster = self._opened()
        own = grid_of(raster)
        scale = _scale(own, grid)
        if scale is not None:
            return _read_even(raster, own, grid, scale, fill)
        return _read_warped(raster, grid, resampling, fill)

    def _opened(self) -> DatasetReader:
        if self._failure is not None:
            raise self._failure
        if self._raster is None:
            try:
                with rasterio.Env(**_ENVIRONMENT):  # it costs more than to read a block, so it is entered once
                    self._raster = self._open()
                if self._raster.crs is None:
                    raise ReadFailure(f"{plain(self.href)}: it has no CRS")
            except RasterioError as error:
                self._failure = self._named(error)
                raise self._failure from error
            except ReadFailure as error:
                self._failure = error
                raise
        return self._raster

    def _open(self) -> DatasetReader:
        if self._remote is None:
            return rasterio.open(self.href)
        name = f"{uuid.uuid4().hex}.tif"  # one opener a name

        def opener(path: str, mode: str = "rb") -> RemoteStream:
            if not str(path).endswith(name) or self._remote is None:
                raise FileNotFoundError(path)
            self._streams.append(RemoteStream(self._remote))
            return self._streams[-1]

        return rasterio.open(name, opener=opener)

    def _named(self, error: RasterioError) -> Exception:
        """What the network said, if it is to blame, else GDAL's words."""
        for stream in self._streams:
            if stream.error is not None:
                blamed, stream.error = stream.error, None
                return blamed
        return ReadFailure(f"{plain(self.href)}: {read_failure(error)}")

    def _spans(self, window: Window, level: int) -> list[Span]:
        """Where the blocks of a window lie in the file; none where it is no TIFF."""
        raster = self._opened()
        factor = raster.overviews(1)[level - 1] if level else 1
        height, width = raster.block_shapes[0]
        left, top = int(window.col_off // factor // width), int(window.row_off // factor // height)
        right = math.ceil((window.col_off + window.width) / factor / width)
        bottom = math.ceil((window.row_off + window.height) / factor / height)
        found = [self._block(col, row, level) for row in range(top, bottom) for col in range(left, right)]
        return [span for span in found if span]

    def _block(self, col: int, row: int, level: int) -> Span | None:
        key = (col, row, level)
        if key not in self._blocks:
            self._blocks[key] = self._locate(col, row, level)
        return self._blocks[key]

    def _locate(self, col: int, row: int, level: int) -> Span | None:
        raster = self._opened()
        overview = level - 1 if level else None
        offset = raster.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", 1, overview)
        size = raster.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", 1, overview)
        return (int(offset), int(offset) + int(size)) if offset and size else None


def _scale(own: Grid, wanted: Grid) -> int | None:
    """How many pixels of `wanted` lie along one of `own`, where they divide it evenly; else None."""
    if own.crs != wanted.crs:
        return None
    a, b = own.transform, wanted.transform
    if a.b or a.d or a.e >= 0 or b.e >= 0:
        return None
    scale = round(a.a / b.a)
    tolerance = SAME_PIXEL * abs(b.a) / max(wanted.width, wanted.height)
    if scale < 1 or abs(a.a - scale * b.a) > scale * tolerance or abs(a.e - scale * b.e) > scale * tolerance:
        return None
    col, row = (b.c - a.c) / b.a, (b.f - a.f) / b.e
    return scale if max(abs(col - round(col)), abs(row - round(row))) <= SAME_PIXEL else None


def _position(own: Grid, wanted: Grid) -> tuple[int, int]:
    """Column and row of the upper-left pixel of `wanted`, in pixels of its size from the corner of `own`."""
    a, b = own.transform, wanted.transform
    return round((b.c - a.c) / b.a), round((b.f - a.f) / b.e)


def _covering(own: Grid, wanted: Grid) -> Window:
    """Pixels of `own` under `wanted`, which divides them evenly."""
    scale = _scale(own, wanted) or 1
    col, row = _position(own, wanted)
    left, top = col // scale, row // scale
    return Window(left, top, -(-(col + wanted.width) // scale) - left, -(-(row + wanted.height) // scale) - top)


def _read_even(raster: DatasetReader, own: Grid, wanted: Grid, scale: int, fill: float) -> np.ndarray:
    window = _covering(own, wanted)
    dtype = _type_for(raster, fill)
    coarse = np.full((int(window.height), int(window.width)), fill, dtype)
    inner = inner_window(window, own)
    if inner is not None:
        coarse[inner_slices(window, inner)] = raster.read(1, window=inner)
    if scale == 1:
        return coarse
    col, row = _position(own, wanted)
    fine = coarse.repeat(scale, axis=0).repeat(scale, axis=1)
    top, left = row - int(window.row_off) * scale, col - int(window.col_off) * scale
    return fine[top : top + wanted.height, left : left + wanted.width]


def _read_warped(raster: DatasetReader, wanted: Grid, resampling: str, fill: float) -> np.ndarray:
    nodata = raster.nodata if raster.nodata is not None else fill
    with WarpedVRT(
        raster,
        crs=wanted.crs,
        transform=wanted.transform,
        width=wanted.width,
        height=wanted.height,
        resampling=Resampling[resampling],
        src_nodata=nodata,
        nodata=nodata,
        tolerance=WARP_ERROR,
    ) as warped:
        pixels: np.ndarray = warped.read(1)
    pixels = pixels.astype(_type_for(raster, fill), copy=False)
    if nodata != fill and not (math.isnan(nodata) and math.isnan(fill)):
        pixels[pixels == nodata] = fill
    return pixels


def _type_for(raster: DatasetReader, fill: float) -> np.dtype[Any]:
    """The file's type, if it can hold `fill`."""
    own = np.dtype(raster.dtypes[0])
    if math.isnan(fill):
        return own if own.kind == "f" else np.dtype("float32")
    return np.promote_types(own, np.min_scalar_type(int(fill))) if own.kind in "iu" else own


class AssetStore:
    """The files in use. `spool` is a folder for what is fetched; it is emptied in the end."""

    def __init__(self, access: Access, spool: Path) -> None:
        self._access = access
        self._spool = spool
        self._lock = threading.Lock()
        self._assets: dict[str, Asset] = {}
        self._closed = False
        self.pool = ThreadPoolExecutor(FETCHING_THREADS, thread_name_prefix="instageo-fetch")
        # Opening waits for its turn at a file; what it waits for is fetched by the others, which wait for nobody.
        self.openers = ThreadPoolExecutor(OPENING_THREADS, thread_name_prefix="instageo-open")

    def __enter__(self) -> AssetStore:
        self._spool.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self.openers, self.pool):
            pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
        self.release(list(self._assets))
        for pool in (self.openers, self.pool):
            pool.shutdown(wait=True)
        for leftover in self._spool.iterdir():
            leftover.unlink()
        with suppress(OSError):
            self._spool.rmdir()

    def asset(self, href: str) -> Asset:
        """The file at `href`: a URL, a path, or anything GDAL opens."""
        with self._lock:
            if self._closed:
                raise ReadFailure(CLOSED)
            if href not in self._assets:
                self._assets[href] = Asset(href, self._remote(href))
            return self._assets[href]

    def release(self, hrefs: Iterable[str]) -> None:
        """These files are not needed any more."""
        with self._lock:
            gone = [self._assets.pop(href) for href in hrefs if href in self._assets]
        for asset in gone:
            asset.close()

    def _remote(self, href: str) -> RemoteFile | None:
        if urlsplit(href).scheme not in ("http", "https"):
            return None
        return RemoteFile(href, self._access, self._spool / uuid.uuid4().hex)
