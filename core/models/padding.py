"""Images of any size for networks that need multiples of their stride."""

from __future__ import annotations

import torch
from torch.nn import functional


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Repeat the last row and column of (N, C, H, W) until H and W are multiples; as it is when they already are."""
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if not bottom and not right:
        return x
    return functional.pad(x, (0, right, 0, bottom), mode="replicate")
