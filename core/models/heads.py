"""Heads: from a backbone's features to logits."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

SMALLEST_WIDTH = 32


class UpsamplingHead(nn.Module):
    """Feature maps of one value a patch to logits a pixel, doubling the size as often as `patch` pixels hold, then
    stretching bilinearly where the patch is no power of two.

    `width` features at first, halved at each doubling but never below `SMALLEST_WIDTH`.
    """

    def __init__(self, channels: int, classes: int, patch: int, width: int, dropout: float) -> None:
        super().__init__()
        doublings = int(math.log2(patch))
        self.stretch = patch / 2**doublings
        widths = [max(width // 2**i, min(width, SMALLEST_WIDTH)) for i in range(doublings + 1)]
        self.merge = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.stages = nn.Sequential(
            *(_doubling(before, after) for before, after in zip(widths[:-1], widths[1:], strict=True))
        )
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(widths[-1], classes, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, channels, h, w) to (N, classes, h * patch, w * patch)."""
        logits: torch.Tensor = self.classify(self.dropout(self.stages(self.merge(features))))
        if self.stretch == 1:
            return logits
        return functional.interpolate(logits, scale_factor=self.stretch, mode="bilinear")


def _doubling(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2),
        nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
