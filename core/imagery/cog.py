"""Writing Cloud Optimized GeoTIFFs: raw values first, in any order of rows, then the COG made from them.

The draft is a raw file and not a GeoTIFF because libtiff 4.7 may never return from closing one on a full disk.
"""

from __future__ import annotations

# XML is written here, never parsed.
import xml.etree.ElementTree as ET  # nosec B405
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # what rasterio.shutil.copy raises; it has no public name
from rasterio.errors import RasterioError

from ..contract.classes import ClassTable
from ..contract.errors import DISK, InstaGeoError
from ..contract.version import SOFTWARE
from .grid import Grid
from .xml_text import in_xml

BLOCK = 512
LARGEST_BYTE_CLASS = 254
PERCENT_NODATA = 255
_GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16"}


@dataclass(frozen=True)
class Layout:
    """What a raster holds: name of each band, data type (uint8 or uint16) and nodata; colours as (red, green, blue) and
    metadata of the first band; `overviews` is GDAL's resampling for them."""

    grid: Grid
    bands: tuple[str, ...]
    dtype: str
    nodata: int
    overviews: str
    colors: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""

    @property
    def raw_bytes(self) -> int:
        return self.grid.width * self.grid.height * len(self.bands) * np.dtype(self.dtype).itemsize


def class_layout(grid: Grid, table: ClassTable) -> Layout:
    """A class map: uint8 with nodata 255, or uint16 with nodata 65535 for class values above 254.

    It has a colour table, and class names as `CLASS_<value>` in its band's metadata.
    """
    dtype, nodata = ("uint8", 255) if max(table.values) <= LARGEST_BYTE_CLASS else ("uint16", 65535)
    return Layout(
        grid,
        ("class",),
        dtype,
        nodata,
        "NEAREST",
        colors={entry.value: _rgb(entry.color) for entry in table.classes},
        tags={f"CLASS_{entry.value}": entry.name for entry in table.classes},
    )


def percent_layout(grid: Grid, bands: Sequence[str]) -> Layout:
    """Whole percent, nodata 255."""
    return Layout(grid, tuple(bands), "uint8", PERCENT_NODATA, "AVERAGE", unit="percent")


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


class Draft:
    """A raster in the making, at `path` (raw values, band after band). A context manager: afterwards it is deleted."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self._dtype = np.dtype(layout.dtype).newbyteorder("<")
        with disk_errors(path):
            self._file = path.open("wb")

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # what it still held goes with it
            self._file.close()
        self.path.unlink(missing_ok=True)
        self._description.unlink(missing_ok=True)

    @property
    def _description(self) -> Path:
        return self.path.with_suffix(".vrt")

    def write(self, row: int, col: int, values: np.ndarray) -> None:
        """Place values (bands, rows, columns) at raster row `row`, column `col`.

        Raises `InstaGeoError` when the disk does not take them.
        """
        grid = self.layout.grid
        with disk_errors(self.path):
            for band, rows in enumerate(np.ascontiguousarray(values, dtype=self._dtype)):
                first = (band * grid.height + row) * grid.width + col
                for i, line in enumerate([rows] if values.shape[2] == grid.width else rows):
                    self._file.seek((first + i * grid.width) * self._dtype.itemsize)
                    self._file.write(line.data)

    def finish(self, target: Path) -> None:
        """Make the COG at `target`: deflate, blocks of 512 pixels, overviews.

        It is read once in full, since GDAL does not report a disk that fills up while a file is closed. Raises
        `InstaGeoError`.
        """
        with disk_errors(target):
            self._file.close()
            self._description.write_text(_vrt(self.layout, self.path.name), encoding="utf-8")
            rasterio.shutil.copy(
                self._description,
                target,
                driver="COG",
                COMPRESS="DEFLATE",
                BLOCKSIZE=BLOCK,
                OVERVIEW_RESAMPLING=self.layout.overviews,
                NUM_THREADS="ALL_CPUS",
                BIGTIFF="IF_SAFER",
            )
            with rasterio.open(target) as raster:
                for band in raster.indexes:
                    raster.checksum(band)


def _vrt(layout: Layout, raw: str) -> str:
    """GDAL's description of the raw file beside it."""
    grid, size = layout.grid, np.dtype(layout.dtype).itemsize
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    ET.SubElement(root, "SRS").text = grid.crs.to_wkt(version="WKT2_2018")
    ET.SubElement(root, "GeoTransform").text = ", ".join(repr(float(v)) for v in grid.transform.to_gdal())
    _add_metadata(root, {"TIFFTAG_SOFTWARE": SOFTWARE})
    for i, name in enumerate(layout.bands):
        band = ET.SubElement(
            root, "VRTRasterBand", dataType=_GDAL_TYPES[layout.dtype], band=str(i + 1), subClass="VRTRawRasterBand"
        )
        ET.SubElement(band, "Description").text = in_xml(name)
        ET.SubElement(band, "UnitType").text = layout.unit
        ET.SubElement(band, "NoDataValue").text = str(layout.nodata)
        if layout.colors:
            _add_colors(band, layout.colors)
        _add_metadata(band, layout.tags)
        ET.SubElement(band, "SourceFilename", relativeToVRT="1").text = raw
        ET.SubElement(band, "ImageOffset").text = str(i * grid.width * grid.height * size)
        ET.SubElement(band, "PixelOffset").text = str(size)
        ET.SubElement(band, "LineOffset").text = str(grid.width * size)
        ET.SubElement(band, "ByteOrder").text = "LSB"
    return ET.tostring(root, encoding="unicode")


def _add_metadata(parent: ET.Element, tags: Mapping[str, str]) -> None:
    metadata = ET.SubElement(parent, "Metadata")
    for key, value in tags.items():
        ET.SubElement(metadata, "MDI", key=key).text = in_xml(value)


def _add_colors(band: ET.Element, colors: Mapping[int, tuple[int, int, int]]) -> None:
    ET.SubElement(band, "ColorInterp").text = "Palette"
    table = ET.SubElement(band, "ColorTable")
    for value in range(max(colors) + 1):
        red, green, blue = colors.get(value, (0, 0, 0))
        ET.SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4="255")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of writing `path` into an `InstaGeoError` about the disk."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise InstaGeoError(
            f"{path.parent} cannot take the output ({error}).",
            "The disk is perhaps full or gone: free some space, or choose another place.",
            DISK,
        ) from error
