"""A transformer's encoder and a head: images to logits a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn

from .context import Context
from .padding import pad_to_multiple


class MapEncoder(Protocol):
    """An encoder whose tokens are patches."""

    patch: int
    depth: int

    def maps(
        self, images: Sequence[torch.Tensor], wanted: Sequence[int], context: Context | None
    ) -> list[torch.Tensor]:
        """(N, C, h, w) after each of the blocks `wanted`; h and w are patches."""
        ...


class Segmenter(nn.Module):
    """Every token sees every other, so a result depends on the whole window. The number of timesteps is fixed by the
    head: it merges those it was built for."""

    def __init__(self, encoder: MapEncoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.stride_px = encoder.patch
        self.receptive_radius_px: int | None = None

    def forward(self, images: Sequence[torch.Tensor], context: Context | None = None) -> torch.Tensor:
        """One (N, T, C, H, W) an input to logits (N, K, H, W)."""
        height, width = images[0].shape[-2:]
        padded = [_padded(image, self.stride_px) for image in images]
        wanted: tuple[int, ...] = self.head.wanted(self.encoder.depth)  # type: ignore[operator]
        logits: torch.Tensor = self.head(self.encoder.maps(padded, wanted, context))
        return logits[..., :height, :width]


def _padded(image: torch.Tensor, multiple: int) -> torch.Tensor:
    padded = pad_to_multiple(image.flatten(1, 2), multiple)
    return padded.view(*image.shape[:3], *padded.shape[-2:])
