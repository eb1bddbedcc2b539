"""From the pixels of files to the pixels of chips: type, units, nodata."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from ..contract.dataset import RAW_UNITS, REFLECTANCE, REFLECTANCE_NODATA, REFLECTANCE_RANGE


@dataclass(frozen=True)
class Encoding:
    """How pixels of `source_dtype` become chip pixels.

    `scale` 1 and `offset` 0 leave them as they are. Otherwise chips are int16 reflectance x 10000 = value x scale +
    offset, as with `reflectance` in any case. `source_nodata` None: the files declare none, and only NaN is no data.
    """

    source_dtype: str
    source_nodata: Optional[float]
    scale: float = 1.0
    offset: float = 0.0
    reflectance: bool = False

    @property
    def is_reflectance(self) -> bool:
        return self.reflectance or (self.scale, self.offset) != (1.0, 0.0)

    @property
    def is_float(self) -> bool:
        return np.dtype(self.source_dtype).kind == "f"

    @property
    def dtype(self) -> str:
        return "int16" if self.is_reflectance else self.source_dtype

    @property
    def units(self) -> str:
        return REFLECTANCE if self.is_reflectance else RAW_UNITS

    @property
    def fill(self) -> Optional[float]:
        """What a source pixel outside the imagery is read as; None when integers declare no nodata."""
        return math.nan if self.source_nodata is None and self.is_float else self.source_nodata

    @property
    def nodata(self) -> Optional[float]:
        """Nodata of the chips; None when they have none, so that nothing in them can be masked."""
        return float(REFLECTANCE_NODATA) if self.is_reflectance else self.fill

    @property
    def nodata_plain(self) -> Any:
        """Nodata as `dataset.json` holds it: "nan" for NaN, whole numbers without a fraction."""
        if self.nodata is None:
            return None
        if math.isnan(self.nodata):
            return "nan"
        return int(self.nodata) if self.nodata == int(self.nodata) else self.nodata

    def has_data(self, pixels: np.ndarray) -> np.ndarray:
        """True where a source pixel holds a value: neither nodata nor NaN."""
        data = ~np.isnan(pixels) if self.is_float else np.ones(pixels.shape, dtype=bool)
        if self.source_nodata is not None and not math.isnan(self.source_nodata):
            data &= pixels != np.dtype(self.source_dtype).type(self.source_nodata)
        return data

    def encode(self, pixels: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Chip pixels of source `pixels`, nodata where `data` is False, and True where a value was clamped."""
        if not self.is_reflectance:
            whole = pixels if data.all() else np.where(data, pixels, np.dtype(self.dtype).type(self.nodata))
            return whole, np.zeros(pixels.shape, dtype=bool)
        return to_reflectance(pixels, data, self.scale, self.offset)


def to_reflectance(pixels: np.ndarray, data: np.ndarray, scale: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """int16 reflectance x 10000 = `pixels` x `scale` + `offset`, nodata where `data` is False, and where a value was
    clamped to the range."""
    low, high = REFLECTANCE_RANGE
    values = np.rint(np.where(data, pixels, 0).astype(np.float64) * scale + offset)
    clamped: np.ndarray = data & ((values < low) | (values > high))
    return np.where(data, np.clip(values, low, high), REFLECTANCE_NODATA).astype(np.int16), clamped
