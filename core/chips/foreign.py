"""Pixels and labels of other programs' files, as those of a chip dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from ..contract.classes import IGNORE_VALUE, LARGEST_CLASS_VALUE, ClassTable, table_from_sources
from ..contract.dataset import REFLECTANCE
from ..contract.jobs import INSTAGEO, ImportChipsJob
from ..contract.sensors import SENSORS
from ..imagery.encoding import Encoding
from ..imagery.grid import Grid, grid_of
from ..imagery.rasters import RasterInfo, open_raster, read_failure, same_grid

UNUSABLE_IMAGE, UNUSABLE_LABEL, OTHER_GRID = "image cannot be used", "label cannot be used", "label on another grid"
_HLS = "hls"
_REFLECTANCE_NODATA, _RADAR_NODATA = 0.0, -1.0  # of the instageo layout, where a file declares none


class Unusable(Exception):
    """A pair of files becomes no chip."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Pixels:
    """Values of an image as chips have them, where they are data, and how many were clamped or restored."""

    values: np.ndarray
    data: np.ndarray
    clamped: int = 0
    restored: int = 0


@dataclass(frozen=True)
class ForeignImages:
    """Images of one pixel type and of the job's sensor.

    Reflectance becomes int16 with nodata -9999, what radar and elevation measure float32 with NaN; `custom` values stay
    as they are unless SCALE or OFFSET say otherwise.
    """

    job: ImportChipsJob
    source_dtype: str

    @property
    def dtype(self) -> str:
        return "float32" if self._is_physical else self._encoding(None).dtype

    @property
    def units(self) -> str:
        sensor = SENSORS.get(self.job.sensor)
        return sensor.units if sensor else self._encoding(None).units

    def nodata_plain(self, declared: float | None) -> Any:
        """Nodata of the chips as `dataset.json` holds it."""
        return "nan" if self._is_physical else self._encoding(declared).nodata_plain

    def read(self, info: RasterInfo) -> Pixels:
        """The pixels of an image (bands, H, W). Raises `Unusable`."""
        pixels = _read(info.path, UNUSABLE_IMAGE)
        encoding = self._encoding(info.nodata)
        data = encoding.has_data(pixels)
        if self._is_physical:
            return Pixels(np.where(data, pixels, np.nan).astype(np.float32), data)
        restored = 0
        if self.job.sensor == _HLS and pixels.dtype == np.uint16:
            # HLS is int16, so what is larger was a negative value before it was written as uint16.
            restored = int(np.count_nonzero(data & (pixels > np.iinfo(np.int16).max)))
            pixels = pixels.view(np.int16)
        values, clamped = encoding.encode(pixels, data)
        return Pixels(values, data, int(np.count_nonzero(clamped)), restored)

    @property
    def _is_physical(self) -> bool:
        sensor = SENSORS.get(self.job.sensor)
        return sensor is not None and sensor.units != REFLECTANCE

    def _encoding(self, declared: float | None) -> Encoding:
        nodata = declared
        if nodata is None and self.job.format == INSTAGEO:
            nodata = _RADAR_NODATA if np.dtype(self.source_dtype).kind == "f" else _REFLECTANCE_NODATA
        reflectance = self.job.sensor in SENSORS and not self._is_physical
        return Encoding(self.source_dtype, nodata, self.job.scale, self.job.offset, reflectance)


@dataclass
class ForeignLabels:
    """Label files, and what is found in them: class values, and pixels whose value is in no row of the table."""

    table: ClassTable
    values: set[int] = field(default_factory=set)
    unknown: int = 0

    def read(self, path: Path, image: Grid) -> np.ndarray:
        """(H, W) int16 class values of the label file of an image with the grid `image`. Raises `Unusable`."""
        with _opened(path) as raster:
            if raster.count != 1:
                raise Unusable(UNUSABLE_LABEL, f"{path} has {raster.count} bands; expected 1.")
            if (raster.width, raster.height) != (image.width, image.height):
                found = f"{raster.width} x {raster.height} pixels; the image has {image.width} x {image.height}."
                raise Unusable(OTHER_GRID, f"{path} has {found}")
            if raster.crs is not None and not same_grid(grid_of(raster), image):
                raise Unusable(OTHER_GRID, f"{path} lies elsewhere than its image.")
            nodata = raster.nodata
        pixels = _read(str(path), UNUSABLE_LABEL)[0]
        labelled = np.isfinite(pixels) & (pixels >= 0)
        if nodata is not None:
            labelled &= pixels != nodata
        wrong = np.unique(pixels[labelled & ((pixels != np.rint(pixels)) | (pixels > LARGEST_CLASS_VALUE))])
        if wrong.size:
            listed = ", ".join(f"{value:g}" for value in wrong[:3])
            raise Unusable(
                UNUSABLE_LABEL, f"{path} has the values {listed}; expected whole numbers up to {LARGEST_CLASS_VALUE}."
            )
        return self._classes(np.where(labelled, pixels, IGNORE_VALUE).astype(np.int16))

    def _classes(self, found: np.ndarray) -> np.ndarray:
        """Class values of label values; those outside the table are ignored and counted."""
        present = np.unique(found[found != IGNORE_VALUE])
        if not self.table.entries:
            self.values.update(present.tolist())
            return found
        classes = np.full(found.shape, IGNORE_VALUE, dtype=np.int16)
        for value in present:
            if str(value) in {entry.source for entry in self.table.entries}:
                classes[found == value] = self.table.value_of(str(value))
        self.unknown += int(np.count_nonzero((found != IGNORE_VALUE) & (classes == IGNORE_VALUE)))
        return classes

    def class_table(self) -> ClassTable:
        """The table that was given, or the classes that were found."""
        return self.table if self.table.entries else table_from_sources(list(map(str, self.values)), numeric=True)


def _opened(path: Path) -> rasterio.io.DatasetReader:
    try:
        return open_raster(str(path))
    except Exception as error:
        raise Unusable(UNUSABLE_LABEL, str(error).partition("\n")[0]) from error


def _read(path: str, reason: str) -> np.ndarray:
    try:
        with open_raster(path) as raster:
            pixels: np.ndarray = raster.read()
    except RasterioError as error:
        raise Unusable(reason, f"{path} cannot be read ({read_failure(error)}).") from error
    return pixels
