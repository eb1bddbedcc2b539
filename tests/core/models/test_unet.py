import pytest
import torch
from instageo_plugin.core.models.unet import UNet, receptive_radius_px


def _monotone(depth):
    """A U-Net whose every weight is positive: whatever raises a pixel raises all that look at it."""
    torch.manual_seed(0)
    network = UNet(1, 1, width=2, depth=depth).double().eval()
    for parameter in network.parameters():
        parameter.data = 0.1 + parameter.data.abs()
    return network


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_receptive_radius_is_exact(depth):
    network, radius = _monotone(depth), receptive_radius_px(depth)
    assert network.receptive_radius_px == radius
    margin = (radius // network.stride_px + 1) * network.stride_px
    size = 2 * margin + network.stride_px
    base = torch.rand(1, 1, 1, 1, size, dtype=torch.float64)
    reach = 0
    with torch.no_grad():
        reference = network([base])
        for column in range(margin, margin + network.stride_px):
            raised = base.clone()
            raised[..., column] += 1000.0
            changed = (network([raised]) != reference).flatten().nonzero().flatten()
            reach = max(reach, column - int(changed.min()), int(changed.max()) - column)
    assert reach == radius


def test_windows_on_the_stride_equal_the_whole():
    torch.manual_seed(0)
    network = UNet(3, 4, width=4, depth=2).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    whole = torch.randn(1, 1, 3, 96, 112)
    radius, stride = network.receptive_radius_px, network.stride_px
    with torch.no_grad():
        expected = network([whole])
        top, left, height, width = 4 * stride, 5 * stride, 64, 72
        part = network([whole[..., top : top + height, left : left + width]])
    inner = slice(radius, height - radius), slice(radius, width - radius)
    torch.testing.assert_close(
        part[:, :, inner[0], inner[1]],
        expected[:, :, top : top + height, left : left + width][:, :, inner[0], inner[1]],
        atol=1e-5,
        rtol=1e-5,
    )
    assert height > 2 * radius
    assert width > 2 * radius


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    network = UNet(1, 2, width=4, depth=1, dropout=0.9)
    x = [torch.randn(4, 1, 1, 16, 16)]
    with torch.no_grad():
        assert not torch.equal(network(x), network(x))
        network.eval()
        assert torch.equal(network(x), network(x))
