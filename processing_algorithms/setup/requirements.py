"""What is installed: the lock, with the build of PyTorch that the computer wants."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from ...core.contract.errors import BACKEND, InstaGeoError
from ...core.contract.launch import PACKAGE_ROOT

LOCK = PACKAGE_ROOT / "resources" / "backend" / "lock-cpu.txt"
CPU, CUDA, AUTO = "cpu", "cuda", "auto"
COMPUTES = (AUTO, CPU, CUDA)
CPU_BUILD = "+cpu"


@dataclass(frozen=True)
class Machine:
    """The computer the backend is for: `sys.platform`, processor, and whether an NVIDIA driver answers."""

    system: str = sys.platform
    processor: str = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    nvidia: bool = False

    @property
    def has_builds(self) -> bool:
        """Whether PyTorch is published in a CPU and a CUDA build for it."""
        return self.system in ("linux", "win32") and self.processor.lower() in ("x86_64", "amd64")


def choose_compute(wanted: str, machine: Machine) -> str:
    """CPU or CUDA; raises `InstaGeoError` for CUDA where it cannot run."""
    possible = machine.has_builds and machine.nvidia
    if wanted == CUDA and not possible:
        raise InstaGeoError(
            "COMPUTE is cuda, but no NVIDIA driver answers on this computer (nvidia-smi).",
            "Install the driver of the GPU, or choose COMPUTE cpu.",
            BACKEND,
        )
    return CUDA if possible and wanted != CPU else CPU


def requirements(lock: str, compute: str, machine: Machine) -> tuple[str, ...]:
    """Pinned requirements of the lock's text.

    The lock pins the CPU build of PyTorch by its local version, so that the CUDA build can never come by accident;
    where there is one build only, and for CUDA, the version stands without it.
    """
    lines = (line.partition("#")[0].strip() for line in lock.splitlines())
    pinned = tuple(line for line in lines if line)
    if compute == CPU and machine.has_builds:
        return pinned
    return tuple(line.replace(CPU_BUILD, "") for line in pinned)


def uv_torch_backend(compute: str, machine: Machine) -> str:
    """Value of uv's option `--torch-backend`; empty where the registry's own build is the right one."""
    if compute == CPU:
        return "cpu" if machine.has_builds else ""
    return "auto" if machine.system == "win32" else ""
