"""Windows of a scene, read from its files; beyond the scene's edge they are filled with nodata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from types import TracebackType
from typing import Any, Optional

import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from ..contract.errors import InstaGeoError
from .encoding import Encoding
from .grid import Grid
from .masks import decode_mask
from .rasters import open_raster, read_failure
from .scenes import BandRef, Scene

WARP_ERROR = 0.001  # source pixels; GDAL's default of 0.125 picks a wrong neighbour now and then


def inner_window(window: Window, grid: Grid) -> Optional[Window]:
    """The part of `window` inside `grid`; None when there is none."""
    left, top = max(0, window.col_off), max(0, window.row_off)
    right = min(grid.width, window.col_off + window.width)
    bottom = min(grid.height, window.row_off + window.height)
    return Window(left, top, right - left, bottom - top) if right > left and bottom > top else None


def inner_slices(window: Window, inner: Window) -> tuple[slice, slice]:
    """Rows and columns of `inner` in an array of `window`."""
    row, col = int(inner.row_off - window.row_off), int(inner.col_off - window.col_off)
    return slice(row, row + int(inner.height)), slice(col, col + int(inner.width))


def open_on_grid(path: str, grid: Grid, resampling: str, nodata: Optional[float], stack: ExitStack) -> Any:
    """A raster open for reading as if it lay on `grid`; both are closed by `stack`."""
    raster = stack.enter_context(open_raster(path))
    warped = WarpedVRT(
        raster,
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        resampling=Resampling[resampling],
        src_nodata=nodata,
        nodata=nodata,
        tolerance=WARP_ERROR,
    )
    return stack.enter_context(warped)


class SceneReader:
    """The files of one scene, open while in a `with` block."""

    def __init__(self, scene: Scene, encoding: Encoding, resampling: str = "nearest") -> None:
        self._scene = scene
        self._encoding = encoding
        self._resampling = resampling
        self._stack = ExitStack()
        self._open: dict[str, DatasetReader] = {}

    def __enter__(self) -> SceneReader:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._open.clear()
        self._stack.close()

    def read(self, window: Window) -> np.ndarray:
        """(T, C, H, W) pixels in the type of the files, `Encoding.fill` (or 0) beyond the edge: see `inside`.

        Raises `InstaGeoError` for a file that cannot be read, and for a window beyond the edge when chips have no
        nodata to put there.
        """
        steps = self._scene.timesteps
        shape = (len(steps), len(steps[0].bands), int(window.height), int(window.width))
        inner = inner_window(window, self._scene.grid)
        if inner is not None and (inner.width, inner.height) == (window.width, window.height):
            pixels = np.empty(shape, self._encoding.source_dtype)
        else:
            if self._encoding.nodata is None:
                raise no_nodata_error(f"pixels beyond the edge of scene '{self._scene.name}' are needed")
            pixels = np.full(shape, self._encoding.fill or 0, self._encoding.source_dtype)
        if inner is None:
            return pixels
        rows, cols = inner_slices(window, inner)
        for t, step in enumerate(steps):
            for c, part in self._bands(step.bands, inner):
                pixels[t, c : c + len(part), rows, cols] = part
        return pixels

    def inside(self, window: Window) -> np.ndarray:
        """(H, W) True where a pixel of the window is on the scene."""
        on_scene = np.zeros((int(window.height), int(window.width)), dtype=bool)
        inner = inner_window(window, self._scene.grid)
        if inner is not None:
            on_scene[inner_slices(window, inner)] = True
        return on_scene

    def read_masks(self, window: Window) -> Optional[np.ndarray]:
        """(T, H, W) True where masked, never beyond the edge; None when the scene has no masks."""
        steps = self._scene.timesteps
        if not any(step.mask for step in steps):
            return None
        masked = np.zeros((len(steps), int(window.height), int(window.width)), dtype=bool)
        inner = inner_window(window, self._scene.grid)
        if inner is None:
            return masked
        rows, cols = inner_slices(window, inner)
        for t, step in enumerate(steps):
            values = _read(self._raster(step.mask, mask=True), step.mask, [1], inner)[0]
            masked[t, rows, cols] = decode_mask(values)
        return masked

    def _bands(self, refs: Sequence[BandRef], inner: Window) -> Iterator[tuple[int, np.ndarray]]:
        """Index of the first band, and bands, of each run of bands from one file."""
        for path, run in groupby(enumerate(refs), key=lambda item: item[1].path):
            members = list(run)
            numbers = [ref.number for _, ref in members]
            yield members[0][0], _read(self._raster(path, mask=False), path, numbers, inner)

    def _raster(self, path: str, mask: bool) -> DatasetReader:
        key = f"mask {path}" if mask else path
        if key not in self._open:
            if not self._scene.resampled:
                self._open[key] = self._stack.enter_context(open_raster(path))
            elif mask:
                self._open[key] = open_on_grid(path, self._scene.grid, "nearest", None, self._stack)
            else:
                fill = self._encoding.fill
                if fill is None:
                    raise no_nodata_error("another grid has pixels beyond their edge")
                self._open[key] = open_on_grid(path, self._scene.grid, self._resampling, fill, self._stack)
        return self._open[key]


def _read(raster: DatasetReader, path: str, numbers: Sequence[int], window: Window) -> np.ndarray:
    try:
        pixels: np.ndarray = raster.read(list(numbers), window=window)
    except RasterioError as error:
        raise InstaGeoError(
            f"{path} cannot be read ({read_failure(error)}).", "The file may be damaged; copy it again."
        ) from error
    return pixels


def no_nodata_error(purpose: str) -> InstaGeoError:
    """The error for integer rasters without a nodata value where one is needed."""
    return InstaGeoError(
        f"The rasters declare no nodata value, but {purpose}, and those become nodata in the chips.",
        "Set a nodata value that no pixel has (for example with 'Translate'), or choose a CHIP_SIZE the scene can "
        "hold, EDGE skip, no masks, and the imagery's own grid.",
    )
