"""How a network starts: from random or from published weights, and which of them are trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..contract.backbones import PRITHVI, backbone, is_foundation
from ..contract.dataset import InputSpec
from ..contract.errors import InstaGeoError
from ..contract.jobs import AUTOMATIC, FROZEN, LORA, PATCH_HEADS, SERIES_HEADS, FinetuneJob
from ..models.foundation import load_pretrained, matched, modality_name
from ..models.series import SeriesNetwork, load_series_weights
from ..models.zoo import SERIES, architecture, complete_constants
from ..reporting import Reporter

_ATTENTION = r".*(blocks|encoder)\.\d+\.attn\.(qkv|proj)"
LAYER_DECAY = 0.75  # of the rate from a layer to the one below: He et al., Masked autoencoders, 2021, arXiv:2111.06377


def constants_of(job: FinetuneJob) -> dict[str, Any]:
    """The architecture's constants, with the head that the job asks for.

    Raises `InstaGeoError` for a head that this backbone cannot have.
    """
    if job.head == AUTOMATIC:
        return complete_constants(job.backbone, {})
    record = architecture(job.backbone)
    possible = () if "head" not in record.constants else SERIES_HEADS if record.family == SERIES else PATCH_HEADS
    if job.head not in possible:
        raise InstaGeoError(
            f"HEAD is '{job.head}'; '{job.backbone}' has " + (f"{', '.join(possible)}." if possible else "no choice."),
            f"Choose one of these, or {AUTOMATIC}." if possible else f"Leave it at {AUTOMATIC}.",
        )
    return complete_constants(job.backbone, {"head": job.head})


def adapt(network: nn.Module, job: FinetuneJob, inputs: Sequence[InputSpec], reporter: Reporter) -> dict[str, Any]:
    """Fill and freeze `network` as the job says; returns what the model card tells of the weights.

    Raises `InstaGeoError` for weights that do not fit.
    """
    if not job.weights:
        if is_foundation(job.backbone):
            reporter.log(
                f"'{job.backbone}' starts from random weights; WEIGHTS would give it what it has learnt.", "warning"
            )
        return {}
    if isinstance(network, SeriesNetwork):
        sha256 = load_series_weights(network, job.backbone, job.weights)
    else:
        sha256 = load_pretrained(network, job.backbone, job.weights, inputs, job.nearest_bands)
        _say_matches(job, inputs, reporter)
    if job.adaptation in (FROZEN, LORA):
        network.encoder.requires_grad_(False)  # type: ignore[union-attr]
    if job.adaptation == LORA:
        add_adapters(network, job)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    every = sum(p.numel() for p in network.parameters())
    reporter.log(f"Weights of {Path(job.weights).name}; {trained:,} of {every:,} parameters are trained.")
    return {"pretrained": {"backbone": job.backbone, "file": Path(job.weights).name, "sha256": sha256}}


def _say_matches(job: FinetuneJob, inputs: Sequence[InputSpec], reporter: Reporter) -> None:
    """Name the bands that start with another one's weights, and timesteps that the weights have not seen."""
    record = backbone(job.backbone)
    for spec, matches in zip(inputs, matched(record, inputs, job.nearest_bands), strict=True):
        bands = next(one for one in record.modalities if one.name == modality_name(record.family, spec.sensor)).bands
        borrowed = [f"{match.name} those of {bands[match.position]}" for match in matches if not match.exact]
        if borrowed:
            reporter.log(f"Bands without weights of their own start with others': {', '.join(borrowed)}.", "warning")
        if record.family == PRITHVI and spec.timesteps > record.timesteps:
            reporter.log(
                f"{spec.timesteps} timesteps; {record.title} was trained with up to {record.timesteps}: its positions "
                "in time are continued beyond.",
                "warning",
            )


def add_adapters(network: nn.Module, job: FinetuneJob) -> None:
    """Put low-rank matrices beside those of the encoder's attention (Hu et al., LoRA, 2021, arXiv:2106.09685)."""
    from peft import LoraConfig, inject_adapter_in_model  # it takes seconds to import

    config = LoraConfig(
        r=job.lora_rank,
        lora_alpha=job.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=job.lora_dropout,
        target_modules=_ATTENTION,
        init_lora_weights=True,
    )
    inject_adapter_in_model(config, network.encoder)  # type: ignore[arg-type]


def adapter_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """What an adapted network has learnt: the low-rank matrices and all that is not the encoder, by key."""
    return {
        key: value for key, value in network.state_dict().items() if "lora_" in key or not key.startswith("encoder.")
    }


def merge_adapters(network: nn.Module) -> None:
    """Add the low-rank matrices, where there are any, to those they stand beside, and leave no trace of them."""
    for name, module in list(network.named_modules()):
        if not hasattr(module, "lora_A"):
            continue
        module.merge()  # type: ignore[operator]
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, module.get_base_layer())  # type: ignore[operator]
