"""A small U-Net over the bands of all timesteps and inputs.

Follows Ronneberger et al. 2015 (arXiv:1505.04597) with zero-padded convolutions and batch normalisation, whose
statistics are fixed once trained: away from borders the result at a pixel depends on its surroundings only, not on
the window it is computed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..contract.dataset import InputSpec
from ..contract.errors import InstaGeoError
from .context import Context
from .padding import pad_to_multiple

CONVOLUTIONS_PER_BLOCK = 2


class UNet(nn.Module):
    """`depth` halvings; `width` features at full resolution, doubled at each halving.

    `dropout` is the share of feature maps left out in the deepest block while training.
    """

    def __init__(self, channels: int, classes: int, width: int = 32, depth: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            _block(below, above) for below, above in zip([channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(_block(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, classes, 1)
        self.stride_px = 2**depth
        self.receptive_radius_px: int | None = receptive_radius_px(depth)

    def forward(self, images: Sequence[torch.Tensor], context: Context | None = None) -> torch.Tensor:
        """One (N, T, C, H, W) an input to logits (N, K, H, W); the context tells it nothing."""
        x = torch.cat([image.flatten(1, 2) for image in images], dim=1)  # (N, all T * C, H, W)
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, self.stride_px)
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(self.pool(x) if level else x)
            skips.append(x)
        x = self.dropout(skips.pop())
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))
        logits: torch.Tensor = self.head(x)
        return logits[..., :height, :width]


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in [channels_in] + [channels_out] * (CONVOLUTIONS_PER_BLOCK - 1):
        layers += [
            nn.Conv2d(channels, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def receptive_radius_px(depth: int) -> int:
    """How far from a pixel its result looks: the largest over the pixel's places in the pooling grid."""
    reaches = [_decoder_field(0, depth, p, p) for p in range(2**depth)]
    return max(max(p - first, last - p) for p, (first, last) in enumerate(reaches))


def _decoder_field(level: int, depth: int, first: int, last: int) -> tuple[int, int]:
    """The input pixels that pixels `first` to `last` of the decoder's output at `level` look at."""
    if level == depth:
        return _encoder_field(level, first, last)
    first, last = first - CONVOLUTIONS_PER_BLOCK, last + CONVOLUTIONS_PER_BLOCK
    skipped = _encoder_field(level, first, last)
    deeper = _decoder_field(level + 1, depth, first // 2, last // 2)
    return min(skipped[0], deeper[0]), max(skipped[1], deeper[1])


def _encoder_field(level: int, first: int, last: int) -> tuple[int, int]:
    first, last = first - CONVOLUTIONS_PER_BLOCK, last + CONVOLUTIONS_PER_BLOCK
    return (first, last) if level == 0 else _encoder_field(level - 1, 2 * first, 2 * last + 1)


def build_unet(constants: Mapping[str, Any], inputs: Sequence[InputSpec], classes: int) -> UNet:
    """The zoo's builder. Raises `InstaGeoError` for constants that make no network."""
    width, depth, dropout = constants["width"], constants["depth"], constants["dropout"]
    if width < 1 or not 1 <= depth <= 6 or not 0 <= dropout < 1:
        raise InstaGeoError(
            f"U-Net of width {width}, depth {depth}, dropout {dropout}; expected width from 1, depth 1 to 6, dropout "
            "0 to below 1."
        )
    return UNet(sum(spec.channels for spec in inputs), classes, width, depth, dropout)
