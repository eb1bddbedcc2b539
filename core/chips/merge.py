"""`mergechips`: several chip datasets of one kind to one."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..contract.classes import ClassEntry, ClassTable
from ..contract.dataset import IMAGE_FOLDER, LABEL_FOLDER, DatasetSpec
from ..contract.errors import Problems
from ..contract.jobs import MergeChipsJob
from ..contract.version import SOFTWARE
from ..reporting import Reporter
from .dataset import ChipDataset, open_dataset
from .ground import ground_groups
from .index import ChipRow, SkippedRow, read_skipped_rows
from .writing import dataset_outputs, is_finished, make_folders, new_folder, write_truth

_SAME_RESOLUTION = 1e-6  # relative; transforms are stored as rounded text


def merge_chips(job: MergeChipsJob, reporter: Reporter) -> dict[str, Any]:
    """Copy the chips of all datasets into a new one; returns OUTPUT, INDEX, CHIP_COUNT, SKIPPED_COUNT.

    Splits and folds stay when all datasets have them and no labelled ground is in two parts. Raises `InstaGeoError`
    that lists every difference between datasets that cannot be one.
    """
    output = Path(job.output)
    datasets = [open_dataset(_folder(path)) for path in job.datasets]
    _check_one_kind(datasets)
    parameters = {
        "kind": job.kind,
        "datasets": [_record(dataset) for dataset in datasets],
        "made_with": [dataset.spec.parameters for dataset in datasets],
    }
    if is_finished(output, parameters):
        reporter.log(f"{output} was made of the same datasets before; nothing to do.")
    else:
        with new_folder(output) as folder:
            _merge(datasets, parameters, folder, reporter)
        reporter.artifact("OUTPUT", str(output))
    outputs = dataset_outputs(output)
    reporter.progress(1, f"{outputs['CHIP_COUNT']} chips")
    return outputs


def _folder(path: str) -> Path:
    """A dataset may be named by its folder or by a file in it."""
    found = Path(path)
    return found.parent if found.is_file() else found


def _record(dataset: ChipDataset) -> dict[str, Any]:
    """What tells whether a dataset is still the same: its index is edited in QGIS."""
    rows = [dataclasses.astuple(chip) for chip in dataset.chips]
    return {"folder": str(dataset.folder), "index": hashlib.sha256(repr(rows).encode()).hexdigest()}


def _check_one_kind(datasets: Sequence[ChipDataset]) -> None:
    """Raises `InstaGeoError` that lists what differs from the first dataset."""
    first = datasets[0]
    problems = Problems("Merge chips", "Make the datasets with the same parameters.")
    folders = Counter(dataset.folder.resolve() for dataset in datasets)
    for folder, count in folders.items():
        if count > 1:
            problems.add(f"{folder} is named {count} times.")
    for other in datasets[1:]:
        for difference in _differences(first.spec, other.spec):
            problems.add(f"{other.folder} has {difference} in {first.folder}.")
    problems.raise_if_any()
    _merged_classes(datasets)


def _differences(first: DatasetSpec, other: DatasetSpec) -> list[str]:
    """Each as `this, but that`."""
    found = []
    for name in ("task", "chip_size", "resolution_unit", "ignore_value"):
        mine, theirs = getattr(first, name), getattr(other, name)
        if mine != theirs:
            found.append(f"{name.replace('_', ' ')} {theirs}, but {mine}")
    if any(abs(a - b) > _SAME_RESOLUTION * a for a, b in zip(first.resolution, other.resolution)):
        found.append(f"pixels of {_size(other)}, but of {_size(first)}")
    mine_by_name, theirs_by_name = ({spec.sensor: spec for spec in one.inputs} for one in (first, other))
    if list(mine_by_name) != list(theirs_by_name):
        return [*found, f"the inputs {', '.join(theirs_by_name)}, but {', '.join(mine_by_name)}"]
    for sensor, spec in mine_by_name.items():
        for field in dataclasses.fields(spec):
            mine, theirs = getattr(spec, field.name), getattr(theirs_by_name[sensor], field.name)
            if mine != theirs:
                found.append(f"input {sensor} with {field.name} {_shown(theirs)}, but {_shown(mine)}")
    return found


def _size(spec: DatasetSpec) -> str:
    return f"{spec.resolution[0]:.9g} x {spec.resolution[1]:.9g} {spec.resolution_unit}"


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _merged_classes(datasets: Sequence[ChipDataset]) -> ClassTable:
    """All classes; raises `InstaGeoError` when a source value, or a class value, means two things."""
    problems = Problems("Merge chips: classes differ", "Give the same CLASS_TABLE when making the datasets.")
    entries: dict[str, tuple[ClassEntry, Path]] = {}
    names: dict[int, tuple[str, Path]] = {}
    for dataset in datasets:
        for entry in dataset.spec.class_table.entries:
            known, where = entries.setdefault(entry.source, (entry, dataset.folder))
            if known.value != entry.value:
                problems.add(
                    f"'{entry.source}' is class {known.value} in {where}, but {entry.value} in {dataset.folder}."
                )
            name, where = names.setdefault(entry.value, (entry.name, dataset.folder))
            if name != entry.name:
                problems.add(f"class {entry.value} is '{name}' in {where}, but '{entry.name}' in {dataset.folder}.")
    problems.raise_if_any()
    return ClassTable(tuple(entry for entry, _ in entries.values()))


def _merge(datasets: Sequence[ChipDataset], parameters: dict[str, Any], folder: Path, reporter: Reporter) -> None:
    make_folders(folder, any(chip.label_path for dataset in datasets for chip in dataset.chips))
    chips: list[ChipRow] = []
    skipped: list[SkippedRow] = []
    names: set[str] = set()
    total = sum(len(dataset.chips) for dataset in datasets)
    for dataset in datasets:
        skipped += read_skipped_rows(dataset.index_path)
        for chip in dataset.chips:
            reporter.progress(0.8 * len(chips) / total, f"{len(chips)} of {total} chips")
            row = _renamed(chip, free_name(chip.chip, names))
            _copy(dataset.folder, chip, folder, row)
            chips.append(row)
    spec = _merged_spec(datasets, parameters)
    reason = _why_no_splits(datasets, ChipDataset(folder, spec, tuple(chips)), reporter)
    if reason:
        reporter.log(f"The splits are left out, since {reason}: run Split chips on the merged dataset.", "warning")
        chips = [dataclasses.replace(chip, split="", fold=-1) for chip in chips]
    write_truth(folder, spec, chips, skipped)


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, with _2, _3 ... when it is taken; it is taken now."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _renamed(chip: ChipRow, name: str) -> ChipRow:
    images = {sensor: f"{IMAGE_FOLDER}/{name}_{sensor}.tif" for sensor in chip.images}
    label = f"{LABEL_FOLDER}/{name}.tif" if chip.label_path else ""
    return dataclasses.replace(chip, chip=name, images=images, label_path=label)


def _copy(source: Path, chip: ChipRow, target: Path, row: ChipRow) -> None:
    for sensor, path in chip.images.items():
        shutil.copyfile(source / path, target / row.images[sensor])
    if chip.label_path:
        shutil.copyfile(source / chip.label_path, target / row.label_path)


def _merged_spec(datasets: Sequence[ChipDataset], parameters: dict[str, Any]) -> DatasetSpec:
    counts: Counter[str] = Counter()
    for dataset in datasets:
        counts.update(dataset.spec.counts)
    return dataclasses.replace(
        datasets[0].spec,
        class_table=_merged_classes(datasets),
        parameters=parameters,
        sources=tuple(source for dataset in datasets for source in dataset.spec.sources),
        software=SOFTWARE,
        counts=dict(counts),
    )


def _why_no_splits(datasets: Sequence[ChipDataset], merged: ChipDataset, reporter: Reporter) -> str:
    """Why the splits of the datasets cannot stay in the merged one; empty when they can, or when there are none."""
    split = [any(chip.split for chip in dataset.chips) for dataset in datasets]
    if not any(split):
        return ""
    if not all(split):
        return f"{datasets[split.index(False)].folder} has none"
    folds = {max(chip.fold for chip in dataset.chips) for dataset in datasets}
    if len(folds) > 1:
        return "the datasets differ in their number of folds"
    ground = ground_groups(merged, merged.chips, reporter)
    parts = {(group, chip.split, chip.fold) for group, chip in zip(ground.tolist(), merged.chips) if chip.split}
    shared = sum(count > 1 for count in Counter(group for group, _, _ in parts).values())
    return f"in {shared} places the same labelled ground would be in two parts" if shared else ""
