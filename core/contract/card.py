"""The model card: all that is needed, beside the weights, to use a model and to trust it.

It travels as JSON in the metadata header of the model's `.safetensors` file, under the key `CARD_KEY`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Optional

from .classes import IGNORE_VALUE, ClassTable
from .dataset import InputSpec
from .errors import InstaGeoError, Problems
from .serial import from_plain, to_json

CARD_KEY = "instageo_model_card"
FORMAT_KEY = "format"
FORMAT, ADAPTER_FORMAT = "instageo-model", "instageo-adapter"
ADAPTER_KEY = "instageo_adapter_card"
CARD_VERSION = 1

PATCH = "patch"
PIXEL = "pixel"
KINDS = (PATCH, PIXEL)


@dataclass(frozen=True)
class Normalisation:
    """Per band mean and standard deviation, in the input's own units, over valid pixels of all timesteps.

    `decibel`: values are linear power, and mean and deviation those of ten times its decimal logarithm.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    decibel: bool = False


@dataclass(frozen=True)
class ModelCard:
    """See the module. `architecture` and `constants` rebuild the module; `normalisation` has one record an input.

    `resolution` is the training pixel's width and height in `resolution_unit`. `metrics` holds the figures and, under
    "split", the part they were measured on. `training` says how the weights came about (dataset, parameters, seed,
    epochs, software, date). `macs` counts multiply-accumulates of one chip; 0 where it is not known.
    """

    name: str
    kind: str
    architecture: str
    constants: dict[str, Any]
    inputs: tuple[InputSpec, ...]
    normalisation: tuple[Normalisation, ...]
    task: str
    class_table: ClassTable
    chip_size: int
    resolution: tuple[float, float]
    resolution_unit: str
    ignore_value: int = IGNORE_VALUE
    imagery: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    weights_licence: str = ""
    parent: Optional[dict[str, Any]] = None
    parameters: int = 0
    macs: int = 0
    card_version: int = CARD_VERSION

    def __post_init__(self) -> None:
        problems = Problems("Model card")
        if self.card_version != CARD_VERSION:
            problems.add(f"version is {self.card_version}; this version of InstaGeo reads {CARD_VERSION}.")
        if self.kind not in KINDS:
            problems.add(f"kind is '{self.kind}'; expected one of {', '.join(KINDS)}.")
        if len(self.normalisation) != len(self.inputs):
            problems.add(f"{len(self.inputs)} inputs, but {len(self.normalisation)} normalisations.")
        for spec, norm in zip(self.inputs, self.normalisation):
            if not len(spec.bands) == len(norm.mean) == len(norm.std):
                problems.add(f"input '{spec.sensor}' has {len(spec.bands)} bands, {len(norm.mean)} means.")
            if not all(s > 0 for s in norm.std):
                problems.add(f"input '{spec.sensor}' has a standard deviation that is not positive.")
        problems.raise_if_any()

    def to_metadata(self) -> dict[str, str]:
        """The header of the model file."""
        return {FORMAT_KEY: FORMAT, CARD_KEY: to_json(self)}


@dataclass(frozen=True)
class AdapterCard:
    """What an adapter file holds beside its matrices: the weights they belong to, and the model they make of them."""

    base: str
    base_file: str
    base_sha256: str
    rank: int
    alpha: float
    model: ModelCard

    def to_metadata(self) -> dict[str, str]:
        """The header of the adapter file."""
        return {FORMAT_KEY: ADAPTER_FORMAT, ADAPTER_KEY: to_json(self)}


def card_from_metadata(metadata: Optional[dict[str, str]], path: str) -> ModelCard:
    """The card in the header of the model file at `path`; raises `InstaGeoError` when there is none."""
    if metadata and metadata.get(FORMAT_KEY) == ADAPTER_FORMAT:
        raise InstaGeoError(
            f"{path} is an adapter, which is of use with its base weights only.",
            "Choose the model file of the same training; the adapter is merged into it.",
        )
    if not metadata or CARD_KEY not in metadata:
        raise InstaGeoError(
            f"{path} holds no InstaGeo model card.",
            "Choose a .safetensors file made by this plugin; published weights come in through import.",
        )
    try:
        plain = json.loads(metadata[CARD_KEY])
    except ValueError as error:
        raise InstaGeoError(f"{path}: the model card is damaged ({error}).", "Copy the file again.") from error
    version = plain.get("card_version", CARD_VERSION) if isinstance(plain, dict) else CARD_VERSION
    if isinstance(version, int) and version > CARD_VERSION:  # its other fields mean nothing here
        raise InstaGeoError(
            f"{path}: the model card's version is {version}; this version of InstaGeo reads {CARD_VERSION}.",
            "Update the plugin.",
        )
    return from_plain(ModelCard, plain, f"{path}: model card")
