"""The HTML report of a chip dataset, from its files alone, so that it can be written again at any time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..contract.dataset import DATASET_FILE, INDEX_FILE, DatasetSpec
from ..contract.serial import from_plain
from ..report import Color, Page
from .index import ChipRow, read_index, read_skipped_rows

_MOST_ROWS = 200
_COUNT_NAMES = {
    "labels": "Labels read",
    "labels_used": "Labels in chips",
    "labels_repaired": "Invalid polygons repaired",
    "cells": "Cells looked at",
    "conflicting_pixels": "Pixels ignored because their labels differ in class",
    "clamped_values": "Values clamped to the range of int16 reflectance",
    "restored_values": "Negative reflectances restored that uint16 had wrapped",
    "unknown_labels": "Pixels ignored because their label is in no row of the class table",
}


def write_report(folder: Path, path: str | Path) -> None:
    """Write the report of the dataset in `folder`; raises `InstaGeoError` when it cannot be read or written."""
    spec = from_plain(DatasetSpec, json.loads((folder / DATASET_FILE).read_text(encoding="utf-8")), DATASET_FILE)
    chips = read_index(folder / INDEX_FILE)
    skipped = read_skipped(folder / INDEX_FILE)
    page = Page(f"Chip dataset {folder.name}")
    page.facts({
        "Folder": str(folder),
        "Chips": len(chips),
        "Chip size": f"{spec.chip_size} x {spec.chip_size} pixels",
        "Pixel": f"{spec.resolution[0]:.6g} x {spec.resolution[1]:.6g} {spec.resolution_unit}",
        "Made with": spec.software,
    })  # fmt: skip
    _imagery(page, spec)
    _classes(page, spec, chips)
    _labels(page, spec, skipped)
    _chips(page, chips)
    page.write(path)


def read_skipped(path: Path) -> list[tuple[str, str, int]]:
    """Reason, detail and count of each row of the skipped layer."""
    return [(row.reason, row.detail, row.count) for row in read_skipped_rows(path)]


def _imagery(page: Page, spec: DatasetSpec) -> None:
    page.heading("Imagery")
    for one in spec.inputs:
        nodata = "none" if one.nodata is None else one.nodata
        page.facts({
            "Input": one.sensor,
            "Bands": ", ".join(one.bands),
            "Type": one.dtype,
            "Units": one.units,
            "Nodata": nodata,
            "Timesteps": one.timesteps,
        })  # fmt: skip
    items = [source for source in spec.sources if "item" in source]
    files = {(s["scene"], s["date"], s["raster"], s["mask"]): None for s in spec.sources if "raster" in s}
    if files:
        page.table(("Scene", "Date", "Raster", "Mask"), _first(list(files)), _caption(len(files), "files"))
    if items:
        page.text(f"From the catalogue {items[0]['catalog']}.")
        rows = sorted((s["sensor"], s["time"][:16], s["item"], s["tile"], _cloud(s)) for s in items)
        columns = ("Sensor", "Time (UTC)", "Scene", "Tile", "Clouds [%]")
        page.table(columns, _first(rows), _caption(len(rows), "scenes of the archive"))


def _cloud(source: Mapping[str, Any]) -> str:
    return "unknown" if source["cloud_cover"] is None else f"{source['cloud_cover']:.1f}"


def _dates(chip: ChipRow) -> str:
    """The dates of a chip's inputs; an input's name where there are several."""
    several = len(chip.dates) > 1
    listed = {name: ", ".join(date or "none" for date in dates) for name, dates in chip.dates.items()}
    return "; ".join(f"{name}: {dates or 'undated'}" if several else dates for name, dates in listed.items())


def _classes(page: Page, spec: DatasetSpec, chips: Sequence[ChipRow]) -> None:
    page.heading("Classes")
    pixels: Counter[int] = Counter()
    holding: Counter[int] = Counter()
    for chip in chips:
        pixels.update(chip.class_counts)
        holding.update(chip.class_counts.keys())
    rows = [(Color(e.color), e.value, e.name, pixels[e.value], holding[e.value]) for e in spec.class_table.classes]
    page.table(("", "Value", "Class", "Pixels", "Chips"), rows, "A pixel counts in every chip it is in")
    empty = [entry.name for entry in spec.class_table.classes if not pixels[entry.value]]
    if empty and rows:
        page.warning(f"No chip holds {', '.join(empty)}.")


def _labels(page: Page, spec: DatasetSpec, skipped: Sequence[tuple[str, str, int]]) -> None:
    page.heading("Labels")
    page.facts({text: spec.counts[name] for name, text in _COUNT_NAMES.items() if name in spec.counts})
    if not skipped:
        page.text("Nothing was skipped.")
        return
    totals: Counter[str] = Counter()
    for reason, _, number in skipped:
        totals[reason] += number
    page.table(("Skipped because", "Labels or cells"), sorted(totals.items()), "Labels and cells left out, by reason")
    page.table(("Reason", "What", "Count"), _first(skipped), _caption(len(skipped), "rows of the skipped layer"))


def _chips(page: Page, chips: Sequence[ChipRow]) -> None:
    page.heading("Chips")
    rows = [(c.chip, _dates(c), sum(c.class_counts.values()), c.valid, c.clear) for c in _first(chips)]
    columns = ("Chip", "Dates", "Labelled pixels", "Valid [%]", "Clear [%]")
    page.table(columns, rows, _caption(len(chips), "chips"))


def _first(rows: Sequence) -> list:
    return list(rows[:_MOST_ROWS])


def _caption(total: int, what: str) -> str:
    return f"The first {_MOST_ROWS} of {total} {what}" if total > _MOST_ROWS else ""
