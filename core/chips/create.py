"""`createchips`: labels and rasters to a chip dataset.

The dataset grows in `<OUTPUT>.part`, whose ledger lets a broken run go on, and gets its name when it is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ..archive.access import Credentials
from ..contract.dataset import DatasetSpec
from ..contract.errors import InstaGeoError
from ..contract.jobs import STAC, CreateChipsJob
from ..contract.version import SOFTWARE
from ..files import PART, check_writable, failures_named, remove
from ..reporting import Reporter
from .archive_chips import retry_names
from .creation_report import write_report
from .fingerprint import parameters_of
from .from_archive import SEARCH_FILE, ArchiveSession, prepare_archive
from .from_rasters import prepare_rasters
from .index import ChipRow, SkippedRow
from .ledger import LEDGER_FILE, Ledger, Outcome
from .prepare import Preparation, lost_between
from .vectors import read_layer
from .writing import dataset_outputs, finish, is_finished, make_folders, write_truth


def create_chips(
    job: CreateChipsJob, reporter: Reporter, secrets: Optional[Mapping[str, str]] = None
) -> dict[str, Any]:
    """Make the dataset; returns OUTPUT, INDEX, CHIP_COUNT, SKIPPED_COUNT and, when asked for, REPORT.

    A finished dataset of the same parameters and inputs is returned as it is, without reading imagery; a broken run
    goes on. Raises `InstaGeoError` for inputs that cannot be used, for a folder with other content or other
    parameters, and when no chip comes about.
    """
    output = Path(job.output)
    layer = None
    if job.labels:
        layer = read_layer(job.labels, job.labels_layer, job.class_field, "INPUT", job.date_field)
    area = read_layer(job.area, "", "", "AREA") if job.area else None
    parameters = parameters_of(job, layer, area)
    if is_finished(output, parameters):
        reporter.log(f"{output} was made with the same parameters before; nothing to do.")
        return _results(job, output, reporter)
    check_writable(output)
    if job.report:
        check_writable(job.report)
    folder = output.with_name(output.name + PART)
    ledger = Ledger(folder, parameters)
    if not ledger.matches():
        remove(folder)
    with failures_named(output):
        try:
            if job.source == STAC:
                session = ArchiveSession(Credentials(job.archive.catalog, secrets or {}), folder)
                preparation = prepare_archive(job, layer, area, reporter, session)
            else:
                preparation = prepare_rasters(job, layer, area, reporter)
        except BaseException:
            if not ledger.matches():
                remove(folder)
            raise
        _build(job, preparation, ledger, reporter)
    reporter.artifact("OUTPUT", str(output))
    return _results(job, output, reporter)


def _build(job: CreateChipsJob, preparation: Preparation, ledger: Ledger, reporter: Reporter) -> None:
    output, folder = Path(job.output), ledger.folder
    make_folders(folder, preparation.labels.given)
    try:
        with ledger:
            if ledger.outcomes:
                reporter.log(f"Going on with a broken run: {len(ledger.outcomes)} cells are done.")
            _make_all(preparation, folder, ledger, reporter)
    except BaseException:
        _leave(folder, ledger, reporter)
        raise
    outcomes = [ledger.outcomes[candidate.name] for candidate in preparation.candidates]
    chips, skipped = _rows(preparation, outcomes)
    if not chips:
        remove(folder)
        raise _no_chips(skipped)
    counts = _counts(preparation, outcomes)
    _tell(preparation, chips, skipped, counts, reporter)
    reporter.progress(0.96, "Writing the index")
    write_truth(folder, _spec(job, preparation, ledger.parameters, counts), chips, skipped)
    for leftover in (folder / SEARCH_FILE, *folder.glob(f"*/.*{PART}*")):
        remove(leftover)
    finish(folder, output)
    remove(output / LEDGER_FILE)


def _leave(folder: Path, ledger: Ledger, reporter: Reporter) -> None:
    """The run was broken off: say how to go on, or delete the folder when nothing in it is done."""
    if ledger.outcomes:
        reporter.log(
            f"{len(ledger.outcomes)} cells are done and kept in {folder}. The same run again goes on from there; "
            "delete that folder if you do not want it."
        )
    else:
        remove(folder)


def _make_all(preparation: Preparation, folder: Path, ledger: Ledger, reporter: Reporter) -> None:
    """Every candidate that the ledger does not have yet."""
    waiting = {candidate.name for candidate in preparation.candidates}
    total = len(waiting)
    waiting -= {name for name in waiting if _is_done(ledger, name, folder)}
    waiting |= retry_names(ledger.outcomes) & {candidate.name for candidate in preparation.candidates}
    for outcome in preparation.production.produce(folder, lambda name: name not in waiting, reporter):
        ledger.add(outcome)
        waiting.discard(outcome.name)
        done = total - len(waiting)
        reporter.progress(0.05 + 0.9 * done / total, f"{done} of {total} cells")


def _is_done(ledger: Ledger, name: str, folder: Path) -> bool:
    outcome = ledger.outcomes.get(name)
    if outcome is None:
        return False
    files = [*outcome.chip.images.values(), outcome.chip.label_path] if outcome.chip else []
    return all((folder / file).is_file() for file in files if file)


def _rows(preparation: Preparation, outcomes: Sequence[Outcome]) -> tuple[list[ChipRow], list[SkippedRow]]:
    chips = [outcome.chip for outcome in outcomes if outcome.chip]
    skipped = list(preparation.labels.skipped)
    kept: set[int] = set()
    for scene in preparation.scenes:
        skipped += scene.plan.skipped
        kept |= scene.plan.skipped_labels
    for candidate, outcome in zip(preparation.candidates, outcomes):
        if outcome.chip or outcome.skipped:
            kept.update(candidate.members)
    skipped += [outcome.skipped for outcome in outcomes if outcome.skipped]
    return chips, [*skipped, *lost_between(preparation, kept)]


def _counts(preparation: Preparation, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """What `dataset.json` and the report say was counted; label counts only where labels are features."""
    counts = {
        "cells": len(outcomes),
        "conflicting_pixels": sum(outcome.conflicts for outcome in outcomes),
        "clamped_values": sum(outcome.clamped for outcome in outcomes),
    }
    features = preparation.labels.features
    if features is not None:
        used = {i for c, outcome in zip(preparation.candidates, outcomes) if outcome.chip for i in c.members}
        counts["labels"] = len(features) + len(features.skipped)
        counts["labels_used"] = len(used - preparation.labels.lost)
        counts["labels_repaired"] = features.repaired
    return counts


def _tell(
    preparation: Preparation,
    chips: Sequence[ChipRow],
    skipped: Sequence[SkippedRow],
    counts: dict[str, int],
    reporter: Reporter,
) -> None:
    if "labels" in counts:
        reporter.log(f"{counts['labels']} labels read, {counts['labels_used']} of them in chips.")
    for reason, number in _reasons(skipped).items():
        reporter.log(f"Skipped: {number} x {reason}.", "warning")
    if counts["conflicting_pixels"]:
        reporter.log(
            f"{counts['conflicting_pixels']} pixels have labels of several classes and are ignored.", "warning"
        )
    if counts["clamped_values"]:
        reporter.log(f"{counts['clamped_values']} values were clamped to the range of int16 reflectance.", "warning")
    reporter.log(f"{len(chips)} chips from {len(preparation.scenes)} scene(s).")


def _reasons(skipped: Sequence[SkippedRow]) -> Counter[str]:
    """Labels and cells left out, by reason."""
    found: Counter[str] = Counter()
    for row in skipped:
        found[row.reason] += row.count
    return found


def _no_chips(skipped: Sequence[SkippedRow]) -> InstaGeoError:
    listed = ", ".join(f"{number} x {reason}" for reason, number in _reasons(skipped).items())
    return InstaGeoError(
        f"No chip came about; labels and cells left out: {listed or 'none'}.",
        "Check the place and classes of the labels, and AREA, EDGE, CHIP_SIZE, MIN_LABELS, MIN_VALID, MAX_CHIP_CLOUD.",
    )


def _spec(
    job: CreateChipsJob, preparation: Preparation, parameters: Mapping[str, Any], counts: dict[str, int]
) -> DatasetSpec:
    grid = preparation.scenes[0].grid
    return DatasetSpec(
        inputs=preparation.inputs,
        task=job.task,
        class_table=preparation.labels.table,
        chip_size=job.chip_size,
        resolution=grid.resolution,
        resolution_unit=grid.resolution_unit,
        parameters=dict(parameters),
        sources=preparation.sources,
        software=SOFTWARE,
        counts=counts,
    )


def _results(job: CreateChipsJob, output: Path, reporter: Reporter) -> dict[str, Any]:
    results = dataset_outputs(output)
    if job.report:
        reporter.progress(0.98, "Writing the report")
        write_report(output, job.report)
        results["REPORT"] = job.report
    reporter.progress(1.0, f"{results['CHIP_COUNT']} chips")
    return results
