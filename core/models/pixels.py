"""Forests that see one pixel at a time, ready to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..contract.card import ModelCard
from ..contract.errors import Problems
from ..imagery.occasion import Occasion
from .forest import forest_from_tensors


def pixel_features(images: Sequence[np.ndarray]) -> np.ndarray:
    """One (N, T, C, H, W) array an input to (N * H * W, d) float32, one row a pixel.

    Features are inputs in order, within each its timesteps oldest first, within each its bands: the order of chip
    files. Values are raw, NaN stays.
    """
    flat = [image.reshape(image.shape[0], -1, *image.shape[-2:]) for image in images]
    joined = np.concatenate(flat, axis=1).astype(np.float32, copy=False)  # (N, d, H, W)
    return np.ascontiguousarray(joined.transpose(0, 2, 3, 1)).reshape(-1, joined.shape[1])


class PixelPredictor:
    """A `Predictor` of a random forest on raw bands. Raises `InstaGeoError` when its arrays and card do not fit."""

    receptive_radius_px: int | None = 0
    stride_px = 1

    def __init__(self, card: ModelCard, tensors: Mapping[str, Any]) -> None:
        self.card = card
        self.forest = forest_from_tensors(tensors, f"Model '{card.name}'")
        problems = Problems(f"Model '{card.name}'", "The file is inconsistent; train the model again.")
        features, classes = sum(spec.channels for spec in card.inputs), len(card.class_table.classes)
        if int(self.forest.features[0]) != features:
            problems.add(f"its forest takes {int(self.forest.features[0])} features; its inputs have {features} bands.")
        if self.forest.classes != classes:
            problems.add(f"its forest gives {self.forest.classes} classes; its class table has {classes}.")
        problems.raise_if_any()

    def probabilities(self, images: Sequence[np.ndarray], occasions: Sequence[Occasion] = ()) -> np.ndarray:
        """See `Predictor`."""
        n, height, width = images[0].shape[0], *images[0].shape[-2:]
        shares = self.forest.probabilities(pixel_features(images))  # (N * H * W, K)
        return np.ascontiguousarray(shares.reshape(n, height, width, -1).transpose(0, 3, 1, 2))
