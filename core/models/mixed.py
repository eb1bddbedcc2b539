"""bfloat16 where it pays, and only where its numbers agree with float32."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch

from ..reporting import Reporter
from .device import bfloat16_pays

AUTO, FLOAT32, BFLOAT16 = "auto", "fp32", "bf16"
LARGEST_PROBABILITY_DIFFERENCE = 0.02
LARGEST_RELATIVE_DIFFERENCE = 0.01  # of features: sound kernels stay near half of it (golden vectors of Prithvi)


def in_probability(result: torch.Tensor, exact: torch.Tensor) -> tuple[float, float, str]:
    """The largest difference, what is allowed, and words for it."""
    return float((result - exact).abs().max()), LARGEST_PROBABILITY_DIFFERENCE, "in probability"


def in_features(result: torch.Tensor, exact: torch.Tensor) -> tuple[float, float, str]:
    """The difference's norm to that of the exact ones, what is allowed, and words for it."""
    difference = float((result - exact).norm() / exact.norm().clamp(min=1e-12))
    return difference, LARGEST_RELATIVE_DIFFERENCE, "of the features"


class MixedPrecision:
    """Runs computations in bfloat16 when `precision` asks for it, or with `auto` where the hardware is made for it.

    Either way each new `key` (the shape of a batch) is first computed in float32 too, and where the two differ by more
    than is allowed float32 is used from then on, with a warning: some processors' kernels give silently wrong numbers.
    """

    def __init__(
        self,
        device: torch.device,
        precision: str,
        reporter: Reporter,
        difference: Callable[[torch.Tensor, torch.Tensor], tuple[float, float, str]] = in_probability,
    ) -> None:
        self._device, self._reporter, self._difference = device, reporter, difference
        self._bfloat16 = precision == BFLOAT16 or (precision == AUTO and bfloat16_pays(device))
        self._checked: set[Hashable] = set()

    @property
    def precision(self) -> str:
        """The precision in use, `fp32` or `bf16`; may fall from the second to the first with any batch."""
        return BFLOAT16 if self._bfloat16 else FLOAT32

    def run(self, compute: Callable[[], torch.Tensor], key: Hashable) -> torch.Tensor:
        """What `compute` returns, as float32."""
        if not self._bfloat16:
            return compute().float()
        result = self._reduced(compute)
        if key in self._checked:
            return result
        exact = compute().float()
        self._bfloat16 = self._agree(result, exact)
        self._checked.add(key)
        return result if self._bfloat16 else exact

    def _reduced(self, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        with torch.autocast(self._device.type, torch.bfloat16):
            return compute().float()

    def _agree(self, result: torch.Tensor, exact: torch.Tensor) -> bool:
        difference, allowed, words = self._difference(result, exact)
        agreed = difference <= allowed  # False for NaN
        if agreed and not self._checked:
            self._reporter.log(f"bfloat16 differs from float32 by at most {difference:.2g} {words}: used.")
        if not agreed:
            self._reporter.log(
                f"bfloat16 differs from float32 by {difference:.2g} {words}, more than {allowed:g}: float32 is used "
                "from here on.",
                "warning",
            )
        return agreed
