"""The encoders of Prithvi-EO 1.0 and 2.0 (arXiv:2310.18660, arXiv:2412.02732), with and without time and location."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from .context import Context
from .positions import sincos_of
from .vit import VisionTransformer

TRAINED_PX = 224  # a side of the images that all published checkpoints were trained on
_NOT_LOADED = ("pos_embed", "mask_token")  # recomputed, and not needed
_DECODERS = ("decoder.", "decoder_")


@dataclass(frozen=True)
class PrithviSize:
    """The constants of one size."""

    dim: int
    depth: int
    heads: int
    patch: int = 16


class _Scaled(nn.Module):
    """The one number that a kind of coordinates was trained with."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 0.1))

    def forward(self, coordinates: torch.Tensor, dim: int) -> torch.Tensor:
        """(..., 2) coordinates to (..., dim), half of it for each; zeros where one is NaN."""
        known = coordinates.isfinite().all(dim=-1, keepdim=True)
        numbers = torch.where(known, coordinates, 0.0).float()
        encoded = torch.cat([sincos_of(dim // 2, numbers[..., number]) for number in (0, 1)], dim=-1)
        return torch.where(known, self.scale * encoded, 0.0)


class PrithviEncoder(VisionTransformer):
    """`VisionTransformer` of one input, to which time and location may be added, to patch tokens only.

    With `coordinates` a `Context` is used; what it lacks is left out.
    """

    def __init__(self, bands: int, size: PrithviSize, coordinates: bool = False) -> None:
        grid = TRAINED_PX // size.patch
        super().__init__([bands], size.dim, size.depth, size.heads, size.patch, trained_grid=(grid, grid))
        self.temporal_embed_enc = _Scaled() if coordinates else None
        self.location_embed_enc = _Scaled() if coordinates else None

    def placed(self, x: torch.Tensor, frames: int, context: Context | None) -> torch.Tensor:
        """Patch tokens (N, T * h * w, D) with their time and location added."""
        if context is None or self.temporal_embed_enc is None or self.location_embed_enc is None:
            return x
        if context.times is not None:
            times = self.temporal_embed_enc(context.times, self.dim)  # (N, T, D)
            x = x + times.repeat_interleave(x.shape[1] // frames, dim=1)
        if context.places is not None:
            x = x + self.location_embed_enc(context.places, self.dim)[:, None]
        return x


def prithvi_weights(published: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A published state dict, prefixes stripped, by the keys of `PrithviEncoder`.

    Decoders, mask tokens and fixed positions are left out; the patch convolution's kernel becomes a matrix.
    """
    found = {}
    for key, value in published.items():
        if key in _NOT_LOADED or key.startswith(_DECODERS):
            continue
        name = key.replace("patch_embed.", "patch_embeds.0.")
        found[name] = value.flatten(1) if name.endswith("patch_embeds.0.proj.weight") else value
    return found
