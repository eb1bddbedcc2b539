"""Which processor a network runs on, and whether bfloat16 pays there."""

from __future__ import annotations

import torch

from ..contract.errors import BACKEND, InstaGeoError

_BFLOAT16_CHECKS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch 2.13 has no public names for them


def choose_device(name: str = "auto") -> tuple[torch.device, str]:
    """The device for `auto`, `cpu`, `cuda` or `mps`, and words that say what is used.

    `auto` takes an NVIDIA GPU, then Apple's, then the processor. Raises `InstaGeoError` for one that is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, present in there.items() if present)
    if not there.get(name, False):
        raise InstaGeoError(
            f"DEVICE is '{name}', which this machine or its backend does not offer; it has "
            f"{', '.join(kind for kind, present in there.items() if present)}.",
            "Choose 'auto', or set up the backend again for this device.",
            BACKEND,
        )
    return torch.device(name), _words(name)


def _words(name: str) -> str:
    if name == "cuda":
        return f"GPU {torch.cuda.get_device_name()}"
    return "Apple GPU" if name == "mps" else f"processor, {torch.get_num_threads()} threads"


def bfloat16_pays(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16 natively: an NVIDIA GPU from Ampere on, AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    return any(getattr(torch.cpu, check, bool)() for check in _BFLOAT16_CHECKS)
