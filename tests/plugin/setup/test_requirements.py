"""Which build of PyTorch goes where."""

import pytest
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.processing_algorithms.setup.requirements import (
    LOCK,
    Machine,
    choose_compute,
    requirements,
    uv_torch_backend,
)

PC = Machine("linux", "x86_64")
PC_WITH_CARD = Machine("linux", "x86_64", nvidia=True)
WINDOWS_WITH_CARD = Machine("win32", "AMD64", nvidia=True)
MAC = Machine("darwin", "arm64")
ARM = Machine("linux", "aarch64")


def torch_line(compute, machine):
    lines = requirements(LOCK.read_text(), compute, machine)
    return next(line for line in lines if line.startswith("torch=="))


@pytest.mark.parametrize(
    ("machine", "compute", "line", "uv"),
    [
        (PC, "cpu", "torch==2.13.0+cpu", "cpu"),
        (PC_WITH_CARD, "cuda", "torch==2.13.0", ""),
        (WINDOWS_WITH_CARD, "cuda", "torch==2.13.0", "auto"),
        (MAC, "cpu", "torch==2.13.0", ""),
        (ARM, "cpu", "torch==2.13.0", ""),
    ],
)
def test_the_cuda_build_comes_only_when_asked_for(machine, compute, line, uv):
    assert torch_line(compute, machine) == line
    assert uv_torch_backend(compute, machine) == uv


def test_every_requirement_is_pinned():
    assert all("==" in line for line in requirements(LOCK.read_text(), "cpu", PC))


@pytest.mark.parametrize(
    ("wanted", "machine", "chosen"),
    [
        ("auto", PC, "cpu"), ("auto", PC_WITH_CARD, "cuda"), ("cpu", PC_WITH_CARD, "cpu"),
        ("cuda", PC_WITH_CARD, "cuda"), ("auto", MAC, "cpu"), ("auto", Machine("linux", "aarch64", True), "cpu"),
    ],
)  # fmt: skip
def test_auto_is_cuda_where_a_driver_answers(wanted, machine, chosen):
    assert choose_compute(wanted, machine) == chosen


@pytest.mark.parametrize("machine", [PC, MAC])
def test_cuda_without_a_card_is_refused(machine):
    with pytest.raises(InstaGeoError, match="nvidia-smi"):
        choose_compute("cuda", machine)
