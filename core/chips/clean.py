"""`cleanchips`: take chips that are not good enough out of a dataset."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..contract.errors import InstaGeoError
from ..contract.jobs import CleanChipsJob
from ..reporting import Reporter
from .dataset import open_dataset
from .index import ChipRow, skip_chips

FEW_VALID, FEW_LABELS, MASKED = "too few valid pixels", "too few labels", "too cloudy"


def clean_chips(job: CleanChipsJob, reporter: Reporter) -> dict[str, Any]:
    """Move rows of the index to its skipped layer, with the reason; the chips' files stay.

    Raises `InstaGeoError` when no chip would be left, and changes nothing then.
    """
    dataset = open_dataset(job.dataset)
    found = {chip.chip: reason for chip in dataset.chips if (reason := _reason(chip, job))}
    if len(found) == len(dataset.chips):
        raise InstaGeoError(
            f"None of {len(dataset.chips)} chips would be left: {_listed(found)}.", "Choose less strict limits."
        )
    if found:
        skip_chips(dataset.index_path, found)
        reporter.log(f"Taken out: {_listed(found)}. Their files stay in the folder.")
    left = len(dataset.chips) - len(found)
    reporter.log(f"{left} chips are left.")
    return {"OUTPUT": str(dataset.folder), "CHIP_COUNT": left, "SKIPPED_COUNT": len(found)}


def _reason(chip: ChipRow, job: CleanChipsJob) -> tuple[str, str] | None:
    """Reason and detail; None for a chip that may stay."""
    labels = sum(chip.class_counts.values())
    if chip.valid < job.min_valid:
        return FEW_VALID, f"{chip.valid:.1f} % of {job.min_valid:g} %"
    if labels < job.min_labels:
        return FEW_LABELS, f"{labels} of {job.min_labels}"
    if 100 - chip.clear > job.max_chip_cloud:
        return MASKED, f"{100 - chip.clear:.1f} % masked; at most {job.max_chip_cloud:g} %"
    return None


def _listed(found: dict[str, tuple[str, str]]) -> str:
    return ", ".join(f"{count} x {reason}" for reason, count in Counter(r for r, _ in found.values()).items())
