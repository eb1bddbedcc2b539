"""Pixel-series models: Presto's and Galileo's encoders on each pixel alone, and a head on the embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..contract.backbones import backbone
from ..contract.dataset import InputSpec
from ..contract.errors import InstaGeoError
from ..contract.jobs import LINEAR, MLP, SERIES_HEADS
from .encoders import build_encoder, load_encoder
from .galileo import GalileoEncoder, GalileoTokens, pixels_seen
from .presto import PixelSeries, PrestoEncoder, normalised
from .series_bands import series_bands
from .weights import load_weights

NETWORK_HEADS = (LINEAR, MLP)


@dataclass(frozen=True)
class SeriesContext:
    """`months` (P, T) from 0, `places` (P, 2) latitude and longitude in degrees, a row a pixel."""

    months: torch.Tensor
    places: torch.Tensor

    def to(self, device: torch.device | str, **_: bool) -> SeriesContext:
        """Itself on another device."""
        return SeriesContext(self.months.to(device), self.places.to(device))


class SeriesNetwork(nn.Module):
    """The encoder, and a head that turns each pixel's embedding into logits.

    With a head that is no network (a forest, CatBoost) `head` passes the embedding on.
    """

    stride_px = 1

    def __init__(self, encoder: PrestoEncoder | GalileoEncoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.receptive_radius_px: int | None = 0

    def embed(self, raw: torch.Tensor, context: SeriesContext) -> torch.Tensor:
        """(P, T, 16) values of `series_bands.BANDS`, NaN = missing, to (P, D)."""
        if isinstance(self.encoder, GalileoEncoder):
            tokens: GalileoTokens = self.encoder(pixels_seen(raw, context.months, context.places))
            return tokens.mean()
        x, missing = normalised(raw, raw.isnan())
        found: torch.Tensor = self.encoder(PixelSeries(x, missing, context.months, context.places))
        return found

    def forward(self, images: Sequence[torch.Tensor], context: SeriesContext) -> torch.Tensor:
        """One (P, T, 16, 1, 1) to logits (P, K, 1, 1): a pixel is an image."""
        raw = images[0].flatten(2)  # (P, T, 16)
        logits: torch.Tensor = self.head(self.embed(raw, context))
        return logits[..., None, None]


def build_series(constants: Mapping[str, Any], inputs: Sequence[InputSpec], classes: int) -> SeriesNetwork:
    """The zoo's builder. Raises `InstaGeoError` for inputs that the model cannot see."""
    record = backbone(constants["backbone"])
    series_bands(inputs, record.title, record.timesteps)
    encoder = build_encoder(record.name)
    return SeriesNetwork(encoder, _head(constants, encoder.dim, classes))  # type: ignore[arg-type]


def _head(constants: Mapping[str, Any], dim: Any, classes: int) -> nn.Module:
    name, width = constants["head"], constants["head_width"]
    if name not in SERIES_HEADS:
        raise InstaGeoError(f"There is no head '{name}' for pixel series.", f"Choose one of {', '.join(SERIES_HEADS)}.")
    if name == LINEAR:
        return nn.Linear(dim, classes)
    if name == MLP:
        return nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Dropout(constants["dropout"]),
                             nn.Linear(width, classes))  # fmt: skip
    return nn.Identity()


def load_series_weights(network: SeriesNetwork, name: str, path: str) -> str:
    """Fill the encoder with published weights; returns the file's SHA-256. Raises as `load_encoder`."""
    encoder, checkpoint = load_encoder(name, path)
    load_weights(network.encoder, encoder.state_dict(), f"{backbone(name).title} from {path}")
    return checkpoint.sha256
