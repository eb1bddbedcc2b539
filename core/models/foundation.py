"""Foundation models with a segmentation head, and how a dataset's inputs meet what they were trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ..contract.backbones import DECIBEL, TERRAMIND, Backbone, Modality, backbone
from ..contract.card import Normalisation
from ..contract.dataset import InputSpec
from ..contract.errors import InstaGeoError, Problems
from ..contract.sensors import LINEAR_POWER
from .band_matching import BandMatch, match_bands
from .encoders import Choice, load_encoder
from .prithvi import PrithviEncoder, PrithviSize
from .segmenter import Segmenter
from .terramind import PATCH, TerraMindEncoder, TerraMindSize
from .vit import segmentation_head
from .weights import load_weights

_OPTICAL = "S2L2A"
_TERRAMIND_OF = {"dem": "DEM", "sentinel1": "S1RTC"}  # a sensor's modality; every other is optical


def build_prithvi(constants: Mapping[str, Any], inputs: Sequence[InputSpec], classes: int) -> Segmenter:
    """The zoo's builder. Raises `InstaGeoError` for several inputs."""
    if len(inputs) != 1:
        names = ", ".join(spec.sensor for spec in inputs)
        raise InstaGeoError(f"Prithvi takes one optical input; the dataset has {names}.", "Create chips of one sensor.")
    size = PrithviSize(**{name: constants[name] for name in ("dim", "depth", "heads", "patch")})
    encoder = PrithviEncoder(len(inputs[0].bands), size, constants["coordinates"])
    return Segmenter(encoder, segmentation_head(constants, inputs[0].timesteps * size.dim, classes, size.patch))


def build_terramind(constants: Mapping[str, Any], inputs: Sequence[InputSpec], classes: int) -> Segmenter:
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
    return Segmenter(encoder, segmentation_head(constants, frames.pop() * size.dim, classes, PATCH))


def modality_name(family: str, sensor: str) -> str:
    """The name of the modality that an input of `sensor` is for a family of models."""
    return _TERRAMIND_OF.get(sensor, _OPTICAL) if family == TERRAMIND else "hls"


def load_pretrained(
    network: nn.Module, name: str, path: str | Path, inputs: Sequence[InputSpec], nearest: bool = False
) -> str:
    """Fill the encoder of a network of the zoo with published weights; returns the file's SHA-256.

    `nearest`: a band without weights of its own starts with those of the nearest wavelength.

    Raises `InstaGeoError` for a file that does not fit, and for bands without weights.
    """
    record = backbone(name)
    matches = matched(record, inputs, nearest)
    choice = Choice(tuple(modality_name(record.family, spec.sensor) for spec in inputs), matches)
    encoder, checkpoint = load_encoder(name, path, choice)
    load_weights(network.encoder, encoder.state_dict(), f"{record.title} from {path}")  # type: ignore[arg-type]
    return checkpoint.sha256


def matched(record: Backbone, inputs: Sequence[InputSpec], nearest: bool = False) -> tuple[tuple[BandMatch, ...], ...]:
    """How the bands of each input match the trained ones. Raises `InstaGeoError` as `match_bands`, and for units that
    the model was not trained with."""
    found = []
    for spec in inputs:
        modality = _modality(record, spec)
        if spec.units != modality.units and not _becomes_decibels(spec, modality):
            raise InstaGeoError(
                f"Input '{spec.sensor}' is in '{spec.units}'; {record.title} was trained with '{modality.units}'.",
                "Create the chips with SCALE and OFFSET that make it reflectance, or from an archive."
                if modality.units != DECIBEL
                else "Leave this input out.",
            )
        found.append(match_bands(spec.sensor, spec.bands, modality, nearest))
    return tuple(found)


def _becomes_decibels(spec: InputSpec, modality: Modality) -> bool:
    return (spec.units, modality.units) == (LINEAR_POWER, DECIBEL)


def pretrained_normalisation(
    name: str, inputs: Sequence[InputSpec], nearest: bool = False
) -> tuple[Normalisation, ...]:
    """The mean and standard deviation that the weights were trained with, for the bands of each input."""
    record = backbone(name)
    return tuple(
        Normalisation(
            tuple(_modality(record, spec).mean[match.position] for match in matches),
            tuple(_modality(record, spec).std[match.position] for match in matches),
            _becomes_decibels(spec, _modality(record, spec)),
        )
        for spec, matches in zip(inputs, matched(record, inputs, nearest), strict=True)
    )


def _modality(record: Backbone, spec: InputSpec) -> Modality:
    wanted = modality_name(record.family, spec.sensor)
    return next(one for one in record.modalities if one.name == wanted)
