"""A vision transformer over time, shaped as Prithvi-EO-2.0 (arXiv:2412.02732), with a segmentation head.

Every patch of every timestep is a token; positions are fixed sine-cosine tables, so any number of timesteps and any
size goes in. Several inputs give their tokens to the same blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..contract.dataset import InputSpec
from ..contract.errors import Problems
from .attention import Block, BlockStyle, run_blocks
from .context import Context
from .heads import HeadSize, build_head
from .positions import interpolated_3d, sincos_3d
from .segmenter import Segmenter

INITIAL_STD = 0.02  # of tokens and weights drawn at first, as in ViT (arXiv:2010.11929)


class PatchEmbed(nn.Module):
    """Patches of single timesteps to tokens, by a linear layer on unfolded patches.

    The same as a (1, patch, patch) 3-D convolution whose weights (D, C, 1, patch, patch) are flattened behind D; not
    run as one because torch 2.13's bfloat16 patch convolutions are wrong on processors with AMX.
    """

    def __init__(self, bands: int, dim: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Linear(bands * patch * patch, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, C, H, W) to (N, T * h * w, D): by timestep, then row, then column."""
        n, t, c, height, width = x.shape
        rows, columns = height // self.patch, width // self.patch
        cut = x.reshape(n, t, c, rows, self.patch, columns, self.patch)
        patches = cut.permute(0, 1, 3, 5, 2, 4, 6).reshape(n, t * rows * columns, -1)  # (N, tokens, C * patch^2)
        tokens: torch.Tensor = self.proj(patches)
        return tokens


class VisionTransformer(nn.Module):
    """The encoder: (N, T, C, H, W) an input to tokens.

    `bands` counts those of each input. `trained_grid` is the token grid whose positions are stretched to other sizes;
    None computes them for the size at hand.
    """

    def __init__(  # noqa: PLR0913 - the constants of an architecture
        self,
        bands: Sequence[int],
        dim: int,
        depth: int,
        heads: int,
        patch: int,
        *,
        trained_grid: tuple[int, int] | None = None,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.dim, self.depth, self.patch, self.trained_grid = dim, depth, patch, trained_grid
        self.patch_embeds = nn.ModuleList(PatchEmbed(c, dim, patch) for c in bands)
        self.input_embed = nn.Parameter(torch.zeros(len(bands), dim)) if len(bands) > 1 else None
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, BlockStyle(eps)) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.cls_token, std=INITIAL_STD)
        if self.input_embed is not None:
            nn.init.trunc_normal_(self.input_embed, std=INITIAL_STD)

    def positions(self, frames: int, rows: int, columns: int) -> torch.Tensor:
        if self.trained_grid is None:
            return sincos_3d(self.dim, frames, rows, columns)
        return interpolated_3d(self.dim, frames, (rows, columns), self.trained_grid)

    def placed(self, x: torch.Tensor, frames: int, context: Context | None) -> torch.Tensor:
        """Patch tokens with what `context` adds to them; nothing here."""
        return x

    def embed(self, images: Sequence[torch.Tensor], context: Context | None = None) -> torch.Tensor:
        """The tokens entering the first block, (N, 1 + sum of T * h * w, D): the class token, then input by input."""
        tokens = [self.cls_token.expand(images[0].shape[0], -1, -1)]
        for i, (image, patch_embed) in enumerate(zip(images, self.patch_embeds, strict=True)):
            rows, columns = image.shape[-2] // self.patch, image.shape[-1] // self.patch
            x = patch_embed(image)
            x = x + self.positions(image.shape[1], rows, columns).to(x.device, x.dtype)
            x = self.placed(x, image.shape[1], context)
            tokens.append(x if self.input_embed is None else x + self.input_embed[i])
        return torch.cat([part.to(tokens[-1].dtype) for part in tokens], dim=1)

    def forward(self, images: Sequence[torch.Tensor], context: Context | None = None) -> torch.Tensor:
        """Tokens after the last block and its normalisation, shaped as those of `embed`."""
        return run_blocks(self.blocks, self.norm, self.embed(images, context))[0]

    def features(
        self, images: Sequence[torch.Tensor], wanted: Sequence[int], context: Context | None = None
    ) -> list[torch.Tensor]:
        """Tokens after the blocks `wanted`; of the last one after the normalisation too."""
        return run_blocks(self.blocks, self.norm, self.embed(images, context), wanted)[1]

    def maps(
        self, images: Sequence[torch.Tensor], wanted: Sequence[int], context: Context | None = None
    ) -> list[torch.Tensor]:
        """(N, all T * D, h, w) after the blocks `wanted`, as `features`: timesteps one after the other."""
        rows, columns = (side // self.patch for side in images[0].shape[-2:])
        found = []
        for tokens in self.features(images, wanted, context):
            grid = tokens[:, 1:].reshape(len(tokens), -1, rows, columns, self.dim)  # (N, T, h, w, D)
            found.append(grid.permute(0, 1, 4, 2, 3).flatten(1, 2))
        return found


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=INITIAL_STD)
        nn.init.zeros_(module.bias)
    elif isinstance(module, PatchEmbed):
        nn.init.xavier_uniform_(module.proj.weight)


def build_vit(constants: Mapping[str, Any], inputs: Sequence[InputSpec], classes: int) -> Segmenter:
    """The zoo's builder. Raises `InstaGeoError` for constants that make no network."""
    dim, heads, patch = constants["dim"], constants["heads"], constants["patch"]
    problems = Problems("Vision transformer")
    if dim < 16 or dim % 16 or dim % heads:
        problems.add(f"dim is {dim} with {heads} heads; expected a multiple of 16 that the heads divide.")
    if patch < 1 or patch & (patch - 1):
        problems.add(f"patch is {patch} pixels; expected a power of two.")
    problems.raise_if_any()
    encoder = VisionTransformer([len(spec.bands) for spec in inputs], dim, constants["depth"], heads, patch)
    frames = sum(spec.timesteps for spec in inputs)
    return Segmenter(encoder, segmentation_head(constants, frames * dim, classes, patch))


def segmentation_head(constants: Mapping[str, Any], channels: int, classes: int, patch: int) -> nn.Module:
    """The head that the constants of an architecture name, on maps of so many channels."""
    size = HeadSize(channels, classes, patch, constants["head_width"], constants["dropout"], constants["head_stages"])
    return build_head(constants["head"], size)
