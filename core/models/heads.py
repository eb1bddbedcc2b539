"""Heads of patch models: from a backbone's feature maps to logits a pixel.

A head takes maps (N, C, h, w) of one value a patch after the blocks that `wanted` names, and returns (N, K, H, W) with
H = h * patch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ..contract.errors import InstaGeoError
from ..contract.jobs import FCN, INSTAGEO_HEAD, LINEAR, UNET_HEAD, UPERNET, UPSAMPLING

SMALLEST_WIDTH = 32
PYRAMID = 4  # depths at which a pyramid looks
POOLS = (1, 2, 3, 6)  # cells a side of the pyramid pooling: Zhao et al., PSPNet, CVPR 2017, arXiv:1612.01105
INSTAGEO_STAGES = 4
TERRATORCH_FCN, TERRATORCH_LINEAR = "terratorch_fcn", "terratorch_linear"  # of imported checkpoints alone


@dataclass(frozen=True)
class HeadSize:
    """`channels` of each map, `classes` of the result, pixels of a `patch`, `width` of the head, share of `dropout`;
    `stages` that double the size, where their number is free."""

    channels: int
    classes: int
    patch: int
    width: int
    dropout: float
    stages: int = 4


def build_head(name: str, size: HeadSize) -> nn.Module:
    """The head `name`. Raises `InstaGeoError` that lists the known ones, and for a size it cannot have."""
    if name not in _HEADS:
        raise InstaGeoError(f"There is no head '{name}'.", f"Choose one of {', '.join(_HEADS)}.")
    return _HEADS[name](size)


class UpsamplingHead(nn.Module):
    """The last feature map, doubled in size as often as `patch` pixels hold, then stretched bilinearly where the patch
    is no power of two.

    `width` features at first, halved at each doubling but never below `SMALLEST_WIDTH`.
    """

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        doublings = int(math.log2(size.patch))
        self.stretch = size.patch / 2**doublings
        widths = [max(size.width // 2**i, min(size.width, SMALLEST_WIDTH)) for i in range(doublings + 1)]
        self.merge = nn.Sequential(
            nn.Conv2d(size.channels, size.width, 1, bias=False), nn.BatchNorm2d(size.width), nn.ReLU()
        )
        self.stages = nn.Sequential(
            *(_doubling(before, after) for before, after in zip(widths[:-1], widths[1:], strict=True))
        )
        self.dropout = nn.Dropout2d(size.dropout)
        self.classify = nn.Conv2d(widths[-1], size.classes, 1)

    def wanted(self, depth: int) -> tuple[int, ...]:
        return (depth - 1,)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See the module."""
        logits: torch.Tensor = self.classify(self.dropout(self.stages(self.merge(maps[-1]))))
        return logits if self.stretch == 1 else _larger(logits, self.stretch)


class PlainHead(nn.Module):
    """`convolutions` of 3 x 3 on the last feature map (none: a linear head; two: a fully convolutional one), then
    stretched bilinearly (Long et al., FCN, CVPR 2015, arXiv:1411.4038)."""

    def __init__(self, size: HeadSize, convolutions: int) -> None:
        super().__init__()
        widths = [size.channels] + [size.width] * convolutions
        self.layers = nn.Sequential(*(_convolved(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)))
        self.dropout = nn.Dropout2d(size.dropout)
        self.classify = nn.Conv2d(widths[-1], size.classes, 1)
        self.patch = size.patch

    def wanted(self, depth: int) -> tuple[int, ...]:
        return (depth - 1,)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See the module."""
        return _larger(self.classify(self.dropout(self.layers(maps[-1]))), self.patch)


class UNetHead(nn.Module):
    """Maps of four depths as the levels of a U-Net: the earlier, the finer (Hatamizadeh et al., UNETR, WACV 2022,
    arXiv:2103.10504)."""

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        widths = [max(size.width // 2**level, SMALLEST_WIDTH) for level in range(PYRAMID)]
        self.deepest = _convolved(size.channels, widths[0])
        self.skips = nn.ModuleList(_raised(size.channels, widths[level], level) for level in range(1, PYRAMID))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in zip(widths, widths[1:], strict=False))
        self.merge = nn.ModuleList(nn.Sequential(_convolved(2 * b, b), _convolved(b, b)) for b in widths[1:])
        self.dropout = nn.Dropout2d(size.dropout)
        self.classify = nn.Conv2d(widths[-1], size.classes, 1)
        self.stretch = size.patch / 2 ** (PYRAMID - 1)

    def wanted(self, depth: int) -> tuple[int, ...]:
        return pyramid_depths(depth)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See the module."""
        x = self.deepest(maps[-1])
        for skip, earlier, up, merge in zip(self.skips, reversed(maps[:-1]), self.up, self.merge, strict=True):
            x = merge(torch.cat([skip(earlier), up(x)], dim=1))
        return _larger(self.classify(self.dropout(x)), self.stretch)


class UPerNetHead(nn.Module):
    """Pyramid pooling of the deepest map and a feature pyramid over four depths (Xiao et al., UPerNet, ECCV 2018,
    arXiv:1807.10221), the maps of a plain transformer resized to 4, 2, 1 and 1/2 times as in BEiT (arXiv:2106.08254).
    """

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        width = size.width
        self.resized = nn.ModuleList(
            [_raised(size.channels, width, 2), _raised(size.channels, width, 1), _convolved(size.channels, width, 1),
             nn.Sequential(nn.MaxPool2d(2, 2, ceil_mode=True), _convolved(size.channels, width, 1))]
        )  # fmt: skip
        self.pools = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(cells), nn.Conv2d(width, width, 1), nn.ReLU()) for cells in POOLS
        )
        self.pooled = _convolved((len(POOLS) + 1) * width, width)
        self.smooth = nn.ModuleList(_convolved(width, width) for _ in range(PYRAMID - 1))
        self.fuse = _convolved(PYRAMID * width, width)
        self.dropout = nn.Dropout2d(size.dropout)
        self.classify = nn.Conv2d(width, size.classes, 1)
        self.patch = size.patch

    def wanted(self, depth: int) -> tuple[int, ...]:
        return pyramid_depths(depth)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See the module."""
        levels = [resize(one) for resize, one in zip(self.resized, maps, strict=True)]
        deepest = levels[-1]
        pools = [_sized(pool(deepest), deepest.shape[-2:]) for pool in self.pools]
        levels[-1] = self.pooled(torch.cat([deepest, *pools], dim=1))
        for level in range(PYRAMID - 2, -1, -1):
            levels[level] = levels[level] + _sized(levels[level + 1], levels[level].shape[-2:])
        smoothed = [layer(one) for layer, one in zip(self.smooth, levels, strict=False)] + [levels[-1]]
        fine = smoothed[0].shape[-2:]
        fused = self.fuse(torch.cat([_sized(one, fine) for one in smoothed], dim=1))
        height, width = maps[-1].shape[-2:]
        return _sized(self.classify(self.dropout(fused)), (height * self.patch, width * self.patch))


class InstaGeoHead(nn.Module):
    """The head of the InstaGeo framework, so that its checkpoints load: four doublings that halve the features.

    There a map's channels are dimension by dimension, here timestep by timestep: the weights of the first layer are
    reordered on the way. Patches of other than 16 pixels are stretched bilinearly at the end.
    """

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        if size.channels < 2**INSTAGEO_STAGES:
            raise InstaGeoError(f"The head 'instageo' halves {size.channels} features {INSTAGEO_STAGES} times.")
        widths = [size.channels // 2**stage for stage in range(INSTAGEO_STAGES + 1)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1),
                nn.Dropout(0.1),
                nn.Conv2d(b, b, 3, padding=1),
                nn.BatchNorm2d(b),
                nn.ReLU(),
            )
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.dropout = nn.Dropout(size.dropout)
        self.classify = nn.Conv2d(widths[-1], size.classes, 1)
        self.stretch = size.patch / 2**INSTAGEO_STAGES

    def wanted(self, depth: int) -> tuple[int, ...]:
        return (depth - 1,)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See the module."""
        x = maps[-1]
        for stage in self.stages:
            x = stage(x)
        logits: torch.Tensor = self.classify(self.dropout(x))
        return logits if self.stretch == 1 else _larger(logits, self.stretch)


class TerraTorchFcnHead(nn.Module):
    """TerraTorch's FCNDecoder and segmentation head, so that its checkpoints load: `stages` doublings of the last
    feature map."""

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        widths = [size.channels] + [size.width] * size.stages
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(a, b, 2, stride=2), nn.Conv2d(b, b, 3, padding=1), _ChannelNorm(b), nn.GELU()
            )
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.dropout = nn.Dropout(size.dropout)
        self.classify = nn.Conv2d(widths[-1], size.classes, 1)
        self.stretch = size.patch / 2**size.stages

    def wanted(self, depth: int) -> tuple[int, ...]:
        return (depth - 1,)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See the module."""
        x = maps[-1]
        for stage in self.stages:
            x = stage(x)
        return _larger(self.classify(self.dropout(x)), self.stretch)


class _ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ln = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normalised: torch.Tensor = self.ln(x.permute(0, 2, 3, 1))
        return normalised.permute(0, 3, 1, 2)


class TerraTorchLinearHead(nn.Module):
    """TerraTorch's LinearDecoder: one transposed convolution from a patch to its pixels."""

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(size.channels, size.classes, size.patch, stride=size.patch)

    def wanted(self, depth: int) -> tuple[int, ...]:
        return (depth - 1,)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """See the module."""
        logits: torch.Tensor = self.up(maps[-1])
        return logits


def pyramid_depths(depth: int) -> tuple[int, ...]:
    """Four blocks evenly over the depth, the last one included.

    >>> pyramid_depths(12), pyramid_depths(24)
    ((2, 5, 8, 11), (5, 11, 17, 23))
    """
    return tuple(max(0, round(depth * (number + 1) / PYRAMID) - 1) for number in range(PYRAMID))


def _doubling(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2), *_convolved(channels_out, channels_out)
    )


def _convolved(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _raised(channels_in: int, channels_out: int, doublings: int) -> nn.Sequential:
    """To `channels_out` and 2 ** doublings times the size."""
    ups = [nn.ConvTranspose2d(channels_out, channels_out, 2, stride=2) for _ in range(doublings)]
    return nn.Sequential(_convolved(channels_in, channels_out, 1), *ups)


def _larger(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x if factor == 1 else functional.interpolate(x, scale_factor=factor, mode="bilinear")


def _sized(x: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    return functional.interpolate(x, size=tuple(shape), mode="bilinear")


_HEADS: Mapping[str, Callable[[HeadSize], nn.Module]] = {
    UPSAMPLING: UpsamplingHead,
    LINEAR: lambda size: PlainHead(size, 0),
    FCN: lambda size: PlainHead(size, 2),
    UNET_HEAD: UNetHead,
    UPERNET: UPerNetHead,
    INSTAGEO_HEAD: InstaGeoHead,
    TERRATORCH_FCN: TerraTorchFcnHead,
    TERRATORCH_LINEAR: TerraTorchLinearHead,
}
