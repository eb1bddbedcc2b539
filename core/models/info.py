"""`modelinfo`: the card of a model file as a page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..contract.card import ModelCard
from ..contract.jobs import ModelInfoJob
from ..report import Color, Page
from ..reporting import Reporter
from .modelfile import load_card
from .zoo import ZOO

_CHUNK = 1 << 20


def model_info(job: ModelInfoJob, reporter: Reporter) -> dict[str, Any]:
    """Write the page to `output_html` when it is given.

    Returns OUTPUT_HTML, PARAMETERS and BACKBONE. Raises `InstaGeoError` for a file that is no model.
    """
    reporter.progress(0.0, "Reading the model")
    card = load_card(job.model)
    if job.output_html:
        page = card_page(card, Path(job.model), _sha256(Path(job.model), reporter))
        page.write(job.output_html)
        reporter.artifact("OUTPUT_HTML", job.output_html)
    reporter.progress(1.0, "Done")
    return {"OUTPUT_HTML": job.output_html, "PARAMETERS": card.parameters, "BACKBONE": card.architecture}


def _sha256(path: Path, reporter: Reporter) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            reporter.check()
            digest.update(chunk)
    return digest.hexdigest()


def card_page(card: ModelCard, path: Path, sha256: str) -> Page:
    """The page of a card; `path` and `sha256` are those of its file."""
    page = Page(f"Model {card.name}")
    page.facts(_summary(card, path, sha256))
    _inputs(page, card)
    page.heading("Classes")
    page.table(("", "value", "name"), [(Color(c.color), c.value, c.name) for c in card.class_table.classes])
    for title, facts in (
        ("Figures", card.metrics),
        ("Imagery", card.imagery),
        ("Training", card.training),
        ("Constants of the backbone", card.constants),
        ("Parent model", card.parent or {}),
    ):
        if facts:
            page.heading(title)
            page.facts(dict(_flat(facts)))
    if not card.metrics:
        page.warning("No figures: this model has not been measured.")
    return page


def _summary(card: ModelCard, path: Path, sha256: str) -> dict[str, Any]:
    record = next((r for r in ZOO if r.name == card.architecture), None)
    width, height = card.resolution
    return {
        "Task": card.task,
        "Backbone": f"{record.title} ({card.architecture})" if record else card.architecture,
        "After": record.source if record else None,
        "Predicts on": "windows of pixels" if card.kind == "patch" else "single pixels",
        "Parameters": card.parameters or "not known",
        "Multiply-accumulates a chip": card.macs or "not counted",
        "Chip": f"{card.chip_size} x {card.chip_size} pixels of {width:g} x {height:g} {card.resolution_unit}",
        "Licence of the weights": card.weights_licence or "not stated",
        "File": path.name,
        "Size in bytes": path.stat().st_size,
        "SHA-256": sha256,
    }


def _inputs(page: Page, card: ModelCard) -> None:
    page.heading("Inputs")
    for spec, norm in zip(card.inputs, card.normalisation, strict=True):
        steps = "1 timestep" if spec.timesteps == 1 else f"{spec.timesteps} timesteps, oldest first"
        nodata = "none" if spec.nodata is None else spec.nodata
        page.table(
            ("band", "mean", "standard deviation"),
            list(zip(spec.bands, norm.mean, norm.std, strict=True)),
            f"{spec.sensor}: {steps}; {spec.dtype}, {spec.units}, nodata {nodata}",
        )


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested records as dotted names; lists as text."""
    rows: list[tuple[str, Any]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value))
    return rows
