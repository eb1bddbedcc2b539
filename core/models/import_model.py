"""`importmodel`: trained checkpoints of other programs as model files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..contract.backbones import PATCH, Backbone, backbone
from ..contract.card import ModelCard, Normalisation
from ..contract.classes import ClassEntry, ClassTable
from ..contract.dataset import REFLECTANCE, REFLECTANCE_NODATA, SEGMENTATION, InputSpec
from ..contract.errors import InstaGeoError, Problems
from ..contract.jobs import INSTAGEO_HEAD, ImportModelJob
from ..files import check_writable
from ..reporting import Reporter
from .checkpoints import Checkpoint, open_checkpoint, stripped
from .cost import count_macs, count_parameters
from .encoders import FAMILIES, Choice, check_family
from .heads import TERRATORCH_FCN, TERRATORCH_LINEAR
from .modelfile import save_model
from .weights import load_weights
from .zoo import build_module, complete_constants

_REFERENCE_HEAD = "segmentation_head."
_NOT_SUPPORTED = (
    "Import a checkpoint of the InstaGeo framework, or of TerraTorch with FCNDecoder or LinearDecoder and no neck but "
    "the one that makes images of tokens."
)
Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class ForeignHead:
    """A head as `heads` builds it: its `name` and `constants`, its tensors by our keys but for the order of channels,
    the `channels` that enter it, the `classes` that leave it, and where the channels stand dimension by dimension."""

    name: str
    constants: Mapping[str, Any]
    tensors: Tensors
    channels: int
    classes: int
    by_dimension: str = ""


def import_model(job: ImportModelJob, reporter: Reporter) -> dict[str, Any]:
    """Read the checkpoint of the job and write it as a model file.

    Returns OUTPUT and PARAMETERS. Raises `InstaGeoError` for a file that is no checkpoint of a known kind, holds more
    than weights, or does not fit the backbone, bands and classes of the job.
    """
    check_writable(job.output)
    record = backbone(job.backbone)
    if record.kind != PATCH:
        raise InstaGeoError(f"{record.title} has no checkpoints to import.", "Choose a Prithvi or TerraMind model.")
    reporter.progress(0, "Reading the checkpoint")
    checkpoint = open_checkpoint(job.input)
    family = FAMILIES[record.family]
    check_family(record, family, checkpoint)
    encoder = family.convert(stripped(checkpoint, family.anchor, record.title), record, Choice())
    head = _foreign_head(checkpoint)
    dim = record.constants["dim"]
    if head.channels % dim:
        raise InstaGeoError(
            f"{checkpoint.path}: its head takes {head.channels} features; expected a multiple of {dim}, those of "
            f"{record.title}.",
            _NOT_SUPPORTED,
        )
    spec = _input(job, record, encoder, head.channels // dim)
    table = _classes(job, head.classes)
    constants = complete_constants(record.name, {"head": head.name, **head.constants})
    network = build_module(record.name, constants, (spec,), head.classes)
    tensors = {f"encoder.{key}": value for key, value in encoder.items()}
    tensors |= {f"head.{key}": value for key, value in _by_timestep(head, head.channels // dim).items()}
    load_weights(network, tensors, f"{record.title} from {checkpoint.path}")
    card = ModelCard(
        name=job.name or checkpoint.path.stem,
        kind=PATCH,
        architecture=record.name,
        constants=constants,
        inputs=(spec,),
        normalisation=(_normalisation(job, record, spec),),
        task=SEGMENTATION,
        class_table=table,
        chip_size=job.chip_size,
        resolution=(job.resolution, job.resolution),
        resolution_unit="metre",
        training={"imported": {"file": checkpoint.path.name, "sha256": checkpoint.sha256, "head": head.name}},
        parameters=count_parameters(network),
        macs=count_macs(network, (spec,), job.chip_size),
    )
    reporter.progress(0.9, "Writing the model")
    save_model(job.output, card, network.state_dict())
    reporter.artifact("OUTPUT", job.output)
    _say(card, head, reporter)
    return {"OUTPUT": job.output, "PARAMETERS": card.parameters}


def _foreign_head(checkpoint: Checkpoint) -> ForeignHead:
    for read in (_reference_head, _terratorch_fcn, _terratorch_linear):
        found = read(checkpoint.tensors)
        if found:
            return found
    others = sorted({_group(key) for key in checkpoint.tensors if "encoder" not in key})
    raise InstaGeoError(
        f"{checkpoint.path} has no head that can be imported; beside the encoder it holds "
        f"{', '.join(others) or 'nothing'}.",
        _NOT_SUPPORTED,
    )


def _group(key: str) -> str:
    return ".".join(key.split(".")[:3])


def _reference_head(tensors: Tensors) -> ForeignHead | None:
    """The InstaGeo framework's: stages of a transposed convolution, a convolution and a batch normalisation, and a last
    convolution of 1 x 1, numbered in any way that keeps their order."""
    found = {key.partition(_REFERENCE_HEAD)[2]: value for key, value in tensors.items() if f".{_REFERENCE_HEAD}" in key}
    last = [key for key, value in found.items() if key.endswith("weight") and value.shape[2:] == (1, 1)]
    stages = sorted({key.partition(".")[0] for key in found if _in_stage(key, last)}, key=int)
    if not found or len(last) != 1 or not stages:
        return None
    renamed = {}
    for key, value in found.items():
        number, _, rest = key.partition(".")
        if number in stages:
            renamed[f"stages.{stages.index(number)}.{rest}"] = value
        elif key.startswith(last[0].removesuffix("weight")):
            renamed[f"classify.{key.rpartition('.')[2]}"] = value
    first = renamed.get("stages.0.0.weight")
    channels = int(first.shape[0]) if first is not None else 0
    return ForeignHead(INSTAGEO_HEAD, {}, renamed, channels, len(found[last[0]]), "stages.0.0.weight")


def _in_stage(key: str, last: list[str]) -> bool:
    return key.partition(".")[0].isdecimal() and not any(key.startswith(one.removesuffix("weight")) for one in last)


def _terratorch_fcn(tensors: Tensors) -> ForeignHead | None:
    found = _behind(tensors, r"(?:^|\.)decoder\.convs\.(\d+\..*)", "stages.")
    if "stages.0.0.weight" not in found:
        return None
    last = _behind(tensors, r"(?:^|\.)(?<!aux_heads\.)head\.head\.2\.(weight|bias)", "classify.")
    if set(last) != {"classify.weight", "classify.bias"}:
        return None
    stages = 1 + max(int(key.split(".")[1]) for key in found)
    first = found["stages.0.0.weight"]
    constants = {"head_width": int(first.shape[1]), "head_stages": stages, "dropout": 0.0}
    return ForeignHead(TERRATORCH_FCN, constants, {**found, **last}, int(first.shape[0]), len(last["classify.weight"]))


def _terratorch_linear(tensors: Tensors) -> ForeignHead | None:
    found = _behind(tensors, r"(?:^|\.)decoder\.conv\.(weight|bias)", "up.")
    if set(found) != {"up.weight", "up.bias"}:
        return None
    channels, classes = found["up.weight"].shape[:2]
    return ForeignHead(TERRATORCH_LINEAR, {}, found, int(channels), int(classes))


def _behind(tensors: Tensors, pattern: str, prefix: str) -> dict[str, torch.Tensor]:
    matches = ((re.search(pattern, key), value) for key, value in tensors.items() if "aux_heads" not in key)
    return {prefix + match[1]: value for match, value in matches if match}


def _by_timestep(head: ForeignHead, frames: int) -> dict[str, torch.Tensor]:
    """The head's tensors with channels timestep by timestep, as feature maps here have them."""
    tensors = dict(head.tensors)
    if head.by_dimension and frames > 1:
        kernel = tensors[head.by_dimension]  # (dim * frames, ...), frames fastest
        tensors[head.by_dimension] = kernel.reshape(-1, frames, *kernel.shape[1:]).transpose(0, 1).flatten(0, 1)
    return tensors


def _input(job: ImportModelJob, record: Backbone, encoder: Tensors, frames: int) -> InputSpec:
    modality = record.modalities[0]
    bands = job.bands or modality.bands
    patch = record.constants.get("patch", 16)
    kernel = next(value for key, value in encoder.items() if key.endswith("proj.weight") and value.ndim == 2
                  and ("patch_embeds" in key or "encoder_embeddings" in key))  # fmt: skip
    trained = kernel.shape[1] // patch**2
    if trained != len(bands):
        raise InstaGeoError(
            f"The checkpoint was trained with {trained} bands; BANDS names {len(bands)} ({', '.join(bands)}).",
            "Name the bands it was trained with, in their order, with BANDS.",
        )
    return InputSpec(job.sensor, tuple(bands), "int16", REFLECTANCE, REFLECTANCE_NODATA, frames)


def _classes(job: ImportModelJob, classes: int) -> ClassTable:
    if not job.class_table.classes:
        return ClassTable(tuple(ClassEntry(str(i), i, f"class {i}") for i in range(classes)))
    if len(job.class_table.classes) != classes:
        raise InstaGeoError(
            f"CLASS_TABLE has {len(job.class_table.classes)} classes; the checkpoint has {classes}.",
            "Give a row for each class, in the order that the model was trained with.",
        )
    return job.class_table


def _normalisation(job: ImportModelJob, record: Backbone, spec: InputSpec) -> Normalisation:
    """As the job says, in the model's own units; else as the backbone was trained."""
    modality = record.modalities[0]
    mean, std = job.mean or modality.mean, job.std or modality.std
    problems = Problems("Normalisation", "Give one number a band, in the order of the bands.")
    for name, values in (("MEAN", mean), ("STD", std)):
        if len(values) != len(spec.bands):
            problems.add(f"{name} holds {len(values)} numbers; the model has {len(spec.bands)} bands.")
    problems.raise_if_any()
    factor = 1.0 if not job.mean else job.multiplier
    return Normalisation(tuple(value / factor for value in mean), tuple(value / factor for value in std))


def _say(card: ModelCard, head: ForeignHead, reporter: Reporter) -> None:
    spec = card.inputs[0]
    reporter.log(
        f"Imported with the head '{head.name}': {spec.timesteps} timesteps of {', '.join(spec.bands)}, "
        f"{head.classes} classes."
    )
    reporter.log(
        "The checkpoint does not say how its input was scaled, which bands and classes it has: check the model card "
        "against its training, then measure it with Evaluate.",
        "warning",
    )
