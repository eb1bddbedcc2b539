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
from .device import bfloat16_pays, choose_device
from .normalise import normalise
from .weights import load_weights
from .zoo import build_module

LARGEST_BFLOAT16_DIFFERENCE = 0.02  # of a probability, to float32
AUTO, FLOAT32, BFLOAT16 = "auto", "fp32", "bf16"


class PatchPredictor:
    """A `Predictor` of a network. Raises `InstaGeoError` when weights and card do not fit, or the device is missing.

    bfloat16 is used when `precision` asks for it, or with `auto` where the hardware is made for it; either way each
    new shape of batch is first computed in float32 too, and where the two differ by more than
    `LARGEST_BFLOAT16_DIFFERENCE` float32 is used from then on, with a warning.
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
        self._reporter = reporter
        self._bfloat16 = precision == BFLOAT16 or (precision == AUTO and bfloat16_pays(self._device))
        self._checked: set[tuple[int, ...]] = set()
        reporter.log(f"Model '{card.name}' on {words}, {'bfloat16' if self._bfloat16 else 'float32'}.")

    @property
    def precision(self) -> str:
        """The precision in use, `fp32` or `bf16`; may fall from the second to the first with any batch."""
        return BFLOAT16 if self._bfloat16 else FLOAT32

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
        if not self._bfloat16:
            return self._softmax(batch, context, bfloat16=False)
        result = self._softmax(batch, context, bfloat16=True)
        shape = tuple(side for image in batch for side in image.shape)
        if shape in self._checked:
            return result
        exact = self._softmax(batch, context, bfloat16=False)
        self._bfloat16 = self._agree(result, exact)
        self._checked.add(shape)
        return result if self._bfloat16 else exact

    def _agree(self, result: torch.Tensor, exact: torch.Tensor) -> bool:
        difference = float((result - exact).abs().max())
        agreed = difference <= LARGEST_BFLOAT16_DIFFERENCE  # False for NaN
        if agreed and not self._checked:
            self._reporter.log(f"bfloat16 differs from float32 by at most {difference:.2g} in probability: used.")
        if not agreed:
            self._reporter.log(
                f"bfloat16 differs from float32 by {difference:.2g} in probability, more than "
                f"{LARGEST_BFLOAT16_DIFFERENCE:g}: float32 is used from here on.",
                "warning",
            )
        return agreed

    def _softmax(self, batch: list[torch.Tensor], context: Context | None, *, bfloat16: bool) -> torch.Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16):
            logits: torch.Tensor = self._module(batch, context)
        return logits.float().softmax(dim=1).contiguous()


def _owned(image: np.ndarray) -> np.ndarray:
    """As torch wants memory: float32, contiguous, writable; copied only when it is not."""
    return np.require(image, np.float32, ["C", "W"])
