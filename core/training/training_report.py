"""The report of a training: curves, confusion, figures by class, and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..contract.card import ModelCard
from ..evaluation.plots import confusion_figure, curves_figure
from ..report import Color, Page
from .outcome import EpochRecord, Outcome


def write_report(path: str, card: ModelCard, outcome: Outcome) -> None:
    """Write the HTML page to `path`."""
    page = Page(f"Training of {card.name}")
    for note in card.training["notes"]:
        page.warning(note)
    page.facts(_facts(card))
    if outcome.history:
        page.heading("Course of the training")
        page.text(f"The weights of epoch {outcome.best_epoch} were kept.")
        page.figure(curves_figure(_curves(outcome.history)), "Loss and validation mIoU by epoch")
    page.heading(f"Figures on the part '{card.metrics['split']}'")
    page.facts({name: card.metrics[key] for name, key in _FIGURES.items()})
    page.table(*_class_table(card), caption="By class; support and predicted are pixels.")
    page.figure(confusion_figure(outcome.confusion, card.class_table.names), "Confusion matrix")
    page.heading("How it was made")
    page.facts(_flat(card.training))
    page.write(path)


_FIGURES = {"mIoU": "miou", "Accuracy": "accuracy", "F1 (mean of classes)": "f1", "Kappa": "kappa"}


def _facts(card: ModelCard) -> dict[str, Any]:
    inputs = "; ".join(f"{i.sensor}: {', '.join(i.bands)} x {i.timesteps} dates" for i in card.inputs)
    resolution = f"{card.resolution[0]:g} x {card.resolution[1]:g} {card.resolution_unit}"
    return {
        "Backbone": card.architecture,
        "Inputs": inputs,
        "Resolution": resolution,
        "Chip size": f"{card.chip_size} px",
        "Parameters": card.parameters,
        "Multiply-accumulates of a chip": card.macs or "not known",
    }


def _class_table(card: ModelCard) -> tuple[Sequence[str], list[list[Any]]]:
    colors = {entry.value: Color(entry.color) for entry in card.class_table.classes}
    figures = ("support", "predicted", "precision", "recall", "f1", "iou")
    rows = [
        [colors[one["value"]], one["value"], one["name"], *(one[figure] for figure in figures)]
        for one in card.metrics["classes"]
    ]
    return ("", "Value", "Class", "Support", "Predicted", "Precision", "Recall", "F1", "IoU"), rows


def _flat(plain: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested records as one, keys joined; what stands elsewhere on the page is left out."""
    found: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{key} "))
        elif key != "notes":
            found[f"{prefix}{key}".replace("_", " ")] = value
    return found


def _curves(history: Sequence[EpochRecord]) -> list[dict[str, Any]]:
    validated = any(record.val_miou is not None for record in history)
    shown = ("epoch", "train_loss", *(("val_loss", "val_miou") if validated else ()))
    return [{name: getattr(record, name) for name in shown} for record in history]
