"""One chip: read, judged, written. Files are complete before its outcome is told."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
from rasterio.io import MemoryFile

from ..contract.classes import IGNORE_VALUE
from ..contract.dataset import IMAGE_FOLDER, LABEL_FOLDER, InputSpec
from ..contract.jobs import CreateChipsJob
from ..files import PART
from ..imagery.footprint import footprint_4326
from ..imagery.grid import Grid
from ..imagery.masks import clear_percent
from ..imagery.rasters import crs_text
from .index import ChipRow
from .labels import Burned
from .ledger import Outcome
from .plan import Candidate, PlannedScene, skipped_cell
from .sources import ChipSource, InputPixels, Unreadable

FEW_LABELS = "fewer labelled pixels than MIN_LABELS"
LITTLE_DATA = "less valid imagery than MIN_VALID"
CLOUDY = "more masked pixels than MAX_CHIP_CLOUD"


@dataclass(frozen=True)
class ChipMaker:
    """Makes the chips of one scene into `folder`. `has_labels` False: chips for prediction, without label files."""

    job: CreateChipsJob
    folder: Path
    scene: PlannedScene
    inputs: tuple[InputSpec, ...]
    source: ChipSource
    has_labels: bool

    def make(self, candidate: Candidate) -> Outcome:
        """Write the chip's files, or say why there is none.

        `valid` is the share of the chip's pixels that have data in all bands of every input at one timestep at least,
        before masks (pixels beyond the scene have none); `clear` the share of pixel-timesteps that are not masked.
        """
        burned = self.scene.labels.burn(candidate.cell.window)
        if self.has_labels:
            if self.job.placement == "grid" and not burned.painted and not burned.conflicts:
                return Outcome(candidate.name)
            if burned.labelled < self.job.min_labels:
                return self._skip(candidate, FEW_LABELS, f"{burned.labelled} of {self.job.min_labels}", burned)
        try:
            pixels = self.source.read(candidate.cell.window)
        except Unreadable as error:
            return self._skip(candidate, error.reason, str(error), burned)
        valid = float(100 * np.logical_and.reduce([one.data.all(axis=1).any(axis=0) for one in pixels]).mean())
        if valid < self.job.min_valid:
            return self._skip(candidate, LITTLE_DATA, f"{valid:.1f} % of {self.job.min_valid:g} %", burned)
        masks = [one.masked for one in pixels if one.masked is not None]
        clear = clear_percent(np.concatenate(masks)) if masks else 100.0
        if 100 - clear > self.job.max_chip_cloud:
            detail = f"{100 - clear:.1f} %, limit {self.job.max_chip_cloud:g} %"
            return self._skip(candidate, CLOUDY, detail, burned)
        row, clamped = self._write(candidate, pixels, burned, (valid, clear))
        return Outcome(candidate.name, chip=row, conflicts=burned.conflicts, clamped=clamped)

    def _skip(self, candidate: Candidate, reason: str, detail: str, burned: Burned) -> Outcome:
        row = skipped_cell(reason, candidate, self.scene.grid, detail)
        return Outcome(candidate.name, skipped=row, conflicts=burned.conflicts)

    def _write(
        self, candidate: Candidate, pixels: Sequence[InputPixels], burned: Burned, shares: tuple[float, float]
    ) -> tuple[ChipRow, int]:
        grid = self.scene.grid.window(candidate.cell.window)
        images: dict[str, str] = {}
        clamped = 0
        for spec, one in zip(self.inputs, pixels):
            images[spec.sensor] = f"{IMAGE_FOLDER}/{candidate.name}_{spec.sensor}.tif"
            stacked, lost = _without_masked(one, spec.nodata_value)
            clamped += lost
            names = band_descriptions(spec.bands, one.dates or [""] * spec.timesteps)
            content = geotiff(stacked.reshape(-1, grid.height, grid.width), grid, spec.nodata_value, names)
            _write_whole(self.folder / images[spec.sensor], content)
        label = f"{LABEL_FOLDER}/{candidate.name}.tif" if self.has_labels else ""
        if label:
            content = geotiff(burned.pixels[np.newaxis], grid, IGNORE_VALUE, ["class"])
            _write_whole(self.folder / label, content)
        values, counts = np.unique(burned.pixels[burned.pixels != IGNORE_VALUE], return_counts=True)
        row = ChipRow(
            chip=candidate.name,
            scene=self.scene.name,
            crs=crs_text(grid),
            transform=tuple(grid.transform[:6]),
            width=grid.width,
            height=grid.height,
            images=images,
            dates={spec.sensor: one.dates for spec, one in zip(self.inputs, pixels)},
            label_path=label,
            class_counts=dict(zip(values.tolist(), counts.tolist())),
            valid=shares[0],
            clear=shares[1],
            footprint=footprint_4326(grid),
            group=self.scene.group,
        )
        return row, clamped


def _without_masked(one: InputPixels, nodata: Optional[float]) -> tuple[np.ndarray, int]:
    """Values with nodata where masked, and how many of the others were clamped."""
    if one.masked is None or not one.masked.any():
        return one.values, int(np.count_nonzero(one.clamped))
    hidden = np.broadcast_to(one.masked[:, np.newaxis], one.values.shape)
    values = np.where(hidden, np.asarray(nodata).astype(one.values.dtype), one.values)
    return values, int(np.count_nonzero(one.clamped & ~hidden))


def _write_whole(path: Path, content: bytes) -> None:
    """Two workers of a cluster may write the same chip, so each writes a file of its own and renames it."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PART}")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


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
