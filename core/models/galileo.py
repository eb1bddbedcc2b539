"""Galileo (arXiv:2502.09356): images and series of many sensors, at any patch size from 1 to 8 pixels, in one encoder.

Inputs come in four kinds: they vary over space and time, over space, over time, or not at all. A token is one group of
bands in one patch at one timestep, as far as its kind has patches and timesteps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .attention import Block
from .presto import ADD, DIVIDE, cartesian, month_table, without_unseen, xavier_linear

LARGEST_PATCH = 8
LONGEST_SERIES = 24
_BASE_PIXEL_M = 10.0
_BASE = 10_000.0
_PARTS = 4  # of what is added to a token: channel, time position, month, space

SPACE_TIME, SPACE, TIME, STATIC = "space_time", "space", "time", "static"
BANDS: Mapping[str, tuple[str, ...]] = {
    SPACE_TIME: ("VV", "VH", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12", "NDVI"),
    SPACE: ("elevation", "slope", *(f"DW_{i}" for i in range(9)), *(f"WC_{i}" for i in range(5))),
    TIME: ("temperature_2m", "total_precipitation_sum", "def", "soil", "aet", "avg_rad"),
    STATIC: ("LS", "x", "y", "z", *(f"DW_static_{i}" for i in range(9)), *(f"WC_static_{i}" for i in range(5))),
}
GROUPS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    SPACE_TIME: {
        "S1": (0, 1), "S2_RGB": (2, 3, 4), "S2_Red_Edge": (5, 6, 7), "S2_NIR_10m": (8,), "S2_NIR_20m": (9,),
        "S2_SWIR": (10, 11), "NDVI": (12,),
    },
    SPACE: {"SRTM": (0, 1), "DW": tuple(range(2, 11)), "WC": tuple(range(11, 16))},
    TIME: {"ERA5": (0, 1), "TC": (2, 3, 4), "VIIRS": (5,)},
    STATIC: {"LS": (0,), "location": (1, 2, 3), "DW_static": tuple(range(4, 13)), "WC_static": tuple(range(13, 18))},
}  # fmt: skip
_CHANNELS = {SPACE_TIME: "s_t_channel_embed", SPACE: "sp_channel_embed", TIME: "t_channel_embed",
             STATIC: "st_channel_embed"}  # fmt: skip


@dataclass(frozen=True)
class GalileoSize:
    """The constants of one size."""

    dim: int
    depth: int
    heads: int


@dataclass(frozen=True)
class GalileoInput:
    """What is seen, normalised. Images are square.

    `values` by kind: space_time (N, H, W, T, 13), space (N, H, W, 16), time (N, T, 6), static (N, 18), with bands in
    the order of `BANDS`. `missing` has the same shapes with one flag a group in place of bands. `months` (N, T) from 0
    to 11. `pixel_m` is the size of a pixel in metres.
    """

    values: Mapping[str, torch.Tensor]
    missing: Mapping[str, torch.Tensor]
    months: torch.Tensor
    patch: int
    pixel_m: float = _BASE_PIXEL_M


# Mean and standard deviation of backscatter in dB and reflectance x 10000 in pretraining, in the order of `BANDS`.
_MEAN = (-11.729, -18.856, 1395.3, 1338.4, 1343.1, 1543.9, 2186.2, 2525.1, 2410.3, 2750.3, 2234.9, 1474.5)
_STD = (4.887, 5.730, 917.7, 913.3, 1092.7, 1047.2, 1048.0, 1143.7, 1099.0, 1204.5, 1146.0, 980.2)
_RED, _NIR = BANDS[SPACE_TIME].index("B4"), BANDS[SPACE_TIME].index("B8")


def pixels_seen(raw: torch.Tensor, months: torch.Tensor, places: torch.Tensor) -> GalileoInput:
    """Single pixels as the encoder takes them.

    raw: (N, T, 16) as `presto.normalised` takes them, NaN = missing; months (N, T); places (N, 2). Backscatter and
    reflectance are scaled by (x - (mean - 2 sd)) / (4 sd), weather and terrain as Presto's; NDVI stays as it is.
    """
    n, steps = months.shape
    dated, weather, terrain = torch.split(raw.double(), [len(_MEAN), 2, 2], dim=-1)
    mean, std = (torch.tensor(part, dtype=torch.float64, device=raw.device) for part in (_MEAN, _STD))
    total = dated[..., _NIR] + dated[..., _RED]
    ndvi = torch.where(total > 0, (dated[..., _NIR] - dated[..., _RED]) / total, torch.where(total <= 0, 0.0, total))
    scaled = torch.cat([(dated - mean + 2 * std) / (4 * std), ndvi[..., None]], dim=-1)
    add, divide = (torch.tensor(part, dtype=torch.float64, device=raw.device) for part in (ADD, DIVIDE))
    weather = (weather + add[12:14]) / divide[12:14]
    terrain = (terrain[:, 0] + add[14:]) / divide[14:]
    values = {
        SPACE_TIME: scaled.view(n, 1, 1, steps, -1),
        SPACE: _filled(terrain, len(BANDS[SPACE])).view(n, 1, 1, -1),
        TIME: _filled(weather, len(BANDS[TIME])),
        STATIC: _filled(torch.cat([torch.full_like(terrain[:, :1], torch.nan), cartesian(places)], dim=-1),
                        len(BANDS[STATIC])),
    }  # fmt: skip
    missing = {
        kind: torch.stack([part[..., list(bands)].isnan().any(dim=-1) for bands in GROUPS[kind].values()], dim=-1)
        for kind, part in values.items()
    }
    known = {kind: torch.nan_to_num(part.float()) for kind, part in values.items()}
    return GalileoInput(known, missing, months, patch=1)


def _filled(first: torch.Tensor, bands: int) -> torch.Tensor:
    """The first bands of a kind; the others are missing."""
    rest = first.new_full((*first.shape[:-1], bands - first.shape[-1]), torch.nan)
    return torch.cat([first, rest], dim=-1)


@dataclass(frozen=True)
class GalileoTokens:
    """Tokens (N, ..., groups, D) by kind, shaped (h, w, T), (h, w), (T), () in the middle; `seen` alike without D."""

    tokens: Mapping[str, torch.Tensor]
    seen: Mapping[str, torch.Tensor]

    def mean(self) -> torch.Tensor:
        """(N, D): over all tokens that are there."""
        tokens = torch.cat([part.flatten(1, -2) for part in self.tokens.values()], dim=1)
        return _mean(tokens, torch.cat([part.flatten(1) for part in self.seen.values()], dim=1))

    def by_patch(self) -> torch.Tensor:
        """(N, h * w, D): of each patch's tokens and those that belong to all patches."""
        n, rows, columns = self.seen[SPACE].shape[:3]
        parts, there = [], []
        for kind, tokens in self.tokens.items():
            seen = self.seen[kind]
            if kind in (SPACE_TIME, SPACE):
                parts.append(tokens.flatten(3, -2).flatten(1, 2))
                there.append(seen.flatten(3).flatten(1, 2))
            else:
                flat, known = tokens.flatten(1, -2), seen.flatten(1)
                parts.append(flat[:, None].expand(-1, rows * columns, -1, -1))
                there.append(known[:, None].expand(-1, rows * columns, -1))
        joined, known = torch.cat(parts, dim=2), torch.cat(there, dim=2)
        return _mean(joined.flatten(0, 1), known.flatten(0, 1)).view(n, rows * columns, -1)


def _mean(tokens: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    weights = seen[..., None].to(tokens.dtype)
    mean: torch.Tensor = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    return mean


class PatchKernel(nn.Module):
    """A convolution over patches whose kernel fits any patch size (FlexiViT, arXiv:2212.08013)."""

    def __init__(self, bands: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(bands, dim, LARGEST_PATCH, LARGEST_PATCH)

    def forward(self, x: torch.Tensor, patch: int) -> torch.Tensor:
        """(N, H, W, C) to (N, h, w, D), as a product of matrices: see `vit.PatchEmbed`."""
        n, height, width, bands = x.shape
        rows, columns = height // patch, width // patch
        kernel = self.proj.weight
        if patch != LARGEST_PATCH:
            kernel = kernel.flatten(2) @ resizing(patch).to(kernel).T
        cut = x.view(n, rows, patch, columns, patch, bands).permute(0, 1, 3, 5, 2, 4)
        matrix = kernel.flatten(1)
        tokens: torch.Tensor = functional.linear(cut.reshape(n, rows, columns, -1), matrix, self.proj.bias)
        return tokens


@lru_cache(maxsize=LARGEST_PATCH)
def resizing(patch: int) -> torch.Tensor:
    """(patch^2, 64): from a kernel of 8 x 8 to the one of another size that gives the same tokens on resized patches.

    The pseudo-inverse of the bicubic, antialiased resizing of an 8 x 8 patch (FlexiViT, arXiv:2212.08013, section 3.4).
    """
    side = LARGEST_PATCH
    basis = torch.eye(side * side).view(-1, 1, side, side)
    resized = functional.interpolate(basis, size=(patch, patch), mode="bicubic", antialias=True)
    inverse: torch.Tensor = torch.linalg.pinv(resized.view(side * side, patch * patch))
    return inverse


class GalileoEncoder(nn.Module):
    """See the module. Names of parameters are the published ones, but for query, key and value, which are one here."""

    def __init__(self, size: GalileoSize) -> None:
        super().__init__()
        dim, part = size.dim, size.dim // _PARTS
        self.dim = dim
        for kind, name in _CHANNELS.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(len(GROUPS[kind]), part)))
        self.space_time_embed = _kernels(SPACE_TIME, dim)
        self.space_embed = _kernels(SPACE, dim)
        self.time_embed = _lines(TIME, dim)
        self.static_embed = _lines(STATIC, dim)
        self.blocks = nn.ModuleList(Block(dim, size.heads) for _ in range(size.depth))
        self.norm = nn.LayerNorm(dim, eps=1e-5)
        self.apply(xavier_linear)

    def forward(self, seen: GalileoInput) -> GalileoTokens:
        """Tokens after the last block, normalised; those that are not there hold the normalisation's bias."""
        entering = self.embed(seen)
        tokens = torch.cat([part.flatten(1, -2) for part in entering.tokens.values()], dim=1)
        there = torch.cat([part.flatten(1) for part in entering.seen.values()], dim=1)
        few, known = without_unseen(tokens, there)
        everything = bool(known.all())
        for block in self.blocks:
            few = block(few, None if everything else known)
        whole = torch.zeros_like(tokens)
        whole[there] = few[known]
        return GalileoTokens(_apart(self.norm(whole), entering.tokens), entering.seen)

    def embed(self, seen: GalileoInput) -> GalileoTokens:
        """The tokens entering the first block, and which are there.

        Raises `ValueError` for images that are not square or no multiple of the patch, and for too long series.
        """
        height, width = seen.values[SPACE].shape[1:3]
        if height != width or height % seen.patch:
            raise ValueError(
                f"images have {width} x {height} pixels; expected squares of whole patches of {seen.patch}"
            )
        if seen.months.shape[1] > LONGEST_SERIES:
            raise ValueError(f"the series has {seen.months.shape[1]} timesteps; the model takes up to {LONGEST_SERIES}")
        tokens = {kind: self._tokens(kind, seen) for kind in BANDS}
        step = (slice(None), slice(None, None, seen.patch), slice(None, None, seen.patch))
        there = {kind: ~(flags[step] if kind in (SPACE_TIME, SPACE) else flags) for kind, flags in seen.missing.items()}
        return GalileoTokens(tokens, {kind: there[kind] for kind in BANDS})

    def _tokens(self, kind: str, seen: GalileoInput) -> torch.Tensor:
        values = seen.values[kind]
        groups = GROUPS[kind].items()
        if kind == SPACE_TIME:
            n, steps = values.shape[0], values.shape[3]
            images = values.permute(0, 3, 1, 2, 4).flatten(0, 1)  # (N * T, H, W, C)
            found = [self.space_time_embed[name](images[..., list(bands)], seen.patch) for name, bands in groups]
            tokens = torch.stack([part.unflatten(0, (n, steps)).permute(0, 2, 3, 1, 4) for part in found], dim=-2)
        elif kind == SPACE:
            found = [self.space_embed[name](values[..., list(bands)], seen.patch) for name, bands in groups]
            tokens = torch.stack(found, dim=-2)
        else:
            layers = self.time_embed if kind == TIME else self.static_embed
            tokens = torch.stack([layers[name](values[..., list(bands)]) for name, bands in groups], dim=-2)
        return tokens + self._encoding(kind, tokens, seen)

    def _encoding(self, kind: str, tokens: torch.Tensor, seen: GalileoInput) -> torch.Tensor:
        """What is added to the tokens of a kind: channel, time position, month, place; zeros where it has none."""
        part = self.dim // _PARTS
        added = torch.zeros(tokens.shape, dtype=tokens.dtype, device=tokens.device)
        added[..., :part] = getattr(self, _CHANNELS[kind])
        if kind in (SPACE_TIME, TIME):
            steps = seen.months.shape[1]
            order = sincos(part, np.arange(steps)).to(added).expand(len(tokens), -1, -1)
            times = torch.cat([order, month_table(part).to(added)[seen.months]], dim=-1)
            shape = (len(tokens), *[1] * (tokens.ndim - 4), steps, 1, 2 * part)
            added[..., part : 3 * part] = times.view(shape)
        if kind in (SPACE_TIME, SPACE):
            places = sincos_of_patches(part, tokens.shape[1], seen.patch * seen.pixel_m / _BASE_PIXEL_M).to(added)
            added[..., 3 * part :] = places.view(1, *places.shape[:2], *[1] * (tokens.ndim - 4), part)
        return added


def _kernels(kind: str, dim: int) -> nn.ModuleDict:
    return nn.ModuleDict({name: PatchKernel(len(bands), dim) for name, bands in GROUPS[kind].items()})


def _lines(kind: str, dim: int) -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.Linear(len(bands), dim) for name, bands in GROUPS[kind].items()})


def _apart(tokens: torch.Tensor, like: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """(N, L, D) as the shapes of `like`."""
    sizes = [part.flatten(1, -2).shape[1] for part in like.values()]
    return {
        kind: part.reshape(shape.shape)
        for (kind, shape), part in zip(like.items(), torch.split(tokens, sizes, dim=1), strict=True)
    }


def sincos(dim: int, positions: np.ndarray) -> torch.Tensor:
    """(n, dim) float32: sines, then cosines, of frequencies 1 / 10000^(i / dim / 2), as the weights were trained."""
    frequencies = 1.0 / _BASE ** (np.arange(dim // 2, dtype=np.float64) / dim / 2.0)
    angles = np.outer(positions.astype(np.float64), frequencies)
    return torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32))


def sincos_of_patches(dim: int, side: int, scale: float) -> torch.Tensor:
    """(side, side, dim): the first half follows the column, the second the row, both times `scale`."""
    along = sincos(dim // 2, np.arange(side) * scale)
    columns, rows = along[None].expand(side, -1, -1), along[:, None].expand(-1, side, -1)
    return torch.cat([columns, rows], dim=-1)


def galileo_weights(published: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A published state dict by the keys of `GalileoEncoder`: query, key and value joined, fixed tables left out."""
    found: dict[str, torch.Tensor] = {}
    for raw_key, value in published.items():
        key = raw_key.replace(".backbone", "")
        if key in ("pos_embed", "month_embed.weight") or ".attn.k." in key or ".attn.v." in key:
            continue
        if ".attn.q." in key:
            parts = [published[raw_key.replace(".attn.q.", f".attn.{name}.")] for name in "qkv"]
            found[key.replace(".attn.q.", ".attn.qkv.")] = torch.cat(parts)
        else:
            found[key] = value
    return found
