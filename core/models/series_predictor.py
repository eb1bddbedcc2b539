"""Pixel-series models, ready to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..contract.backbones import backbone
from ..contract.card import ModelCard
from ..contract.errors import InstaGeoError
from ..contract.jobs import FOREST_HEAD
from ..imagery.occasion import Occasion
from ..reporting import Reporter
from .device import choose_device
from .forest import forest_from_tensors
from .mixed import MixedPrecision, in_features, in_probability
from .series import NETWORK_HEADS, SeriesContext, SeriesNetwork
from .series_bands import months_of, series_bands, series_of
from .series_heads import EmbeddingHead, catboost_from_tensors
from .weights import load_weights
from .zoo import build_module

PIXELS_AT_ONCE = 128  # as fast as any more
_ENCODER = "encoder."


class SeriesPredictor:
    """A `Predictor` of an encoder of pixel series and a head. Raises `InstaGeoError` when weights and card do not
    fit, or the device is missing."""

    stride_px = 1

    def __init__(
        self, card: ModelCard, tensors: Mapping[str, Any], reporter: Reporter, device: str, precision: str
    ) -> None:
        self.card = card
        record = backbone(card.architecture)
        self._bands = series_bands(card.inputs, f"Model '{card.name}'", record.timesteps)
        self.receptive_radius_px: int | None = int(self._bands.derives_slope)
        self._classes = len(card.class_table.classes)
        module = build_module(card.architecture, card.constants, card.inputs, self._classes)
        subject = f"Model '{card.name}'"
        own = {key: value for key, value in tensors.items() if key.startswith(_ENCODER)}
        others = {key: value for key, value in tensors.items() if key not in own}
        networked = card.constants["head"] in NETWORK_HEADS
        load_weights(module, tensors if networked else own, subject)
        self._head = None if networked else _head(card, others, self._classes, subject)
        self._device, words = choose_device(device)
        self._module: SeriesNetwork = module.eval().to(self._device)  # type: ignore[assignment]
        difference = in_features if self._head else in_probability
        self._mixed = MixedPrecision(self._device, precision, reporter, difference)
        reporter.log(f"Model '{card.name}' on {words}, {self._mixed.precision}.")

    def probabilities(self, images: Sequence[np.ndarray], occasions: Sequence[Occasion] = ()) -> np.ndarray:
        """See `Predictor`. Pixels without any data get equal probabilities."""
        n, height, width = images[0].shape[0], *images[0].shape[-2:]
        if len(occasions) != n:
            raise InstaGeoError(f"Model '{self.card.name}' must be told when and where its imagery was taken.")
        found = [self._one([image[i] for image in images], occasion) for i, occasion in enumerate(occasions)]
        return np.stack(found).reshape(n, height, width, self._classes).transpose(0, 3, 1, 2).copy()

    def _one(self, images: Sequence[np.ndarray], occasion: Occasion) -> np.ndarray:
        """(H * W, K) probabilities of one window."""
        series = series_of(images, self._bands, occasion)
        months = months_of(occasion, series, "The imagery")
        pixels = series.reshape(*series.shape[:2], -1).transpose(2, 0, 1)  # (H * W, T, 16)
        places = occasion.places().reshape(-1, 2).astype(np.float32)
        there = np.isfinite(pixels).any(axis=(1, 2))
        found = np.full((len(pixels), self._classes), 1 / self._classes, dtype=np.float32)
        if there.any():
            found[there] = self._of_pixels(pixels[there], months, places[there])
        return found

    def _of_pixels(self, pixels: np.ndarray, months: np.ndarray, places: np.ndarray) -> np.ndarray:
        parts = [
            self._of_few(pixels[at : at + PIXELS_AT_ONCE], months, places[at : at + PIXELS_AT_ONCE])
            for at in range(0, len(pixels), PIXELS_AT_ONCE)
        ]
        found = np.concatenate(parts)
        return found if self._head is None else self._head.probabilities(found)

    def _of_few(self, pixels: np.ndarray, months: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(P, K) probabilities, or (P, D) embeddings where the head is no network."""
        raw = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device)
        when = torch.from_numpy(months).expand(len(raw), -1)
        context = SeriesContext(when, torch.from_numpy(np.ascontiguousarray(places))).to(self._device)

        def compute() -> torch.Tensor:
            if self._head is not None:
                return self._module.embed(raw, context)
            logits: torch.Tensor = self._module([raw[..., None, None]], context)[..., 0, 0]
            return logits.float().softmax(dim=1)

        with torch.inference_mode():
            found: np.ndarray = self._mixed.run(compute, tuple(raw.shape[1:])).cpu().numpy()
            return found


def _head(card: ModelCard, tensors: Mapping[str, Any], classes: int, subject: str) -> EmbeddingHead:
    if card.constants["head"] == FOREST_HEAD:
        return forest_from_tensors(tensors, subject)
    return catboost_from_tensors(tensors, classes, subject)
