"""Writing a chip dataset: it grows in `<OUTPUT>.part` and gets its name when it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from ..contract.dataset import DATASET_FILE, IMAGE_FOLDER, INDEX_FILE, LABEL_FOLDER, SKIPPED_LAYER, DatasetSpec
from ..contract.errors import DISK, InstaGeoError
from ..contract.serial import from_plain, to_json
from ..files import PART, check_writable, failures_named, remove
from .fingerprint import differences
from .index import ChipRow, SkippedRow, read_index, write_index


def is_finished(output: Path, parameters: Mapping[str, Any]) -> bool:
    """Whether `output` holds the very dataset that `parameters` make; False when it is free.

    Raises `InstaGeoError` for all else.
    """
    if not output.exists():
        return False
    if not output.is_dir():
        raise InstaGeoError(f"OUTPUT: {output} is a file; expected a folder.", "Choose another name.")
    path = output / DATASET_FILE
    if not path.is_file():
        if any(output.iterdir()):
            raise InstaGeoError(
                f"OUTPUT: the folder {output} is not empty and holds no chip dataset.", "Choose a new or empty folder."
            )
        return False
    try:
        stored = from_plain(DatasetSpec, json.loads(path.read_text(encoding="utf-8")), DATASET_FILE).parameters
    except ValueError as error:
        raise InstaGeoError(f"OUTPUT: {path} is damaged ({error}).", "Choose another folder.") from error
    differing = differences(stored, json.loads(json.dumps(parameters)))
    if differing:
        raise InstaGeoError(
            f"OUTPUT: found a dataset made with other parameters in {output}: {'; '.join(differing)}.",
            "Choose another folder, or delete this one to make it anew.",
        )
    return True


def make_folders(folder: Path, has_labels: bool) -> None:
    """Make the folders of a dataset's images and labels."""
    for name in (IMAGE_FOLDER, *([LABEL_FOLDER] if has_labels else [])):
        (folder / name).mkdir(parents=True, exist_ok=True)


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Yield an empty folder beside `output` to write to; it becomes `output`, which is absent or empty, when the body
    ends well, and is deleted otherwise. Raises `InstaGeoError` when it cannot be written."""
    check_writable(output)
    folder = output.with_name(output.name + PART)
    remove(folder)
    try:
        with failures_named(output):
            folder.mkdir(parents=True)
            yield folder
            finish(folder, output)
    finally:
        remove(folder)


def finish(folder: Path, output: Path) -> None:
    """Give a whole folder its name."""
    if output.is_dir():
        output.rmdir()  # an empty folder made for the output; not every system renames onto one
    os.replace(folder, output)


def write_truth(folder: Path, spec: DatasetSpec, chips: Sequence[ChipRow], skipped: Sequence[SkippedRow]) -> None:
    """Write `dataset.json` and `chips.gpkg`. Raises `InstaGeoError` when GDAL cannot write the index."""
    index = folder / INDEX_FILE
    for leftover in folder.glob(f"{INDEX_FILE}*"):
        leftover.unlink()
    try:
        write_index(index, chips, skipped)
    except (DataSourceError, DataLayerError) as error:
        raise InstaGeoError(
            f"{index} cannot be written ({str(error)[:200]}).",
            "Free some space on the disk, then run this again.",
            DISK,
        ) from error
    (folder / DATASET_FILE).write_text(to_json(spec, indent=1) + "\n", encoding="utf-8")


def dataset_outputs(output: Path) -> dict[str, Any]:
    """OUTPUT, INDEX, CHIP_COUNT and SKIPPED_COUNT of the dataset at `output`."""
    index = output / INDEX_FILE
    return {
        "OUTPUT": str(output),
        "INDEX": str(index),
        "CHIP_COUNT": len(read_index(index)),
        "SKIPPED_COUNT": int(pyogrio.read_info(index, layer=SKIPPED_LAYER)["features"]),
    }
