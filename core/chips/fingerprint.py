"""What a dataset was made from: the parameters and inputs that must be the same for a run to resume."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ..contract.jobs import CreateChipsJob
from ..contract.serial import to_plain
from .vectors import Layer

_NOT_COMPARED = ("output", "report", "labels_layer", "scheduler")
_PUBLIC_NAMES = {"labels": "INPUT", "files": "the input files", "sensors": "SENSOR", "masks": "MASK"}


def parameters_of(job: CreateChipsJob, labels: Optional[Layer], area: Optional[Layer]) -> dict[str, Any]:
    """Every parameter that shapes the dataset, as plain values.

    Vector inputs stand by content (QGIS exports them to temporary files), rasters by path, size and time of change.
    """
    plain: dict[str, Any] = {name: value for name, value in to_plain(job).items() if name not in _NOT_COMPARED}
    plain.update(plain.pop("archive"))
    plain["labels"] = labels.digest() if labels else ""
    plain["area"] = area.digest() if area else ""
    paths = (*job.rasters, *(e.file for e in job.raster_table), *job.mask_rasters, *job.label_rasters)
    plain["files"] = [_file_record(path) for path in dict.fromkeys(paths)]
    return plain


def _file_record(path: str) -> dict[str, Any]:
    """A file's size in bytes and time of change in nanoseconds; None for what is no local file."""
    try:
        found = os.stat(path)
    except OSError:
        return {"file": path, "size": None, "modified": None}
    return {"file": path, "size": found.st_size, "modified": found.st_mtime_ns}


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Public names of the parameters that differ, each with both values where they are short."""
    found = []
    for name in sorted({*stored, *wanted}):
        old, new = stored.get(name), wanted.get(name)
        if old == new:
            continue
        public = _PUBLIC_NAMES.get(name, name.upper())
        if name == "files":
            found.append(f"{public} ({', '.join(_changed_files(old or [], new or []))})")
        elif all(isinstance(v, (int, float, str)) and len(str(v)) < 40 for v in (old, new)):
            found.append(f"{public} ({old}, now {new})")
        else:
            found.append(public)
    return found


def _changed_files(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> list[str]:
    before = {record["file"]: record for record in old}
    after = {record["file"]: record for record in new}
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    return [*changed[:3], *([f"and {len(changed) - 3} more"] if len(changed) > 3 else [])]
