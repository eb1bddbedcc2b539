import pytest
import torch
from instageo_plugin.core.contract.jobs import LOSSES
from instageo_plugin.core.training.losses import FOCUS, build_loss


@pytest.fixture
def logits():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)


@pytest.mark.parametrize("name", LOSSES)
def test_only_labelled_pixels_count(name, logits):
    sparse = torch.full((2, 8, 8), -1)
    sparse[0, 3, 4], sparse[1, 0, 0] = 2, 0
    alone = torch.stack([logits[0, :, 3, 4], logits[1, :, 0, 0]])[..., None, None]
    loss = build_loss(name)
    assert loss(logits, sparse).item() == pytest.approx(loss(alone, torch.tensor([[[2]], [[0]]])).item())


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_labels_is_harmless(name, logits):
    loss = build_loss(name, torch.tensor([1.0, 2.0, 0.0]))(logits, torch.full((2, 8, 8), -1))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_sure_and_right_answer_costs_nothing_and_a_wrong_one_does(name):
    label = torch.arange(3).repeat(2, 4, 1)
    right = 50.0 * torch.nn.functional.one_hot(label, 3).movedim(-1, 1)
    assert build_loss(name)(right, label).item() == pytest.approx(0, abs=1e-6)
    assert build_loss(name)(right, (label + 1) % 3).item() > 0.9


def test_weighted_cross_entropy_is_the_weighted_mean(logits):
    label = torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(1))
    weights = torch.tensor([1.0, 5.0, 0.5])
    expected = torch.nn.functional.cross_entropy(logits, label, weights)
    assert build_loss("cross_entropy", weights)(logits, label).item() == pytest.approx(expected.item(), rel=1e-5)


def test_focal_loss_as_defined(logits):
    label = torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(1))
    right = logits.softmax(1).gather(1, label[:, None])
    expected = -((1 - right) ** FOCUS * right.log()).mean()
    assert build_loss("focal")(logits, label).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_sum_of_losses_is_their_sum(logits):
    label = torch.zeros(2, 8, 8, dtype=torch.long)
    parts = [build_loss(name)(logits, label).item() for name in ("cross_entropy", "dice")]
    assert build_loss("cross_entropy+dice")(logits, label).item() == pytest.approx(sum(parts))
