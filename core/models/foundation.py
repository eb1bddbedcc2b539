"""Foundation models with a segmentation head, and how a dataset's inputs meet what they were trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..contract.backbones import DECIBEL, TERRAMIND, Backbone, Modality, backbone
from ..contract.card import Normalisation
from ..contract.dataset import InputSpec
from ..contract.errors import InstaGeoError, Problems
from .band_matching import BandMatch, match_bands
from .context import Context
from .encoders import Choice, load_encoder
from .heads import UpsamplingHead
from .padding import pad_to_multiple
from .prithvi import PrithviEncoder, PrithviSize
from .terramind import PATCH, TerraMindEncoder, TerraMindSize
from .vit import SegmentationTransformer
from .weights import load_weights

_OPTICAL = "S2L2A"
_TERRAMIND_OF = {"dem": "DEM"}  # a sensor's modality; every other is optical


class TerraMindSegmenter(nn.Module):
    """TerraMind's encoder on each timestep, the modalities merged, and a head on the timesteps' features together.

    Static inputs (one timestep) go with every timestep of the others. Every token sees every other.
    """

    def __init__(self, encoder: TerraMindEncoder, frames: int, classes: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = UpsamplingHead(frames * encoder.dim, classes, PATCH, head_width, dropout)
        self.stride_px = PATCH
        self.receptive_radius_px: int | None = None

    def forward(self, images: Sequence[torch.Tensor], context: Context | None = None) -> torch.Tensor:
        """One (N, T, C, H, W) an input to logits (N, K, H, W); the context tells it nothing."""
        n, height, width = images[0].shape[0], *images[0].shape[-2:]
        frames = max(image.shape[1] for image in images)
        stacked = [image.expand(-1, frames, -1, -1, -1).flatten(0, 1) for image in images]
        padded = [pad_to_multiple(image, PATCH) for image in stacked]
        rows, columns = (side // PATCH for side in padded[0].shape[-2:])
        tokens = self.encoder(padded)  # (N * T, h * w, D)
        maps = tokens.view(n, frames, rows, columns, -1).permute(0, 1, 4, 2, 3).flatten(1, 2)
        logits: torch.Tensor = self.head(maps)
        return logits[..., :height, :width]


def build_prithvi(constants: Mapping[str, Any], inputs: Sequence[InputSpec], classes: int) -> SegmentationTransformer:
    """The zoo's builder. Raises `InstaGeoError` for several inputs."""
    if len(inputs) != 1:
        names = ", ".join(spec.sensor for spec in inputs)
        raise InstaGeoError(f"Prithvi takes one optical input; the dataset has {names}.", "Create chips of one sensor.")
    size = PrithviSize(**{name: constants[name] for name in ("dim", "depth", "heads", "patch")})
    encoder = PrithviEncoder(len(inputs[0].bands), size, constants["coordinates"])
    return SegmentationTransformer(encoder, inputs[0].timesteps, classes, constants["head_width"], constants["dropout"])


def build_terramind(constants: Mapping[str, Any], inputs: Sequence[InputSpec], classes: int) -> TerraMindSegmenter:
    """The zoo's builder. Raises `InstaGeoError` for two optical inputs, or timesteps that do not go together."""
    names = [modality_name(TERRAMIND, spec.sensor) for spec in inputs]
    frames = {spec.timesteps for spec in inputs} - {1} or {1}
    problems = Problems("TerraMind", "Create the chips with other sensors or timesteps.")
    if len(set(names)) < len(names):
        problems.add(f"it takes one optical input; the dataset has {', '.join(spec.sensor for spec in inputs)}.")
    if len(frames) > 1:
        problems.add(f"the inputs have {' and '.join(map(str, sorted(frames)))} timesteps; expected one number.")
    problems.raise_if_any()
    size = TerraMindSize(constants["dim"], constants["depth"], constants["heads"], constants["gated"])
    encoder = TerraMindEncoder(names, size, [len(spec.bands) for spec in inputs])
    return TerraMindSegmenter(encoder, frames.pop(), classes, constants["head_width"], constants["dropout"])


def modality_name(family: str, sensor: str) -> str:
    """The name of the modality that an input of `sensor` is for a family of models."""
    return _TERRAMIND_OF.get(sensor, _OPTICAL) if family == TERRAMIND else "hls"


def load_pretrained(network: nn.Module, name: str, path: str | Path, inputs: Sequence[InputSpec]) -> str:
    """Fill the encoder of a network of the zoo with published weights; returns the file's SHA-256.

    Raises `InstaGeoError` for a file that does not fit, and for bands without weights.
    """
    record = backbone(name)
    matches = matched(record, inputs)
    choice = Choice(tuple(modality_name(record.family, spec.sensor) for spec in inputs), matches)
    encoder, checkpoint = load_encoder(name, path, choice)
    load_weights(network.encoder, encoder.state_dict(), f"{record.title} from {path}")  # type: ignore[arg-type]
    return checkpoint.sha256


def matched(record: Backbone, inputs: Sequence[InputSpec]) -> tuple[tuple[BandMatch, ...], ...]:
    """How the bands of each input match the trained ones. Raises `InstaGeoError` as `match_bands`, and for units that
    the model was not trained with."""
    found = []
    for spec in inputs:
        modality = _modality(record, spec)
        if spec.units != modality.units:
            raise InstaGeoError(
                f"Input '{spec.sensor}' is in '{spec.units}'; {record.title} was trained with '{modality.units}'.",
                "Create the chips with SCALE and OFFSET that make it reflectance, or from an archive."
                if modality.units != DECIBEL
                else "Leave this input out.",
            )
        found.append(match_bands(spec.sensor, spec.bands, modality))
    return tuple(found)


def pretrained_normalisation(name: str, inputs: Sequence[InputSpec]) -> tuple[Normalisation, ...]:
    """The mean and standard deviation that the weights were trained with, for the bands of each input."""
    record = backbone(name)
    return tuple(
        Normalisation(
            tuple(_modality(record, spec).mean[match.position] for match in matches),
            tuple(_modality(record, spec).std[match.position] for match in matches),
        )
        for spec, matches in zip(inputs, matched(record, inputs), strict=True)
    )


def _modality(record: Backbone, spec: InputSpec) -> Modality:
    wanted = modality_name(record.family, spec.sensor)
    return next(one for one in record.modalities if one.name == wanted)
