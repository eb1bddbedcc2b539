import pytest
import torch
from instageo_plugin.core.models.context import Context
from instageo_plugin.core.training import precision
from instageo_plugin.core.training.batches import Batch
from instageo_plugin.core.training.precision import BF16, FP32, choose_precision


class Net(torch.nn.Module):
    """One convolution over the bands of the only timestep; `fault` is what bfloat16 gets wrong."""

    def __init__(self, fault=1.0):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(2)
        self.fault = fault

    def forward(self, images, context):
        found = self.norm(self.conv(images[0][:, 0]))
        return found * self.fault if torch.is_autocast_enabled("cpu") else found


@pytest.fixture
def trial():
    torch.manual_seed(0)
    return Batch([torch.randn(2, 1, 3, 16, 16)], torch.zeros(2, 16, 16), Context())


@pytest.fixture
def bfloat16_hardware(monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_pays", lambda device: True)


def test_auto_takes_bfloat16_where_the_hardware_is_made_for_it(trial, recorder, bfloat16_hardware):
    assert choose_precision("auto", Net(), trial, recorder) == BF16


@pytest.mark.parametrize("wanted", ["auto", "bf16"])
def test_wrong_numbers_are_never_trained_with(trial, recorder, bfloat16_hardware, wanted):
    assert choose_precision(wanted, Net(fault=0.2), trial, recorder) == FP32
    assert recorder.warned("disagrees with fp32") == (wanted == "bf16")


def test_hardware_without_bfloat16_and_the_wish_for_fp32(trial, recorder, monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_pays", lambda device: False)
    assert choose_precision("auto", Net(), trial, recorder) == FP32
    assert choose_precision("fp32", Net(), trial, recorder) == FP32
    assert choose_precision("bf16", Net(), trial, recorder) == BF16


def test_the_trial_leaves_the_network_as_it_was(trial, recorder, bfloat16_hardware):
    network = Net()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    choose_precision("auto", network, trial, recorder)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert all(p.grad is None for p in network.parameters())
