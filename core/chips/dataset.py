"""Reading a chip dataset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from ..contract.dataset import DATASET_FILE, INDEX_FILE, DatasetSpec, InputSpec
from ..contract.errors import InstaGeoError, Problems
from ..contract.serial import from_plain
from ..imagery.rasters import read_failure
from .index import ChipRow, read_index

_REMEDY = "Choose a folder made by 'Create chips', or create the chips again."


@dataclass(frozen=True)
class ChipDataset:
    """An opened dataset: what it is, and the chips its index lists."""

    folder: Path
    spec: DatasetSpec
    chips: tuple[ChipRow, ...]

    @property
    def index_path(self) -> Path:
        return self.folder / INDEX_FILE

    def part(self, split: str, fold: int = -1) -> tuple[ChipRow, ...]:
        """Chips of a split. With `fold` >= 0 that fold is "test", the next one "val", all others "train"."""
        if fold < 0:
            return tuple(c for c in self.chips if c.split == split)
        folds = 1 + max(c.fold for c in self.chips)
        validation = (fold + 1) % folds
        parts = {"test": {fold}, "val": {validation}, "train": set(range(folds)) - {fold, validation}}
        return tuple(c for c in self.chips if c.fold in parts[split])

    def read_image(self, chip: ChipRow, spec: InputSpec) -> np.ndarray:
        """(T, C, H, W) float32 in the input's units, NaN where there is no data. Raises `InstaGeoError`."""
        pixels = self._read(chip, chip.images.get(spec.sensor, ""), spec.channels).astype(np.float32)
        if spec.nodata_value is not None:
            pixels[pixels == np.float32(spec.nodata_value)] = np.nan
        return pixels.reshape(spec.timesteps, len(spec.bands), chip.height, chip.width)

    def read_images(self, chip: ChipRow) -> list[np.ndarray]:
        """One array an input, in the order of `spec.inputs`."""
        return [self.read_image(chip, spec) for spec in self.spec.inputs]

    def read_label(self, chip: ChipRow) -> np.ndarray:
        """(H, W) int16 class values, `spec.ignore_value` where there is no label. Raises `InstaGeoError`."""
        label: np.ndarray = self._read(chip, chip.label_path, 1)[0].astype(np.int16)
        return label

    def _read(self, chip: ChipRow, relative: str, bands: int) -> np.ndarray:
        path = self.folder / relative
        try:
            with rasterio.open(path) as raster:
                pixels: np.ndarray = raster.read()
        except rasterio.errors.RasterioError as error:
            raise InstaGeoError(f"Chip {chip.chip}: {path} cannot be read ({read_failure(error)}).", _REMEDY) from error
        if pixels.shape != (bands, chip.height, chip.width):
            raise InstaGeoError(
                f"Chip {chip.chip}: {path} has {pixels.shape[0]} bands of {pixels.shape[2]} x {pixels.shape[1]} "
                f"pixels; the dataset says {bands} of {chip.width} x {chip.height}.",
                _REMEDY,
            )
        return pixels


def open_dataset(folder: str | Path) -> ChipDataset:
    """Open the dataset in `folder`.

    Raises `InstaGeoError` when a file is missing or damaged, when there are no chips, or when chips lack their files:
    all of it in one message.
    """
    folder = Path(folder)
    path = folder / DATASET_FILE
    if not path.is_file():
        raise InstaGeoError(f"{folder} is not a chip dataset: it holds no {DATASET_FILE}.", _REMEDY)
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InstaGeoError(f"{path} is damaged ({error}).", _REMEDY) from error
    spec = from_plain(DatasetSpec, plain, DATASET_FILE)
    chips = tuple(read_index(folder / INDEX_FILE))
    if not chips:
        raise InstaGeoError(f"The chip dataset {folder} is empty: its index lists no chips.", _REMEDY)
    _check_files(folder, chips)
    return ChipDataset(folder, spec, chips)


def _check_files(folder: Path, chips: Sequence[ChipRow], shown: int = 5) -> None:
    wanted = [path for chip in chips for path in (*chip.images.values(), chip.label_path) if path]
    missing = [path for path in wanted if not (folder / path).is_file()]
    problems = Problems(f"Chip dataset {folder}", "Restore the files, or delete the chips' rows in chips.gpkg.")
    for path in missing[:shown]:
        problems.add(f"{path} is missing.")
    if len(missing) > shown:
        problems.add(f"and {len(missing) - shown} more files are missing.")
    problems.raise_if_any()
