"""Networks that see a window of pixels, ready to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..contract.card import ModelCard
from ..imagery.occasion import Occasion
from ..reporting import Reporter
from .context import Context, context_of
from .device import choose_device
from .mixed import MixedPrecision
from .normalise import normalise
from .weights import load_weights
from .zoo import build_module


class PatchPredictor:
    """A `Predictor` of a network. Raises `InstaGeoError` when weights and card do not fit, or the device is missing.

    `precision` is as in `MixedPrecision`.
    """

    def __init__(
        self, card: ModelCard, tensors: Mapping[str, Any], reporter: Reporter, device: str, precision: str
    ) -> None:
        self.card = card
        module = build_module(card.architecture, card.constants, card.inputs, len(card.class_table.classes))
        load_weights(module, tensors, f"Model '{card.name}'")
        self._device, words = choose_device(device)
        self._module = module.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.receptive_radius_px: int | None = module.receptive_radius_px  # type: ignore[assignment]
        self.stride_px: int = module.stride_px  # type: ignore[assignment]
        self._mixed = MixedPrecision(self._device, precision, reporter)
        reporter.log(f"Model '{card.name}' on {words}, {self.precision}.")

    @property
    def precision(self) -> str:
        """The precision in use, `fp32` or `bf16`; may fall from the second to the first with any batch."""
        return self._mixed.precision

    def probabilities(self, images: Sequence[np.ndarray], occasions: Sequence[Occasion] = ()) -> np.ndarray:
        """See `Predictor`."""
        with torch.inference_mode():
            batch = [
                normalise(torch.from_numpy(_owned(image)).to(self._device), norm)
                for image, norm in zip(images, self.card.normalisation, strict=True)
            ]
            context = context_of(occasions).to(self._device) if occasions else None
            probabilities: np.ndarray = self._run(batch, context).cpu().numpy()
            return probabilities

    def _run(self, batch: list[torch.Tensor], context: Context | None) -> torch.Tensor:
        def softmax() -> torch.Tensor:
            logits: torch.Tensor = self._module(batch, context)
            return logits.float().softmax(dim=1).contiguous()

        return self._mixed.run(softmax, tuple(side for image in batch for side in image.shape))


def _owned(image: np.ndarray) -> np.ndarray:
    """As torch wants memory: float32, contiguous, writable; copied only when it is not."""
    return np.require(image, np.float32, ["C", "W"])
