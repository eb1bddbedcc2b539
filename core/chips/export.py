"""`exportchips`: a chip dataset to image and label files for other programs.

`instageo`: `chips/chip_*.tif`, `seg_maps/seg_map_*.tif`, and csv files with the columns Input and Label: `all.csv` and
one a split. `pairs`: `images/` and `labels/` with equal file names, and a list of names a split. Both have
`classes.csv`.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from ..contract.dataset import IMAGE_FOLDER, LABEL_FOLDER, REFLECTANCE, SPLITS, InputSpec
from ..contract.errors import InstaGeoError
from ..contract.jobs import INSTAGEO, ExportChipsJob
from ..contract.sensors import LINEAR_POWER
from ..imagery.grid import grid_of
from ..reporting import Reporter
from .chip_files import geotiff
from .dataset import ChipDataset, open_dataset
from .index import ChipRow
from .writing import new_folder

CLASSES_FILE = "classes.csv"
CLASS_COLUMNS = ("value", "name", "color")
CSV_COLUMNS = ("Input", "Label")
CHIP_PREFIX, LABEL_PREFIX = "chip_", "seg_map_"
_CHIPS, _LABELS = "chips", "seg_maps"
_NO_REFLECTANCE, _NO_POWER = 0, -1.0


def export_chips(job: ExportChipsJob, reporter: Reporter) -> dict[str, Any]:
    """Write the files; returns OUTPUT and CHIP_COUNT.

    Raises `InstaGeoError` for a folder that is not empty, a split without chips, and an input that is not there or,
    where the format holds one image a chip, not named.
    """
    dataset = open_dataset(job.dataset)
    chips = dataset.chips if job.split == "all" else dataset.part(job.split)
    if not chips:
        raise InstaGeoError(f"SPLIT: no chip of {dataset.folder} is in '{job.split}'.", "Split the chips first.")
    output = Path(job.output)
    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise InstaGeoError(f"OUTPUT: {output} is there and not empty.", "Choose a new or empty folder.")
    inputs = _chosen(dataset, job)
    with new_folder(output) as folder:
        if job.format == INSTAGEO:
            _write_instageo(dataset, chips, inputs[0], folder, reporter)
        else:
            _write_pairs(dataset, chips, inputs, folder, reporter)
        _write_classes(dataset, folder)
    reporter.progress(1, f"{len(chips)} chips")
    return {"OUTPUT": str(output), "CHIP_COUNT": len(chips)}


def _chosen(dataset: ChipDataset, job: ExportChipsJob) -> tuple[InputSpec, ...]:
    """The inputs to export."""
    inputs = dataset.spec.inputs
    names = ", ".join(spec.sensor for spec in inputs)
    if job.sensor:
        inputs = tuple(spec for spec in inputs if spec.sensor == job.sensor)
        if not inputs:
            raise InstaGeoError(f"SENSOR is '{job.sensor}'; the dataset has the inputs {names}.")
    if job.format == INSTAGEO and len(inputs) > 1:
        raise InstaGeoError(
            f"FORMAT instageo holds one image a chip; the dataset has the inputs {names}.", "Name one with SENSOR."
        )
    return inputs


@dataclass(frozen=True)
class _Encoded:
    """An image for the `instageo` layout; `lifted` values would have been read as nodata and are 1 now."""

    content: bytes
    lifted: int


def _write_instageo(
    dataset: ChipDataset, chips: Sequence[ChipRow], spec: InputSpec, folder: Path, reporter: Reporter
) -> None:
    (folder / _CHIPS).mkdir()
    labelled = [chip for chip in chips if chip.label_path]
    if labelled:
        (folder / _LABELS).mkdir()
    lifted = 0
    for done, chip in enumerate(chips):
        reporter.progress(done / len(chips), f"{done} of {len(chips)} chips")
        encoded = _instageo_image(dataset, chip, spec)
        lifted += encoded.lifted
        (folder / _chip_path(chip)).write_bytes(encoded.content)
        if chip.label_path:
            shutil.copyfile(dataset.folder / chip.label_path, folder / _label_path(chip))
    if lifted:
        reporter.log(f"{lifted} reflectances of 0 or less are 1, since 0 is nodata in this layout.", "warning")
    for name, part in [*_parts(chips), ("all", chips)]:
        rows = [(_chip_path(chip), _label_path(chip) if chip.label_path else "") for chip in part]
        columns = len(CSV_COLUMNS) if labelled else 1
        _write_csv(folder / f"{name}.csv", CSV_COLUMNS[:columns], [row[:columns] for row in rows])


def _instageo_image(dataset: ChipDataset, chip: ChipRow, spec: InputSpec) -> _Encoded:
    """Reflectance as uint16 with nodata 0, radar as float32 with nodata -1, everything else as it is."""
    path = dataset.folder / chip.images[spec.sensor]
    if spec.units not in (REFLECTANCE, LINEAR_POWER):
        return _Encoded(path.read_bytes(), 0)
    pixels = dataset.read_image(chip, spec)
    missing = np.isnan(pixels)
    with rasterio.open(path) as raster:
        grid, descriptions = grid_of(raster), raster.descriptions
    lifted = 0
    nodata = _NO_POWER
    if spec.units == REFLECTANCE:
        low = ~missing & (pixels < 1)
        lifted, nodata = int(low.sum()), _NO_REFLECTANCE
        pixels[low] = 1
    pixels[missing] = nodata
    kind = np.uint16 if spec.units == REFLECTANCE else np.float32
    stacked = pixels.astype(kind).reshape(spec.channels, chip.height, chip.width)
    return _Encoded(geotiff(stacked, grid, nodata, [text or "" for text in descriptions]), lifted)


def _chip_path(chip: ChipRow) -> str:
    return f"{_CHIPS}/{CHIP_PREFIX}{chip.chip}.tif"


def _label_path(chip: ChipRow) -> str:
    return f"{_LABELS}/{LABEL_PREFIX}{chip.chip}.tif"


def _write_pairs(
    dataset: ChipDataset, chips: Sequence[ChipRow], inputs: Sequence[InputSpec], folder: Path, reporter: Reporter
) -> None:
    names = {spec.sensor: IMAGE_FOLDER if len(inputs) == 1 else f"{IMAGE_FOLDER}_{spec.sensor}" for spec in inputs}
    for name in (*names.values(), *([LABEL_FOLDER] if any(chip.label_path for chip in chips) else [])):
        (folder / name).mkdir()
    for done, chip in enumerate(chips):
        reporter.progress(done / len(chips), f"{done} of {len(chips)} chips")
        for sensor, name in names.items():
            shutil.copyfile(dataset.folder / chip.images[sensor], folder / name / f"{chip.chip}.tif")
        if chip.label_path:
            shutil.copyfile(dataset.folder / chip.label_path, folder / LABEL_FOLDER / f"{chip.chip}.tif")
    for name, part in _parts(chips):
        (folder / f"{name}.txt").write_text("".join(f"{chip.chip}\n" for chip in part), encoding="utf-8")


def _parts(chips: Sequence[ChipRow]) -> list[tuple[str, list[ChipRow]]]:
    """The splits that have chips."""
    parts = [(split, [chip for chip in chips if chip.split == split]) for split in SPLITS]
    return [(split, part) for split, part in parts if part]


def _write_classes(dataset: ChipDataset, folder: Path) -> None:
    rows = [(entry.value, entry.name, entry.color) for entry in dataset.spec.class_table.classes]
    if rows:
        _write_csv(folder / CLASSES_FILE, CLASS_COLUMNS, rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
