"""Mixed precision, only where it is faster and its numbers agree with float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..models.device import bfloat16_pays
from ..reporting import Reporter
from .batches import Batch

FP32, BF16 = "32-true", "bf16-mixed"  # Lightning's names

LOGIT_TOLERANCE = 0.05  # of the logits' norm; bfloat16 keeps 8 bits, so a sound network stays near 0.01
GRADIENT_COSINE = 0.95

Step = Callable[[bool], tuple[Tensor, Tensor]]


def choose_precision(wanted: str, network: nn.Module, trial: Batch, reporter: Reporter) -> str:
    """Lightning's name for the precision to train `network` in, on the device its weights are on.

    `auto` is bfloat16 on hardware with instructions for it (measured with AVX512-BF16: the U-Net trains 1.7 times, the
    transformer 1.3 times as fast), else float32. The choice is not left to a stopwatch: on a busy machine that would
    choose now this, now that, and one seed would no longer give one model. Either way the batch `trial` is run in
    both first, and bfloat16 must agree: some processors' kernels give silently wrong numbers.
    """
    device = next(network.parameters()).device
    if wanted == "fp32" or (wanted == "auto" and not bfloat16_pays(device)):
        return FP32
    step = _step(network, trial)
    agreement, cosine = _agreement(step)
    if not (agreement <= LOGIT_TOLERANCE and cosine >= GRADIENT_COSINE):  # NaN does not agree
        reporter.log(
            f"bf16 disagrees with fp32 on this device (logits by {agreement:.1%}, cosine of the gradients "
            f"{cosine:.3f}): training in fp32.",
            "info" if wanted == "auto" else "warning",
        )
        return FP32
    reporter.log(f"Training in bf16, which agrees with fp32 to {agreement:.1%} of the logits.")
    return BF16


def _step(network: nn.Module, trial: Batch) -> Step:
    """A forward and a backward pass that leave the network as it was, batch statistics included."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    device = parameters[0].device
    batch = trial.to(device)

    def step(bf16: bool) -> tuple[Tensor, Tensor]:
        training = network.training
        network.eval()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = network(batch.images, batch.context)
        gradients = torch.autograd.grad(logits.float().square().mean(), parameters, allow_unused=True)
        network.train(training)
        flat = torch.cat([g.float().flatten() for g in gradients if g is not None])
        return logits.detach().float(), flat

    return step


def _agreement(step: Step) -> tuple[float, float]:
    """Distance of the logits relative to their norm, and cosine between the gradients."""
    (logits, gradient), (logits_bf16, gradient_bf16) = step(False), step(True)
    distance = (logits_bf16 - logits).norm() / logits.norm().clamp(min=1e-12)
    cosine = torch.nn.functional.cosine_similarity(gradient, gradient_bf16, dim=0)
    return float(distance), float(cosine)
