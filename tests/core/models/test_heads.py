"""Every head on every patch size: shapes, gradients, and what is known of each."""

import pytest
import torch
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import PATCH_HEADS
from instageo_plugin.core.models.heads import HeadSize, build_head, pyramid_depths

DEPTH = 12


def built(name, patch=16, channels=48):
    torch.manual_seed(0)
    return build_head(name, HeadSize(channels, 5, patch, 32, 0.1))


def maps_of(head, shape=(3, 4), channels=48):
    torch.manual_seed(1)
    return [torch.randn(2, channels, *shape, requires_grad=True) for _ in head.wanted(DEPTH)]


@pytest.mark.parametrize("name", PATCH_HEADS)
@pytest.mark.parametrize("patch", [8, 14, 16])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1)])
def test_every_patch_becomes_its_pixels(name, patch, shape):
    head = built(name, patch).eval()
    logits = head(maps_of(head, shape))
    assert logits.shape == (2, 5, shape[0] * patch, shape[1] * patch)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", PATCH_HEADS)
def test_every_map_and_every_parameter_counts(name):
    head = built(name).train()
    maps = maps_of(head)
    head(maps).square().mean().backward()
    assert all(one.grad.abs().sum() > 0 for one in maps)
    assert all(parameter.grad is not None for parameter in head.parameters())


@pytest.mark.parametrize("name", PATCH_HEADS)
def test_a_result_stays_where_its_patch_is(name):
    """Row 0 of an image is row 0 of the map: a change in the upper-left patch acts most on its own pixels."""
    head = built(name).eval()
    maps = maps_of(head, (8, 8))
    changed = [one + 10 * torch.nn.functional.pad(torch.ones(2, 48, 2, 2), (0, 6, 0, 6)) for one in maps]
    with torch.no_grad():
        difference = (head(changed) - head(maps)).abs().mean(dim=(0, 1))
    quarters = [difference[:64, :64], difference[:64, 64:], difference[64:, :64], difference[64:, 64:]]
    assert max(range(4), key=lambda i: float(quarters[i].mean())) == 0


def test_a_linear_head_is_a_matrix_on_each_patch():
    head = built("linear").eval()
    maps = [torch.randn(1, 48, 1, 1)]
    expected = head.classify.weight[:, :, 0, 0] @ maps[0][0, :, 0, 0] + head.classify.bias
    assert torch.allclose(head(maps)[0, :, 7, 9], expected, atol=1e-6)


def test_the_head_of_instageo_halves_its_features_four_times():
    head = built("instageo", channels=96)
    shapes = [tuple(stage[0].weight.shape[:2]) for stage in head.stages]
    assert shapes == [(96, 48), (48, 24), (24, 12), (12, 6)]
    assert head.classify.weight.shape == (5, 6, 1, 1)


@pytest.mark.parametrize(("depth", "expected"), [(12, (2, 5, 8, 11)), (2, (0, 0, 1, 1)), (32, (7, 15, 23, 31))])
def test_pyramids_look_at_four_depths(depth, expected):
    assert pyramid_depths(depth) == expected


def test_an_unknown_head_is_named():
    with pytest.raises(InstaGeoError, match=r"no head 'deeplab'.*") as caught:
        built("deeplab")
    assert "upernet" in caught.value.hint
