"""`chipstatistics`: classes and bands of a chip dataset, in two passes over its chips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..chips.dataset import ChipDataset, open_dataset
from ..chips.index import ChipRow
from ..contract.dataset import InputSpec
from ..contract.errors import InstaGeoError
from ..contract.jobs import ChipStatisticsJob
from ..report import Color, Page
from ..reporting import PhaseReporter, Reporter
from .data import ChipReader
from .statistics import BandMoments, PartStatistics, part_statistics

BINS = 64
_SPREAD = 4.0  # standard deviations each side that a histogram shows
_BALANCED_FROM = 0.1  # of an equal share: a rarer class is pointed out


def chip_statistics(job: ChipStatisticsJob, reporter: Reporter) -> dict[str, Any]:
    """Count classes, measure bands, write the report.

    Outputs: CHIP_COUNT, LABELLED_PIXELS, MEANS and STDS (text, bands of all inputs in order), CLASS_PIXELS and
    CLASS_WEIGHTS (text, classes in order), REPORT. Raises `InstaGeoError` for a dataset or part without chips.
    """
    dataset = open_dataset(job.dataset)
    chips = dataset.chips if job.split == "all" else dataset.part(job.split)
    if not chips:
        raise InstaGeoError(f"No chip is in the part '{job.split}'.", "Split the dataset first, or choose SPLIT all.")
    reader = ChipReader(dataset)
    found = part_statistics(reader, chips, PhaseReporter(reporter, 0, 0.6), "all" if job.split == "all" else job.split)
    weights = class_weights(found.class_pixels)
    _tell(dataset, found, reporter)
    if job.report:
        histograms = _histograms(reader, chips, found, PhaseReporter(reporter, 0.6, 0.95))
        _report(dataset, chips, found, histograms).write(job.report)
        reporter.artifact("REPORT", job.report)
    return {
        "CHIP_COUNT": len(chips),
        "LABELLED_PIXELS": found.labelled,
        "MEANS": _row(np.concatenate([m.mean for m in found.moments])),
        "STDS": _row(np.concatenate([m.std for m in found.moments])),
        "CLASS_PIXELS": _row(found.class_pixels),
        "CLASS_WEIGHTS": _row(weights),
        "REPORT": job.report,
    }


def class_weights(pixels: np.ndarray) -> np.ndarray:
    """All pixels / (classes present x pixels of the class), as scikit-learn's `balanced`; 0 for an absent class."""
    present = pixels > 0
    weights: np.ndarray = np.where(present, pixels.sum() / np.maximum(pixels * max(present.sum(), 1), 1), 0.0)
    return weights


def _row(values: np.ndarray) -> str:
    return " ".join(f"{value:.7g}" for value in values)


def _tell(dataset: ChipDataset, found: PartStatistics, reporter: Reporter) -> None:
    names = [entry.name for entry in dataset.spec.class_table.classes]
    reporter.log(", ".join(f"{name} {count}" for name, count in zip(names, found.class_pixels)) or "No classes.")
    fair = found.labelled / max(len(names), 1)
    absent = [name for name, count in zip(names, found.class_pixels) if not count]
    rare = [name for name, count in zip(names, found.class_pixels) if 0 < count < _BALANCED_FROM * fair]
    if absent:
        reporter.log(f"No labelled pixel of {', '.join(absent)}.", "warning")
    if rare:
        reporter.log(
            f"{', '.join(rare)}: less than a tenth of an equal share. CLASS_WEIGHTS balanced may help.", "warning"
        )


def _histograms(
    reader: ChipReader, chips: Sequence[ChipRow], found: PartStatistics, reporter: Reporter
) -> list[np.ndarray]:
    """(C, BINS) counts an input, between `_SPREAD` standard deviations below and above the mean."""
    counts = [np.zeros((len(moments.mean), BINS), dtype=np.int64) for moments in found.moments]
    for number, chip in enumerate(chips):
        reporter.check()
        reporter.progress(number / len(chips), f"Histograms: {number + 1} of {len(chips)}")
        for total, moments, image in zip(counts, found.moments, reader.sample(chip).images):
            for band, edges in enumerate(_edges(moments)):
                total[band] += np.histogram(image[:, band], edges)[0]
    return counts


def _edges(moments: BandMoments) -> list[np.ndarray]:
    reach = np.where(moments.std > 0, _SPREAD * moments.std, 1.0)
    return [np.linspace(m - r, m + r, BINS + 1) for m, r in zip(moments.mean, reach)]


def _report(
    dataset: ChipDataset, chips: Sequence[ChipRow], found: PartStatistics, histograms: Sequence[np.ndarray]
) -> Page:
    page = Page(f"Statistics of {dataset.folder.name}")
    page.facts({"Chips": len(chips), "Labelled pixels": found.labelled})
    page.heading("Classes")
    classes, weights = dataset.spec.class_table.classes, class_weights(found.class_pixels)
    share = 100 * found.class_pixels / max(found.labelled, 1)
    rows = [(Color(e.color), e.value, e.name, *row) for e, *row in zip(classes, found.class_pixels, share, weights)]
    page.table(("", "Value", "Class", "Pixels", "Percent", "Balanced weight"), rows)
    for spec, moments, counts in zip(dataset.spec.inputs, found.moments, histograms):
        page.heading(f"Bands of {spec.sensor}")
        bands = list(zip(spec.bands, moments.mean, moments.std, moments.count))
        page.table(("Band", "Mean", "Standard deviation", "Valid pixels"), bands, f"Units: {spec.units}")
        page.figure(_figure(spec, moments, counts), f"Histogram of each band of {spec.sensor}")
    return page


def _figure(spec: InputSpec, moments: BandMoments, counts: np.ndarray) -> Figure:
    columns = min(len(spec.bands), 3)
    rows = -(-len(spec.bands) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.0 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, band, edges, count in zip(panels, spec.bands, _edges(moments), counts):
        panel.stairs(count, edges, fill=True, color="#0072b2")
        panel.set_title(band, fontsize=9)
        panel.set_yticks([])
        panel.tick_params(labelsize=8)
    for panel in panels[len(spec.bands) :]:
        panel.axis("off")
    return figure
