"""From the units of imagery to what networks are fed."""

from __future__ import annotations

import torch

from ..contract.card import Normalisation


def normalise(x: torch.Tensor, norm: Normalisation) -> torch.Tensor:
    """(x - mean) / std by band of a (N, T, C, H, W) tensor, as float32; what is not finite becomes 0, the mean.

    Power that is not positive has no decibels.
    """
    shape = (1, 1, -1, 1, 1)
    mean = torch.tensor(norm.mean, dtype=torch.float32, device=x.device).view(shape)
    std = torch.tensor(norm.std, dtype=torch.float32, device=x.device).view(shape)
    values = 10 * torch.log10(torch.where(x > 0, x.float(), torch.nan)) if norm.decibel else x.float()
    scaled = (values - mean) / std
    return torch.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0)
