"""Figures for reports: readable without colour vision, drawn without pyplot's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

_MOST_ANNOTATED = 16
# Okabe and Ito's colour-blind safe palette (Color Universal Design, 2008), with line styles as a second cue.
_LINES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#cc79a7", ":"), ("#000000", "-"))


def confusion_figure(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """Heat map of a (K, K) confusion matrix, each true class (row) as percent of its pixels."""
    size = max(3.2, min(11.0, 1.6 + 0.62 * len(names)))
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.add_subplot()
    percent = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(percent, cmap="cividis", vmin=0, vmax=100)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class")
    if len(names) <= _MOST_ANNOTATED:
        for (row, column), share in np.ndenumerate(percent):
            color = "black" if share > 55 else "white"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize=9)
    figure.colorbar(image, ax=axes, label="Percent of the true class", shrink=0.8)
    return figure


def bars_figure(names: Sequence[str], figures: Sequence[float | None], label: str, colors: Sequence[str]) -> Figure:
    """Horizontal bars from 0 to 1, one a class, first class on top; None is drawn as "none"."""
    figure = Figure(figsize=(6.4, 0.9 + 0.32 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    ticks = range(len(names))
    axes.barh(ticks, [f or 0.0 for f in figures], color=colors, edgecolor="#444444", linewidth=0.6)
    for tick, value in zip(ticks, figures):
        axes.text((value or 0.0) + 0.01, tick, "none" if value is None else f"{value:.2f}", va="center", fontsize=9)
    axes.set_yticks(ticks, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def curves_figure(history: Sequence[Mapping[str, float | None]]) -> Figure:
    """Training curves. Each row holds `epoch` and figures by name: losses go to the left panel, all others right.

    A figure that a row lacks (or has as None) is left out of its line.
    """
    names = [name for name in dict.fromkeys(n for row in history for n in row) if name != "epoch"]
    panels = [[n for n in names if "loss" in n], [n for n in names if "loss" not in n]]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    shown = [panel for panel in panels if panel]
    for axes, panel in zip(figure.subplots(1, max(1, len(shown)), squeeze=False)[0], shown):
        for i, name in enumerate(panel):
            points = [(row["epoch"], row[name]) for row in history if row.get(name) is not None]
            color, style = _LINES[i % len(_LINES)]
            axes.plot(*zip(*points), color=color, linestyle=style, marker="." if len(points) < 3 else "", label=name)
        axes.set_xlabel("Epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
