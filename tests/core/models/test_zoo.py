import subprocess
import sys
from pathlib import Path

import pytest
import torch
from instageo_plugin.core.contract.dataset import InputSpec
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.models.cost import count_macs, count_parameters
from instageo_plugin.core.models.zoo import architecture, build_module, complete_constants

SMALL = {"unet": {"width": 4, "depth": 2}, "vit_tiny": {"dim": 32, "depth": 2, "heads": 2, "head_width": 16}}
NETWORKS = list(SMALL)
INPUTS = (InputSpec("optical", ("r", "g"), "int16", timesteps=3), InputSpec("dem", ("z",), "float32"))


def _images(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, s.timesteps, len(s.bands), height, width, generator=generator) for s in INPUTS]


def _built(name, inputs=INPUTS):
    torch.manual_seed(1)
    return build_module(name, SMALL[name], inputs, 4).eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(32, 32), (16, 48), (21, 13), (5, 3)])
def test_every_network_takes_any_size_and_several_inputs(name, size):
    with torch.no_grad():
        logits = _built(name)(_images(*size))
    assert logits.shape == (2, 4, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_one_seed_makes_one_network_and_one_result(name):
    with torch.no_grad():
        first, second = _built(name)(_images(24, 32)), _built(name)(_images(24, 32))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_learns_and_every_timestep_counts(name):
    module = _built(name).train()
    images = [image.requires_grad_() for image in _images(16, 16)]
    module(images).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    for image in images:
        assert (image.grad.abs().sum(dim=(0, 2, 3, 4)) > 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_last_changes_no_result(name):
    module, images = _built(name), _images(16, 24)
    with torch.no_grad():
        plain = module(images)
        moved = module.to(memory_format=torch.channels_last)(images)
    torch.testing.assert_close(moved, plain, atol=1e-5, rtol=1e-5)


def test_an_unknown_backbone_is_named_with_the_known_ones():
    with pytest.raises(InstaGeoError, match="'resnet'; this version knows pixels, unet, vit_tiny"):
        architecture("resnet")


def test_unknown_constants_are_refused_all_at_once():
    with pytest.raises(InstaGeoError, match=r"(?s)2 problems.*'a'.*'b'"):
        complete_constants("unet", {"a": 1, "b": 2, "width": 8})
    assert complete_constants("unet", {"width": 8})["depth"] == 3


@pytest.mark.parametrize(
    ("name", "constants"),
    [("unet", {"width": 0}), ("unet", {"depth": 9}), ("vit_tiny", {"dim": 40}), ("vit_tiny", {"patch": 12})],
)
def test_constants_that_make_no_network_are_refused(name, constants):
    with pytest.raises(InstaGeoError, match="expected"):
        build_module(name, constants, INPUTS, 2)


def test_a_forest_is_no_network():
    with pytest.raises(InstaGeoError, match="no network"):
        build_module("pixels", {}, INPUTS, 2)


def test_counted_cost_is_that_of_the_layers():
    module = build_module("unet", {"width": 4, "depth": 1}, INPUTS, 4)  # 7 channels at 16 x 16 pixels
    full, half = 16 * 16, 8 * 8
    convolutions = full * 9 * (7 * 4 + 4 * 4) + half * 9 * (4 * 8 + 8 * 8) + full * 9 * (8 * 4 + 4 * 4)
    assert count_macs(module, INPUTS, 16) == convolutions + half * 8 * 4 * 4 + full * 4 * 4
    assert count_parameters(module) == sum(p.numel() for p in module.parameters())
    assert module.training


def test_attention_is_counted():
    shallow, deep = (
        count_macs(build_module("vit_tiny", {"depth": depth}, INPUTS[:1], 2), INPUTS[:1], 64) for depth in (1, 2)
    )
    tokens, dim = 1 + 3 * 8 * 8, 192
    assert deep - shallow == tokens * 12 * dim**2 + 2 * tokens**2 * dim


def test_the_zoo_and_forests_need_no_torch():
    registers = Path(__file__).parents[2] / "conftest.py"
    code = (
        f"import runpy, sys; runpy.run_path({str(registers)!r}); "
        "from instageo_plugin.core.models import info, load, pixels, zoo; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
