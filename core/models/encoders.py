"""From a record of `backbones` and a file of published weights to an encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..contract.backbones import BACKBONES, GALILEO, PRESTO, PRITHVI, TERRAMIND, Backbone, backbone
from ..contract.errors import InstaGeoError
from .band_matching import BandMatch
from .checkpoints import Checkpoint, open_checkpoint, stripped
from .galileo import GalileoEncoder, GalileoSize, galileo_weights
from .presto import PrestoEncoder, presto_weights
from .prithvi import PrithviEncoder, PrithviSize, prithvi_weights
from .terramind import TerraMindEncoder, TerraMindSize, terramind_weights
from .weights import load_weights

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Choice:
    """What of a patch model is used: its `modalities` by name, and for each how the dataset's bands match the trained
    ones (none: all of them)."""

    modalities: tuple[str, ...] = ()
    matches: tuple[tuple[BandMatch, ...], ...] = ()

    def count(self, number: int, trained: int) -> int:
        """Bands of the modality `number`, of which there are `trained`."""
        return len(self.matches[number]) if self.matches else trained


@dataclass(frozen=True)
class Family:
    """`anchor`: a key that only this family's files have. `build` makes the module, `convert` names a file's tensors as
    the module does."""

    title: str
    anchor: str
    build: Callable[[Backbone, Choice], nn.Module]
    convert: Callable[[Tensors, Backbone, Choice], Tensors]


def load_encoder(name: str, path: str | Path, choice: Choice = Choice()) -> tuple[nn.Module, Checkpoint]:
    """The encoder `name` with the weights of the file at `path`, in evaluation mode, and the file.

    The weights stay where the file is mapped, so that loading takes their size once. Raises `InstaGeoError` for a file
    that cannot be opened, of another family or size, and lists every key that does not fit.
    """
    record = backbone(name)
    family = FAMILIES[record.family]
    checkpoint = open_checkpoint(path)
    check_family(record, family, checkpoint)
    tensors = family.convert(stripped(checkpoint, family.anchor, record.title), record, choice)
    with torch.device("meta"):
        module = family.build(record, choice)
    load_weights(module, tensors, f"{record.title} from {path}", assign=True)
    return module.eval(), checkpoint


def build_encoder(name: str, choice: Choice = Choice()) -> nn.Module:
    """The encoder `name` with fresh weights, drawn from torch's global generator."""
    record = backbone(name)
    return FAMILIES[record.family].build(record, choice)


def check_family(record: Backbone, family: Family, checkpoint: Checkpoint) -> None:
    """Raise `InstaGeoError` when the file is of another family, or of another size of this one."""
    found = [one for one in FAMILIES.values() if any(key.endswith(one.anchor) for key in checkpoint.tensors)]
    if found and family not in found:
        raise InstaGeoError(
            f"{checkpoint.path} holds weights of {found[0].title}; expected {record.title}.",
            "Choose the file published for this model, or the model that the file is for.",
        )
    key = next((key for key in checkpoint.tensors if key.endswith(family.anchor)), "")
    if not key or "dim" not in record.constants:
        return
    dim = _dim(checkpoint.tensors[key], record.family)
    if dim != record.constants["dim"]:
        fitting = [one.name for one in BACKBONES if one.family == record.family and one.constants.get("dim") == dim]
        raise InstaGeoError(
            f"{checkpoint.path} holds weights of dimension {dim}; {record.title} has {record.constants['dim']}.",
            f"It fits {', '.join(fitting)}." if fitting else "Choose the file published for this model.",
        )


def _dim(anchored: torch.Tensor, family: str) -> int:
    """The dimension of the tokens, as the anchor's tensor shows it."""
    return 4 * anchored.shape[1] if family == GALILEO else int(anchored.shape[0])


def _prithvi_size(record: Backbone) -> PrithviSize:
    return PrithviSize(**{name: record.constants[name] for name in ("dim", "depth", "heads")},
                       patch=record.constants.get("patch", 16))  # fmt: skip


def _build_prithvi(record: Backbone, choice: Choice) -> nn.Module:
    bands = choice.count(0, len(record.modalities[0].bands))
    return PrithviEncoder(bands, _prithvi_size(record), record.constants["coordinates"])


def _convert_prithvi(tensors: Tensors, record: Backbone, choice: Choice) -> Tensors:
    found = prithvi_weights(tensors)
    key = "patch_embeds.0.proj.weight"
    if choice.matches:
        trained, pixels = len(record.modalities[0].bands), _prithvi_size(record).patch ** 2
        found[key] = _picked(found[key].view(-1, trained, pixels), choice.matches[0], axis=1).flatten(1)
    if not record.constants["coordinates"]:
        found = {name: value for name, value in found.items() if "_embed_enc." not in name}
    return found


def _build_terramind(record: Backbone, choice: Choice) -> nn.Module:
    names = _modalities(record, choice)
    by_name = {one.name: one for one in record.modalities}
    counts = [choice.count(number, len(by_name[name].bands)) for number, name in enumerate(names)]
    constants = record.constants
    size = TerraMindSize(constants["dim"], constants["depth"], constants["heads"], constants.get("gated", False))
    return TerraMindEncoder(names, size, counts)


def _convert_terramind(tensors: Tensors, record: Backbone, choice: Choice) -> Tensors:
    names = _modalities(record, choice)
    found = terramind_weights(tensors, names)
    by_name = {one.name: one for one in record.modalities}
    for number, match in enumerate(choice.matches):
        key = f"encoder_embeddings.{number}.proj.weight"
        trained = len(by_name[names[number]].bands)
        matrix = found[key].view(len(found[key]), -1, trained)  # pixels before bands
        found[key] = _picked(matrix, match, axis=2).flatten(1)
    return found


def _modalities(record: Backbone, choice: Choice) -> Sequence[str]:
    return choice.modalities or (record.modalities[0].name,)


def _picked(kernels: torch.Tensor, match: Sequence[BandMatch], axis: int) -> torch.Tensor:
    """The kernels of the matched bands, in the order of the dataset's."""
    chosen = torch.tensor([one.position for one in match])
    return kernels.index_select(axis, chosen)


def _build_presto(record: Backbone, _: Choice) -> nn.Module:
    return PrestoEncoder(record.constants["steps"])


def _build_galileo(record: Backbone, _: Choice) -> nn.Module:
    return GalileoEncoder(GalileoSize(**record.constants))


FAMILIES: Mapping[str, Family] = {
    PRITHVI: Family("Prithvi", "patch_embed.proj.weight", _build_prithvi, _convert_prithvi),
    TERRAMIND: Family(
        "TerraMind", "encoder_embeddings.untok_sen2l2a@224.proj.weight", _build_terramind, _convert_terramind
    ),
    PRESTO: Family("Presto", "eo_patch_embed.S1.weight", _build_presto, lambda t, *_: presto_weights(t)),
    GALILEO: Family("Galileo", "s_t_channel_embed", _build_galileo, lambda t, *_: galileo_weights(t)),
}
