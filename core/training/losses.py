"""Losses of a segmentation. All are averaged over labelled pixels, so that sparse labels weigh as dense ones do."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .data import IGNORED

Loss = Callable[[Tensor, Tensor], Tensor]

FOCUS = 2.0  # gamma of the focal loss, as its authors chose it


def build_loss(name: str, class_weights: Tensor | None = None) -> Loss:
    """The sum of the losses in `name`, such as `cross_entropy+dice`.

    A loss takes logits (N, K, H, W) and class positions (N, H, W), `IGNORED` where there is no label, and returns a
    scalar; it is 0, with a gradient, where nothing is labelled. `class_weights` (K,) act on all but dice, which
    balances classes by itself.
    """
    made = [_LOSSES[part](class_weights) for part in name.split("+")]

    def loss(logits: Tensor, label: Tensor) -> Tensor:
        # Losses are small differences of large sums: float32, whatever the precision of the network.
        terms = [one(logits.float(), label) for one in made]
        return torch.stack(terms).sum()

    return loss


def _cross_entropy(weights: Tensor | None) -> Loss:
    def loss(logits: Tensor, label: Tensor) -> Tensor:
        pixels = functional.cross_entropy(logits, label, weights, ignore_index=IGNORED, reduction="none")
        return pixels.sum() / _mass(label, weights)

    return loss


def _focal(weights: Tensor | None) -> Loss:
    """Lin et al., "Focal loss for dense object detection", 2017."""

    def loss(logits: Tensor, label: Tensor) -> Tensor:
        pixels = functional.cross_entropy(logits, label, ignore_index=IGNORED, reduction="none")
        hardness = (1 - torch.exp(-pixels)).clamp(min=0) ** FOCUS
        return (_pixel_weights(label, weights) * hardness * pixels).sum() / _mass(label, weights)

    return loss


def _dice(_: Tensor | None) -> Loss:
    """1 - Dice coefficient of the probabilities, averaged over the classes that the batch's labels hold.

    Milletari, Navab and Ahmadi, "V-Net", 2016. Sums run over the whole batch: over one chip they would be ruled by
    classes of a few pixels.
    """

    def loss(logits: Tensor, label: Tensor) -> Tensor:
        labelled = (label != IGNORED).unsqueeze(1)
        truth = functional.one_hot(label.clamp(min=0), logits.shape[1]).movedim(-1, 1) * labelled
        probability = logits.softmax(dim=1) * labelled
        axes = (0, 2, 3)
        overlap, total = (truth * probability).sum(axes), (truth + probability).sum(axes)
        present = truth.sum(axes) > 0
        return ((1 - 2 * overlap / total.clamp(min=1e-6)) * present).sum() / present.sum().clamp(min=1)

    return loss


def _pixel_weights(label: Tensor, weights: Tensor | None) -> Tensor:
    labelled = (label != IGNORED).float()
    return labelled if weights is None else labelled * weights[label.clamp(min=0)]


def _mass(label: Tensor, weights: Tensor | None) -> Tensor:
    """Summed weight of the labelled pixels, never 0."""
    return _pixel_weights(label, weights).sum().clamp(min=1e-6)


_LOSSES: dict[str, Callable[[Tensor | None], Loss]] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
    "dice": _dice,
}
