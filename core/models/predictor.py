"""What prediction and evaluation need of a model, whatever its architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Protocol

import numpy as np

from ..contract.card import ModelCard
from ..imagery.occasion import Occasion


class Predictor(Protocol):
    """A model ready to run.

    `receptive_radius_px`: how far from a pixel its result looks (0 for pixel models, None for the whole window).
    `stride_px`: window sizes and origins are multiples of it for the result not to depend on the window.
    """

    card: ModelCard
    receptive_radius_px: Optional[int]
    stride_px: int

    def probabilities(self, images: Sequence[np.ndarray], occasions: Sequence[Occasion] = ()) -> np.ndarray:
        """Class probabilities of a batch.

        images: one array an input of the card, (N, T, C, H, W) float32 in the card's units, NaN = no data; H and W
        are multiples of `stride_px`. occasions: when and where each of the N was taken; none where it is not known.
        Returns (N, K, H, W) float32 that sum to 1 over K, in the order of
        `card.class_table.classes`. The caller decides what a pixel without data becomes.
        """
        ...
