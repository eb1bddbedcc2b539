"""Presto (arXiv:2304.14065): a pixel's series of Sentinel-1, Sentinel-2, weather and elevation to one embedding.

A token is one group of bands at one timestep. Tokens that miss a value are left out by a mask, so that samples with
different gaps go through together, which the published code cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .attention import Block, run_blocks

BANDS = ("VV", "VH", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12", "temperature_2m",
         "total_precipitation", "elevation", "slope", "NDVI")  # fmt: skip
# The order of the groups is that of the channel embeddings; published files list them in another.
GROUPS: Mapping[str, tuple[int, ...]] = {
    "S1": (0, 1), "S2_RGB": (2, 3, 4), "S2_Red_Edge": (5, 6, 7), "S2_NIR_10m": (8,), "S2_NIR_20m": (9,),
    "S2_SWIR": (10, 11), "ERA5": (12, 13), "SRTM": (14, 15), "NDVI": (16,),
}  # fmt: skip
# (value + ADD) / DIVIDE of backscatter in dB, reflectance x 10000, kelvin, metres of rain, metres, degrees.
ADD = (25.0, 25.0, *[0.0] * 10, -272.15, 0.0, 0.0, 0.0)
DIVIDE = (25.0, 25.0, *[10_000.0] * 10, 35.0, 0.03, 2000.0, 50.0)
NO_CLASS = 9  # of Dynamic World
_STATIC = "SRTM"
_RED, _NIR, _NDVI = 4, 8, 16
_MONTH, _CHANNEL, _POSITION = 32, 32, 64  # parts of what is added to a token
_POSITION_BASE = 1000.0
_MONTHS = 12


@dataclass(frozen=True)
class PixelSeries:
    """N series of T timesteps: `x` (N, T, 17) normalised, `missing` (N, T, 17) bool, `months` (N, T) from 0 to 11,
    `places` (N, 2) latitude and longitude in degrees, `dynamic_world` (N, T) classes or None where there are none."""

    x: torch.Tensor
    missing: torch.Tensor
    months: torch.Tensor
    places: torch.Tensor
    dynamic_world: torch.Tensor | None = None


def normalised(raw: torch.Tensor, missing: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, T, 16) values of all `BANDS` but NDVI in their units, and which are missing, to those of a `PixelSeries`.

    Computed in float64, NDVI of the normalised bands in float32, as published; it is 0 where B8 + B4 is not positive,
    and missing where one of them is. Missing values become 0.
    """
    add, divide = (torch.tensor(part, dtype=torch.float64, device=raw.device) for part in (ADD, DIVIDE))
    x = ((torch.where(missing, 0.0, raw.double()) + add) / divide).float()
    x = torch.where(missing, 0.0, x)
    red, nir = x[..., _RED], x[..., _NIR]
    total = red + nir
    ndvi = torch.where(total > 0, (nir - red) / torch.where(total > 0, total, 1.0), 0.0)
    no_ndvi = missing[..., _RED] | missing[..., _NIR]
    ndvi = torch.where(no_ndvi, 0.0, ndvi)
    return torch.cat([x, ndvi[..., None]], dim=-1), torch.cat([missing, no_ndvi[..., None]], dim=-1)


class PrestoEncoder(nn.Module):
    """`steps`: the longest series it was trained for (24 months, or 72 dekads of WorldCereal's)."""

    def __init__(self, steps: int = 24, dim: int = 128, depth: int = 2, heads: int = 8) -> None:
        super().__init__()
        self.steps, self.dim = steps, dim
        self.eo_patch_embed = nn.ModuleDict({name: nn.Linear(len(bands), dim) for name, bands in GROUPS.items()})
        self.dw_embed = nn.Embedding(NO_CLASS + 1, dim)
        self.latlon_embed = nn.Linear(3, dim)
        self.channel_embed = nn.Embedding(len(GROUPS) + 1, _CHANNEL)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-5)
        self.apply(xavier_linear)

    def forward(self, series: PixelSeries) -> torch.Tensor:
        """(N, D): the mean of the tokens that are there, normalised."""
        tokens, seen = without_unseen(*self.embed(series))
        mask = None if bool(seen.all()) else seen
        for block in self.blocks[:-1]:
            tokens = block(tokens, mask)
        weights = seen[:, None].to(tokens.dtype)
        last: Block = self.blocks[-1]  # type: ignore[assignment]
        pooled: torch.Tensor = self.norm(last.mean_after(tokens, weights / weights.sum(-1, True), mask))
        return pooled

    def by_step(self, series: PixelSeries) -> torch.Tensor:
        """(N, T, D): the mean of each timestep's tokens, the static one among those of every step, normalised; zeros
        where a step has none. Location and Dynamic World are left out."""
        tokens, seen = self.embed(series)
        for block in self.blocks:
            tokens = block(tokens, seen)
        n, steps = series.months.shape
        total = torch.zeros(n, steps, self.dim, device=tokens.device)
        count = torch.zeros(n, steps, 1, device=tokens.device)
        at = 1
        for name in GROUPS:
            length = 1 if name == _STATIC else steps
            there = seen[:, at : at + length, None].float()
            total = total + tokens[:, at : at + length] * there
            count = count + there
            at += length
        pooled = self.norm(total / count.clamp(min=1))
        return torch.where(count > 0, pooled, 0.0)

    def tokens(self, series: PixelSeries) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, L, D) tokens after the last block, normalised, and (N, L) bool which of them are there."""
        tokens, seen = self.embed(series)
        return run_blocks(self.blocks, self.norm, tokens, seen=seen)[0], seen

    def embed(self, series: PixelSeries) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens entering the first block, and which are there: location, then group by group, then classes.

        Raises `ValueError` for a series longer than the model was trained for.
        """
        n, steps = series.months.shape
        if steps > self.steps:
            raise ValueError(f"the series has {steps} timesteps; the model takes up to {self.steps}")
        device = series.x.device
        months = month_table().to(device)[series.months]
        positions = position_table(steps).to(device).expand(n, -1, -1)
        values = torch.where(series.missing, 0.0, series.x)
        parts = [self.latlon_embed(cartesian(series.places))[:, None]]
        seen = [torch.ones(n, 1, dtype=torch.bool, device=values.device)]
        for number, (name, bands) in enumerate(GROUPS.items()):
            there = ~series.missing[..., list(bands)].any(dim=-1)  # (N, T)
            token = self.eo_patch_embed[name](values[..., list(bands)])
            channel = self.channel_embed.weight[number].expand(n, steps, -1)
            added = torch.cat([months, channel, positions], dim=-1)
            if name == _STATIC:
                token, there = token[:, :1], there[:, :1]
                added = torch.zeros_like(added[:, :1])
                added[..., _MONTH : _MONTH + _CHANNEL] = channel[:, :1]
            parts.append(token + added)
            seen.append(there)
        if series.dynamic_world is not None:
            channel = self.channel_embed.weight[len(GROUPS)].expand(n, steps, -1)
            parts.append(self.dw_embed(series.dynamic_world) + torch.cat([months, channel, positions], dim=-1))
            seen.append(series.dynamic_world != NO_CLASS)
        return torch.cat(parts, dim=1), torch.cat(seen, dim=1)


def xavier_linear(module: nn.Module) -> None:
    """Fresh weights of linear layers, as the published trainings began (Glorot and Bengio, 2010)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def without_unseen(tokens: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens in as few places as the fullest sample needs: those that are there come first, in order."""
    needed = int(seen.sum(dim=1).max())
    if needed == seen.shape[1]:
        return tokens, seen
    whole = seen.all(dim=0) | ~seen.any(dim=0)
    if bool(whole.all()):  # the same gaps everywhere
        kept = seen[0]
        return tokens[:, kept], seen[:, kept]
    order = seen.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :needed]
    return tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[-1])), seen.gather(1, order)


def cartesian(places: torch.Tensor) -> torch.Tensor:
    """(N, 2) latitude and longitude in degrees to points of the unit sphere (N, 3)."""
    latitude, longitude = torch.deg2rad(places).unbind(dim=-1)
    return torch.stack([latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()], dim=-1)


def month_table(dim: int = _MONTH) -> torch.Tensor:
    """(12, dim): equal sines of the month's angle in one half, equal cosines in the other."""
    angles = 2 * np.pi * np.arange(_MONTHS) / _MONTHS
    parts = [np.repeat(wave(angles)[:, None], dim // 2, axis=1) for wave in (np.sin, np.cos)]
    return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))


def position_table(steps: int) -> torch.Tensor:
    """(steps, 64): sines and cosines of falling frequencies in turn, to the base 1000."""
    frequencies = _POSITION_BASE ** -(2 * (np.arange(_POSITION) // 2) / _POSITION)
    angles = np.outer(np.arange(steps), frequencies)
    table = np.where(np.arange(_POSITION) % 2 == 0, np.sin(angles), np.cos(angles))
    return torch.from_numpy(table.astype(np.float32))


def presto_weights(published: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A published state dict, prefix stripped, by the keys of `PrestoEncoder`: fixed tables are recomputed."""
    return {
        key: value
        for key, value in published.items()
        if key not in ("pos_embed", "month_embed.weight", "mask_token") and not key.startswith("decoder.")
    }
