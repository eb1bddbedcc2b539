"""The encoder of TerraMind v1 (arXiv:2504.11171): patches of several modalities as tokens of one transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from .attention import Block, BlockStyle, run_blocks
from .context import Context
from .positions import sincos_2d
from .vit import INITIAL_STD

PATCH = 16
TRAINED_GRID = (14, 14)  # patches of 224 pixels a side
# Names of the modalities in the published files, and their bands.
MODALITIES: Mapping[str, tuple[str, int]] = {
    "S2L2A": ("untok_sen2l2a@224", 12),
    "S2L1C": ("untok_sen2l1c@224", 13),
    "S1GRD": ("untok_sen1grd@224", 2),
    "S1RTC": ("untok_sen1rtc@224", 2),
    "DEM": ("untok_dem@224", 1),
    "RGB": ("untok_sen2rgb@224", 3),
}


@dataclass(frozen=True)
class TerraMindSize:
    """The constants of one size. `gated`: base and large have SwiGLU and no biases."""

    dim: int
    depth: int
    heads: int
    gated: bool = False

    @property
    def style(self) -> BlockStyle:
        return BlockStyle(eps=1e-6, norm_bias=False, bias=not self.gated, gated=self.gated)


class PatchTokens(nn.Module):
    """Patches of one modality to tokens: pixels in the order row, column, band through a linear layer without bias."""

    def __init__(self, bands: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(bands * PATCH * PATCH, dim, bias=False)
        self.mod_emb = nn.Parameter(torch.zeros(1, 1, dim))
        nn.init.normal_(self.mod_emb, std=INITIAL_STD)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, h * w, D), row by row."""
        n, c, height, width = x.shape
        rows, columns = height // PATCH, width // PATCH
        cut = x.reshape(n, c, rows, PATCH, columns, PATCH).permute(0, 2, 4, 3, 5, 1)
        tokens: torch.Tensor = self.proj(cut.reshape(n, rows * columns, -1))
        return tokens + positions(tokens.shape[-1], (rows, columns)).to(tokens) + self.mod_emb


def positions(dim: int, shape: tuple[int, int]) -> torch.Tensor:
    """(h * w, D): the table of the trained grid, stretched bicubically (corners not aligned) to another `shape`."""
    table = sincos_2d(dim, *TRAINED_GRID)
    if shape == TRAINED_GRID:
        return table
    image = table.view(*TRAINED_GRID, dim).permute(2, 0, 1)[None]
    stretched = functional.interpolate(image, size=shape, mode="bicubic", align_corners=False)
    return stretched[0].permute(1, 2, 0).reshape(-1, dim)


class TerraMindEncoder(nn.Module):
    """Tokens of all `modalities`, one after the other, through the same blocks. There is no class token.

    `bands` counts those of each modality, where they are a subset of the trained ones.
    """

    def __init__(self, modalities: Sequence[str], size: TerraMindSize, bands: Sequence[int] = ()) -> None:
        super().__init__()
        counts = bands or [MODALITIES[name][1] for name in modalities]
        self.modalities = tuple(modalities)
        self.dim, self.depth, self.patch = size.dim, size.depth, PATCH
        self.encoder_embeddings = nn.ModuleList(PatchTokens(count, size.dim) for count in counts)
        self.encoder = nn.ModuleList(Block(size.dim, size.heads, size.style) for _ in range(size.depth))
        self.encoder_norm = nn.LayerNorm(size.dim, eps=size.style.eps, bias=False)

    def embed(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """One (N, C, H, W) a modality to the tokens entering the first block, (N, modalities * h * w, D)."""
        return torch.cat([part(image) for part, image in zip(self.encoder_embeddings, images, strict=True)], dim=1)

    def features(self, images: Sequence[torch.Tensor], wanted: Sequence[int]) -> list[torch.Tensor]:
        """Tokens (N, modalities * h * w, D) after the blocks `wanted`; of the last one after the normalisation."""
        return run_blocks(self.encoder, self.encoder_norm, self.embed(images), wanted)[1]

    def forward(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Tokens after the last block, averaged over the modalities: (N, h * w, D)."""
        return self.merged(run_blocks(self.encoder, self.encoder_norm, self.embed(images))[0])

    def maps(
        self, images: Sequence[torch.Tensor], wanted: Sequence[int], context: Context | None = None
    ) -> list[torch.Tensor]:
        """One (N, T, C, H, W) a modality to (N, T * D, h, w) after the blocks `wanted`, the modalities merged.

        Each timestep goes through the blocks by itself; static images (one timestep) go with every one of the others.
        The context tells it nothing.
        """
        n, frames = len(images[0]), max(image.shape[1] for image in images)
        stacked = [image.expand(-1, frames, -1, -1, -1).flatten(0, 1) for image in images]
        rows, columns = (side // PATCH for side in stacked[0].shape[-2:])
        found = []
        for tokens in self.features(stacked, wanted):
            grid = self.merged(tokens).view(n, frames, rows, columns, self.dim)
            found.append(grid.permute(0, 1, 4, 2, 3).flatten(1, 2))
        return found

    def merged(self, tokens: torch.Tensor) -> torch.Tensor:
        """The mean over the modalities, position by position."""
        n, _, dim = tokens.shape
        return tokens.view(n, len(self.modalities), -1, dim).mean(dim=1)


def terramind_weights(published: Mapping[str, torch.Tensor], modalities: Sequence[str]) -> dict[str, torch.Tensor]:
    """A published state dict by the keys of `TerraMindEncoder`.

    Other modalities, the decoder and fixed tables (positions, biases of the normalisations, which are zero) are left
    out.
    """
    embeddings = {f"encoder_embeddings.{MODALITIES[name][0]}.": i for i, name in enumerate(modalities)}
    found = {}
    for key, value in published.items():
        if key.endswith(("pos_emb", "norm1.bias", "norm2.bias", "encoder_norm.bias")):
            continue
        if key.startswith(("encoder.", "encoder_norm.")):
            found[key] = value
        for prefix, number in embeddings.items():
            if key.startswith(prefix):
                found[f"encoder_embeddings.{number}.{key.removeprefix(prefix)}"] = value
    return found
