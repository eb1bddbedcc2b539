import pytest
import torch
from instageo_plugin.core.training.outcome import EpochRecord
from instageo_plugin.core.training.task import Plan, SegmentationTask, averaging_decay, better, rate_factor


def _record(miou, loss=1.0, epoch=1):
    return EpochRecord(epoch, train_loss=1.0, learning_rate=1e-3, val_loss=loss, val_miou=miou)


def test_the_rate_warms_up_then_falls_to_nearly_nothing():
    factors = [rate_factor(step, 100) for step in range(100)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert 0 < factors[-1] < 0.01
    assert [rate_factor(step, 1) for step in range(2)] == pytest.approx([1.0, 0.0])


def test_only_a_strictly_better_epoch_replaces_the_best():
    assert better(_record(0.5), None)
    assert better(_record(0.6), _record(0.5))
    assert not better(_record(0.5), _record(0.5))
    assert better(_record(0.5, loss=0.9), _record(0.5))
    assert not better(_record(0.4, loss=0.1), _record(0.5))


def test_without_validation_the_last_epoch_is_the_best():
    assert better(EpochRecord(2, 1.0, 1e-3), EpochRecord(1, 0.5, 1e-3))


def test_the_average_starts_at_the_weights_and_then_lags_behind_them():
    network = torch.nn.Linear(1, 1, bias=False)
    plan = Plan(2, epochs=10, steps_per_epoch=100, learning_rate=1e-3, weight_decay=0, patience=0, seed=0)
    task = SegmentationTask(network, lambda logits, label: logits.sum(), plan)
    found = []
    for value in (1.0, 2.0, 2.0, 2.0):
        network.weight.data.fill_(value)
        task.on_train_batch_end()
        found.append(task.averaged.module.weight.item())
    assert found[0] == 1.0
    assert 1.0 < found[1] < found[2] < found[3] < 2.0


def test_the_average_reaches_back_a_tenth_of_the_run_and_not_too_far():
    assert [averaging_decay(steps) for steps in (5, 200, 10**6)] == pytest.approx([0.0, 0.95, 0.999])


def test_weight_decay_acts_on_kernels_only():
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    plan = Plan(2, epochs=1, steps_per_epoch=1, learning_rate=1e-3, weight_decay=0.1, patience=0, seed=0)
    task = SegmentationTask(network, lambda logits, label: logits.sum(), plan)
    groups = task.configure_optimizers()["optimizer"].param_groups
    decays = {p.shape: group["weight_decay"] for group in groups for p in group["params"]}
    assert decays == {torch.Size([3, 2, 3, 3]): 0.1, torch.Size([3]): 0.0}
