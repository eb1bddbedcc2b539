"""What an evaluation leaves behind: an HTML report, the same figures as JSON, footprints with their own score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import shapely

from ..chips.index import GEOPACKAGE
from ..contract.serial import to_json, to_plain
from ..contract.version import SOFTWARE
from ..files import written_whole
from ..report import Color, Page
from .by_model import ChipScore
from .plots import bars_figure, confusion_figure
from .tally import Evaluation

_METHOD = (
    "All figures come from one confusion matrix pooled over labelled pixels. mIoU and F1 are means over the classes "
    "in truth or prediction. Precision: share of the pixels predicted as a class that are of it; recall: share of the "
    "pixels of a class that were found; IoU: pixels right over pixels that are of the class or were called so."
)


def headline(evaluation: Evaluation) -> dict[str, float | None]:
    """The figures by output name."""
    scores = evaluation.scores
    return {
        "MIOU": scores.miou,
        "ACCURACY": scores.accuracy,
        "F1": scores.f1,
        "KAPPA": scores.kappa,
        "AUC": evaluation.auc,
    }


def write_metrics(path: str | Path, evaluation: Evaluation) -> None:
    """All figures as JSON; a figure that is not defined is null. Raises `InstaGeoError` when it cannot be written."""
    plain = {
        "software": SOFTWARE,
        "subject": evaluation.subject,
        **to_plain(evaluation.scores),
        "auc": evaluation.auc,
        "calibration_error": evaluation.calibration_error,
        "pixels_behind_auc": evaluation.sampled,
        "confusion": evaluation.matrix.tolist(),
        "left_out": evaluation.left_out,
        "warnings": evaluation.warnings,
    }
    with written_whole(path) as part:
        part.write_text(to_json(plain, indent=2) + "\n", encoding="utf-8")


def write_report(path: str | Path, evaluation: Evaluation) -> None:
    """The page for people. Raises `InstaGeoError` when it cannot be written."""
    page = Page("Evaluation")
    page.facts(evaluation.subject)
    for warning in evaluation.warnings:
        page.warning(warning)
    page.heading("Figures")
    page.facts(_facts(evaluation))
    page.text(_METHOD)
    _add_classes(page, evaluation)
    _add_confusion(page, evaluation)
    page.write(path)


def _facts(evaluation: Evaluation) -> dict[str, Any]:
    scores = evaluation.scores
    facts = {
        "Labelled pixels": scores.count,
        "Mean IoU": scores.miou,
        "Overall accuracy": scores.accuracy,
        "Mean recall (balanced accuracy)": scores.balanced_accuracy,
        "Mean F1": scores.f1,
        "Cohen's kappa": scores.kappa,
        "AUC, one class against the rest, mean": evaluation.auc,
        "Expected calibration error": evaluation.calibration_error,
    }
    if evaluation.sampled and evaluation.sampled < scores.count:
        facts["Pixels sampled for AUC and calibration"] = evaluation.sampled
    return {name: "not defined" if value is None else value for name, value in facts.items()}


def _add_classes(page: Page, evaluation: Evaluation) -> None:
    page.heading("Classes")
    colors = [entry.color for entry in evaluation.table.classes]
    rows = [
        (Color(color), c.value, c.name, c.support, c.predicted, c.precision, c.recall, c.f1, c.iou)
        for color, c in zip(colors, evaluation.scores.classes)
    ]
    columns = ("", "Value", "Class", "Labelled pixels", "Predicted pixels", "Precision", "Recall", "F1", "IoU")
    page.table(columns, rows, "An empty cell is a figure that is not defined, such as the recall of an absent class.")
    bars = bars_figure(
        [c.name for c in evaluation.scores.classes], [c.f1 for c in evaluation.scores.classes], "F1", colors
    )
    page.figure(bars, "F1 of each class as bars")


def _add_confusion(page: Page, evaluation: Evaluation) -> None:
    names = [c.name for c in evaluation.scores.classes]
    page.heading("Confusion matrix")
    page.figure(
        confusion_figure(evaluation.matrix, names), "Confusion matrix as a heat map, each true class in percent"
    )
    columns = ("True class", *names, "Labelled pixels")
    counts = [(name, *row.tolist(), int(row.sum())) for name, row in zip(names, evaluation.matrix)]
    page.table(columns, counts, "Pixels: true class in rows, predicted class in columns.")
    shares = [(name, *_percent(row)) for name, row in zip(names, evaluation.matrix)]
    page.table(columns[:-1], shares, "The same as percent of each true class.")


def _percent(row: np.ndarray) -> list[float | None]:
    total = int(row.sum())
    return [100 * int(count) / total if total else None for count in row]


def write_chip_metrics(path: str | Path, scores: Sequence[ChipScore]) -> None:
    """A GeoPackage of footprints (EPSG:4326): each chip's labelled pixels, those predicted right, and their share.

    Raises `InstaGeoError` when it cannot be written.
    """
    columns = {
        "chip": np.array([s.chip.chip for s in scores], dtype=object),
        "scene": np.array([s.chip.scene for s in scores], dtype=object),
        "split": np.array([s.chip.split for s in scores], dtype=object),
        "fold": np.array([s.chip.fold for s in scores], dtype=np.int32),
        "labelled": np.array([s.labelled for s in scores], dtype=np.int64),
        "correct": np.array([s.correct for s in scores], dtype=np.int64),
        "accuracy": np.array([np.nan if s.accuracy is None else s.accuracy for s in scores], dtype=np.float64),
    }
    footprints = [
        s.chip.footprint if s.chip.footprint.geom_type == "MultiPolygon" else shapely.MultiPolygon([s.chip.footprint])
        for s in scores
    ]
    with written_whole(path) as part:
        pyogrio.raw.write(
            part,
            geometry=np.array([shapely.to_wkb(footprint) for footprint in footprints], dtype=object),
            field_data=list(columns.values()),
            fields=list(columns),
            layer="chip_metrics",
            driver="GPKG",
            geometry_type="MultiPolygon",
            crs="EPSG:4326",
            dataset_options=GEOPACKAGE,
        )
