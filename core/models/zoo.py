"""The zoo: a table of architectures. A new one is a record here and a file with its builder."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..contract.backbones import BACKBONES, PRITHVI, TERRAMIND, Backbone
from ..contract.card import PATCH, PIXEL
from ..contract.dataset import InputSpec
from ..contract.errors import InstaGeoError, Problems

if TYPE_CHECKING:
    import torch

FOREST = "forest"
NETWORK = "network"
SERIES = "series"


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    `kind` is what it predicts on (`patch`, `pixel`), `family` how it is fitted and run (`forest`, `network`, `series`).
    `constants` are its settings with their defaults; a model card holds them all. `builder` is `module:function` in
    this package, called with (constants, inputs, classes). `licence` is that of weights that come with it, empty when
    there are none; `source` the paper or code it follows.
    """

    name: str
    title: str
    kind: str
    family: str
    builder: str
    source: str
    licence: str = ""
    constants: Mapping[str, Any] = field(default_factory=dict)


_HEAD = {"head": "upsampling", "head_width": 256, "head_stages": 4, "dropout": 0.1}
_ENCODERS: Mapping[str, Mapping[str, Any]] = {PRITHVI: {"patch": 16}, TERRAMIND: {"gated": False}}


def _foundation(record: Backbone) -> Architecture:
    return Architecture(
        name=record.name,
        title=record.title,
        kind=PATCH,
        family=NETWORK,
        builder=f".foundation:build_{record.family}",
        source=record.citation,
        licence=record.licence,
        constants={**_ENCODERS[record.family], **record.constants, **_HEAD},
    )


def _series(record: Backbone) -> Architecture:
    return Architecture(
        name=record.name,
        title=record.title,
        kind=PIXEL,
        family=SERIES,
        builder=".series:build_series",
        source=record.citation,
        licence=record.licence,
        constants={"backbone": record.name, "head": "linear", "head_width": 128, "dropout": 0.1},
    )


ZOO: tuple[Architecture, ...] = (
    Architecture(
        name="pixels",
        title="Random forest on pixels",
        kind=PIXEL,
        family=FOREST,
        builder=".forest:Forest",
        source="Breiman, Random Forests, Machine Learning 45, 2001; fitted by scikit-learn",
        constants={"trees": 300, "min_samples_leaf": 1, "max_features": "sqrt", "max_depth": None},
    ),
    Architecture(
        name="unet",
        title="Small U-Net",
        kind=PATCH,
        family=NETWORK,
        builder=".unet:build_unet",
        source="Ronneberger et al., U-Net, MICCAI 2015, arXiv:1505.04597; with batch normalisation",
        constants={"width": 32, "depth": 3, "dropout": 0.1},
    ),
    Architecture(
        name="vit_tiny",
        title="Tiny vision transformer over time",
        kind=PATCH,
        family=NETWORK,
        builder=".vit:build_vit",
        source="Szwarcman et al., Prithvi-EO-2.0, 2024, arXiv:2412.02732; Dosovitskiy et al., ViT, arXiv:2010.11929",
        constants={"dim": 192, "depth": 6, "heads": 3, "patch": 8, **_HEAD, "head_width": 192},
    ),
    *(_foundation(record) if record.kind == PATCH else _series(record) for record in BACKBONES),
)


def architecture(name: str) -> Architecture:
    """The record called `name`; raises `InstaGeoError` that lists the known names."""
    for record in ZOO:
        if record.name == name:
            return record
    known = ", ".join(record.name for record in ZOO)
    raise InstaGeoError(f"There is no backbone '{name}'; this version knows {known}.", "Choose one of these names.")


def complete_constants(name: str, constants: Mapping[str, Any]) -> dict[str, Any]:
    """All constants of an architecture: `constants` over its defaults. Raises `InstaGeoError` for unknown ones."""
    record = architecture(name)
    problems = Problems(f"Backbone '{name}'", "Use a model made by this version, or update the plugin.")
    for unknown in sorted(set(constants) - set(record.constants)):
        problems.add(f"it has no constant '{unknown}'; expected among {', '.join(record.constants)}.")
    problems.raise_if_any()
    return {**record.constants, **constants}


def build_module(name: str, constants: Mapping[str, Any], inputs: Sequence[InputSpec], classes: int) -> torch.nn.Module:
    """A network of the zoo with fresh weights, drawn from torch's global generator.

    The `forward` of a network of patches takes one normalised tensor an input, (N, T, C, H, W) without NaN, and a
    `Context` or None, and returns logits (N, classes, H, W); its attributes `receptive_radius_px` (None: the whole
    window) and `stride_px` are those of `Predictor`. That of pixel series is in `series`. Raises
    `InstaGeoError` for an unknown name or constant, and for what is no network.
    """
    record = architecture(name)
    if record.family == FOREST:
        raise InstaGeoError(f"'{name}' ({record.title}) is no network.", "Choose unet or vit_tiny.")
    module_name, _, function = record.builder.partition(":")
    builder = getattr(importlib.import_module(module_name, __package__), function)
    module: torch.nn.Module = builder(complete_constants(name, constants), tuple(inputs), classes)
    return module
