"""How a network starts: from random or from published weights, and which of them are trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ..contract.backbones import is_foundation
from ..contract.dataset import InputSpec
from ..contract.jobs import FROZEN, FinetuneJob
from ..models.foundation import load_pretrained
from ..reporting import Reporter

LAYER_DECAY = 0.75  # of the rate from a layer to the one below: He et al., Masked autoencoders, 2021, arXiv:2111.06377


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
    sha256 = load_pretrained(network, job.backbone, job.weights, inputs)
    if job.adaptation == FROZEN:
        network.encoder.requires_grad_(False)  # type: ignore[union-attr]
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    every = sum(p.numel() for p in network.parameters())
    reporter.log(f"Weights of {Path(job.weights).name}; {trained:,} of {every:,} parameters are trained.")
    return {"pretrained": {"backbone": job.backbone, "file": Path(job.weights).name, "sha256": sha256}}
