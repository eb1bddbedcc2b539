"""A model file, ready to predict."""

from __future__ import annotations

from pathlib import Path

from ..contract.card import PATCH
from ..contract.errors import InstaGeoError
from ..reporting import Reporter, SilentReporter
from .modelfile import load_model
from .predictor import Predictor
from .zoo import FOREST, SERIES, architecture


def load_predictor(
    path: str | Path, *, device: str = "auto", precision: str = "auto", reporter: Reporter | None = None
) -> Predictor:
    """The model in the file at `path`.

    `device`: `auto`, `cpu`, `cuda` or `mps`; `precision`: `auto`, `fp32` or `bf16`; forests run on the processor in
    their own precision. What is used goes to `reporter`. torch is imported only for networks. Raises `InstaGeoError`
    for a file that is no model, is damaged, or whose card and weights disagree.
    """
    reporter = reporter or SilentReporter()
    card, tensors = load_model(path)
    record = architecture(card.architecture)
    if record.kind != card.kind:
        raise InstaGeoError(
            f"{path}: the card calls '{card.architecture}' a {card.kind} model; it is a {record.kind} model.",
            "The file is inconsistent; train the model again.",
        )
    if record.family == FOREST:
        from .pixels import PixelPredictor

        reporter.log(f"Model '{card.name}' on the processor.")
        return PixelPredictor(card, tensors)
    if record.family == SERIES:
        from .series_predictor import SeriesPredictor

        return SeriesPredictor(card, tensors, reporter, device, precision)
    if record.kind == PATCH:
        from .patch import PatchPredictor

        return PatchPredictor(card, tensors, reporter, device, precision)
    raise InstaGeoError(f"{path}: '{card.architecture}' cannot be run by this version.", "Update the plugin.")
