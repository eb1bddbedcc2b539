"""What a network costs: parameters and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..contract.dataset import InputSpec


def count_parameters(module: torch.nn.Module) -> int:
    """Learned numbers; running statistics are none."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: torch.nn.Module, inputs: Sequence[InputSpec], chip_size: int) -> int:
    """Multiply-accumulates of one chip, matrix products and convolutions only, counted by running one of zeros."""
    device = next(module.parameters()).device
    chip = [torch.zeros(1, s.timesteps, len(s.bands), chip_size, chip_size, device=device) for s in inputs]
    was_training = module.training
    module.eval()
    try:
        # torch 2.13 counts no fused attention on processors, but the plain products it stands for.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            module(chip)
    finally:
        module.train(was_training)
    return int(counter.get_total_flops()) // 2
