"""One chip: read, judged, written. Files are complete before its outcome is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
from rasterio.io import MemoryFile

from ..contract.classes import IGNORE_VALUE
from ..contract.dataset import IMAGE_FOLDER, LABEL_FOLDER
from ..contract.jobs import CreateChipsJob
from ..imagery.encoding import Encoding
from ..imagery.footprint import footprint_4326
from ..imagery.grid import Grid
from ..imagery.masks import apply_strategy, clear_percent
from ..imagery.rasters import crs_text
from ..imagery.reading import SceneReader, no_nodata_error
from ..imagery.scenes import Scene
from .index import ChipRow
from .labels import Burned, SceneLabels
from .ledger import Outcome
from .plan import Candidate, skipped_cell

FEW_LABELS = "fewer labelled pixels than MIN_LABELS"
LITTLE_DATA = "less valid imagery than MIN_VALID"
CLOUDY = "more masked pixels than MAX_CHIP_CLOUD"


@dataclass(frozen=True)
class ChipMaker:
    """Makes the chips of one scene into `folder`. `has_labels` False: chips for prediction, without label files."""

    job: CreateChipsJob
    folder: Path
    scene: Scene
    bands: tuple[str, ...]
    encoding: Encoding
    labels: SceneLabels
    reader: SceneReader
    has_labels: bool

    def make(self, candidate: Candidate) -> Outcome:
        """Write the chip's files, or say why there is none.

        `valid` is the share of the chip's pixels that have data in all bands at one timestep at least, before masks
        (pixels beyond the scene have none); `clear` the share of pixel-timesteps that are not masked.
        """
        burned = self.labels.burn(candidate.cell.window)
        if self.has_labels:
            if self.job.placement == "grid" and not burned.painted and not burned.conflicts:
                return Outcome(candidate.name)
            if burned.labelled < self.job.min_labels:
                return self._skip(candidate, FEW_LABELS, f"{burned.labelled} of {self.job.min_labels}", burned)
        pixels = self.reader.read(candidate.cell.window)
        data = self.encoding.has_data(pixels) & self.reader.inside(candidate.cell.window)
        valid = float(100 * data.all(axis=1).any(axis=0).mean())
        if valid < self.job.min_valid:
            return self._skip(candidate, LITTLE_DATA, f"{valid:.1f} % of {self.job.min_valid:g} %", burned)
        masked = self._masked(candidate)
        clear = 100.0 if masked is None else clear_percent(masked)
        if 100 - clear > self.job.max_chip_cloud:
            detail = f"{100 - clear:.1f} %, limit {self.job.max_chip_cloud:g} %"
            return self._skip(candidate, CLOUDY, detail, burned)
        if masked is not None:
            data &= ~masked[:, np.newaxis]
        encoded, clamped = self.encoding.encode(pixels, data)
        row = self._write(candidate, encoded, burned, (valid, clear))
        return Outcome(candidate.name, chip=row, conflicts=burned.conflicts, clamped=clamped)

    def _skip(self, candidate: Candidate, reason: str, detail: str, burned: Burned) -> Outcome:
        row = skipped_cell(reason, candidate, self.scene.grid, detail)
        return Outcome(candidate.name, skipped=row, conflicts=burned.conflicts)

    def _masked(self, candidate: Candidate) -> Optional[np.ndarray]:
        masked = self.reader.read_masks(candidate.cell.window)
        if masked is None:
            return None
        if self.encoding.nodata is None and masked.any():
            raise no_nodata_error("MASK_RASTERS mask pixels")
        return apply_strategy(masked, self.job.mask_strategy)

    def _write(self, candidate: Candidate, pixels: np.ndarray, burned: Burned, shares: tuple[float, float]) -> ChipRow:
        grid = self.scene.grid.window(candidate.cell.window)
        image = f"{IMAGE_FOLDER}/{candidate.name}_{self.job.sensor}.tif"
        label = f"{LABEL_FOLDER}/{candidate.name}.tif" if self.has_labels else ""
        stacked = pixels.reshape(-1, grid.height, grid.width)
        names = band_descriptions(self.bands, [step.date for step in self.scene.timesteps])
        (self.folder / image).write_bytes(geotiff(stacked, grid, self.encoding.nodata, names))
        if label:
            (self.folder / label).write_bytes(geotiff(burned.pixels[np.newaxis], grid, IGNORE_VALUE, ["class"]))
        values, counts = np.unique(burned.pixels[burned.pixels != IGNORE_VALUE], return_counts=True)
        return ChipRow(
            chip=candidate.name,
            scene=self.scene.name,
            crs=crs_text(grid),
            transform=tuple(grid.transform[:6]),
            width=grid.width,
            height=grid.height,
            images={self.job.sensor: image},
            dates={self.job.sensor: self.scene.dates},
            label_path=label,
            class_counts=dict(zip(values.tolist(), counts.tolist())),
            valid=shares[0],
            clear=shares[1],
            footprint=footprint_4326(grid),
        )


def band_descriptions(bands: Sequence[str], dates: Sequence[str]) -> list[str]:
    """`<band> <ISO date>` of every timestep and band, oldest first; the band alone where the date is unknown."""
    return [f"{band} {date}".strip() for date in dates for band in bands]


def geotiff(pixels: np.ndarray, grid: Grid, nodata: Optional[float], descriptions: Sequence[str]) -> bytes:
    """A deflate-compressed GeoTIFF of (bands, H, W).

    Made in memory, since a full disk shows in writing a Python file and may not in GDAL's closing of one.
    """
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": pixels.dtype.name,
        "count": pixels.shape[0],
        "height": grid.height,
        "width": grid.width,
        "crs": grid.crs,
        "transform": grid.transform,
        "nodata": nodata,
        "compress": "deflate",
        "predictor": 3 if pixels.dtype.kind == "f" else 2,
        "interleave": "band",
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as raster:
            raster.write(pixels)
            raster.descriptions = tuple(descriptions)
        content: bytes = memory.read()
    return content
