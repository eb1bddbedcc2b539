"""The one training loop: a Lightning module that any network and any loss fit into."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..contract.errors import InstaGeoError
from ..evaluation.metrics import confusion, scores_from_confusion
from .batches import Batch
from .data import IGNORED
from .losses import Loss
from .outcome import EpochRecord

WARM_UP_SHARE = 0.05  # of all steps
GRADIENT_NORM = 1.0
AVERAGED_SHARE = 0.1  # of all steps: how far back the averaged weights reach
AVERAGED_STEPS = 1000  # at most

_STATE = "instageo"
ENCODER = "encoder."
_BLOCK_NUMBER = re.compile(r"encoder\.(?:blocks|encoder)\.(\d+)\.")


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. `patience` in epochs, 0 = all of them; `classes` are the network's outputs. Each
    layer below the head learns slower by the factor `layer_decay`."""

    classes: int
    epochs: int
    steps_per_epoch: int
    learning_rate: float
    weight_decay: float
    patience: int
    seed: int
    layer_decay: float = 1.0

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch


class SegmentationTask(LightningModule):
    """Trains `network`; what is validated and kept is the moving average of its weights.

    The average (Polyak and Juditsky, 1992; as exponential average in Tarvainen and Valpola, "Mean teachers", 2017)
    smooths the noise that small datasets put into the weights, so that choosing an epoch by a few validation chips
    is less of a lottery.
    """

    def __init__(self, network: nn.Module, loss: Loss, plan: Plan) -> None:
        super().__init__()
        self.network = network
        average = get_ema_multi_avg_fn(averaging_decay(plan.steps))  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
        self.averaged.requires_grad_(False)
        self.plan = plan
        self.history: list[EpochRecord] = []
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}
        self._loss = loss
        self._train_loss = _Mean()
        self._val_loss = _Mean()
        self._confusion = np.zeros((plan.classes, plan.classes), dtype=np.int64)

    @property
    def final_network(self) -> nn.Module:
        """The averaged network with the best epoch's weights, ready to run."""
        network: nn.Module = self.averaged.module
        network.load_state_dict(self.best_weights)
        return network.eval()

    def configure_optimizers(self) -> Any:
        groups = parameter_groups(self.network, self.plan)
        optimizer = torch.optim.AdamW(groups, lr=self.plan.learning_rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, self.plan.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        # Dropout draws from the global generator: seeded by epoch, a resumed run draws what the unbroken one drew.
        torch.manual_seed(self.plan.seed * 1_000_003 + self.current_epoch)
        self._train_loss = _Mean()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        images, label, context = batch
        loss = self._loss(self.network(images, context), label)
        self._train_loss.add(self._finite(float(loss.detach())), _labelled(label))
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        self.averaged.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        self._val_loss = _Mean()
        self._confusion[:] = 0

    def validation_step(self, batch: Batch, _: int) -> None:
        images, label, context = batch
        logits = self.averaged.module(images, context)
        self._val_loss.add(self._finite(float(self._loss(logits, label))), _labelled(label))
        self._confusion += label_confusion(label, logits)

    def on_train_epoch_end(self) -> None:
        """Record the epoch, keep its weights when they are the best, and stop when patience is over."""
        validated = self._val_loss.weight > 0
        self.history.append(
            EpochRecord(
                epoch=self.current_epoch + 1,
                train_loss=self._train_loss.value,
                learning_rate=self.plan.learning_rate * rate_factor(self.global_step - 1, self.plan.steps),
                val_loss=self._val_loss.value if validated else None,
                val_miou=scores_from_confusion(self._confusion).miou if validated else None,
            )
        )
        if better(self.history[-1], self._best):
            self.best_epoch = self.history[-1].epoch
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.averaged.module.state_dict().items()}
        self.trainer.should_stop = self._out_of_patience

    def on_train_start(self) -> None:
        # A run may be resumed whose epochs are all over, because its model could not be written.
        self.trainer.should_stop = self._out_of_patience

    @property
    def _out_of_patience(self) -> bool:
        if not self.history or self.history[-1].val_miou is None:
            return False
        return 0 < self.plan.patience <= self.history[-1].epoch - self.best_epoch

    @property
    def _best(self) -> EpochRecord | None:
        return self.history[self.best_epoch - 1] if self.best_epoch else None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[_STATE] = {
            "history": [dataclasses.asdict(record) for record in self.history],
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint[_STATE]
        self.history = [EpochRecord(**record) for record in state["history"]]
        self.best_epoch = state["best_epoch"]
        self.best_weights = state["best_weights"]

    def _finite(self, loss: float) -> float:
        if math.isfinite(loss):
            return loss
        rate = self.plan.learning_rate * rate_factor(self.global_step, self.plan.steps)
        raise InstaGeoError(
            f"The training diverged: the loss became {loss} in epoch {self.current_epoch + 1}, step "
            f"{self.global_step + 1}, at a learning rate of {rate:.3g}.",
            f"Choose a smaller LEARNING_RATE, such as {self.plan.learning_rate / 10:g}; with PRECISION bf16, try fp32.",
        )


class _Mean:
    """A weighted mean, added up step by step."""

    def __init__(self) -> None:
        self.weight = 0
        self._sum = 0.0

    def add(self, value: float, weight: int) -> None:
        self._sum += value * weight
        self.weight += weight

    @property
    def value(self) -> float:
        return self._sum / max(self.weight, 1)


def _labelled(label: Tensor) -> int:
    return int((label != IGNORED).sum())


def label_confusion(label: Tensor, logits: Tensor) -> np.ndarray:
    """(K, K) int64, truth in rows, of labels (N, H, W) and logits (N, K, H, W)."""
    return confusion(label.cpu().numpy(), logits.argmax(dim=1).cpu().numpy(), range(logits.shape[1]))


def better(record: EpochRecord, than: EpochRecord | None) -> bool:
    """Whether an epoch beats the best so far: by validation mIoU, on a tie by validation loss; without validation the
    last epoch is the best."""
    if than is None or record.val_miou is None or than.val_miou is None:
        return True
    if record.val_miou != than.val_miou:
        return record.val_miou > than.val_miou
    return (record.val_loss or 0.0) < (than.val_loss or 0.0)


def rate_factor(step: int, steps: int) -> float:
    """Share of the learning rate at a step: a linear warm-up, then half a cosine down to nearly 0.

    Loshchilov and Hutter, "SGDR", 2017, without restarts.
    """
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up + 1) / (steps - warm_up + 1))))


def parameter_groups(network: nn.Module, plan: Plan) -> list[dict[str, Any]]:
    """What is trained, with its rate and decay.

    Weight decay is for matrices and kernels alone: on biases and normalisation it only harms. With `layer_decay` the
    rate falls from layer to layer towards the input (Clark et al., ELECTRA, 2020; He et al., arXiv:2111.06377).
    """
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    top = 1 + max((layer_of(name) for name, _ in network.named_parameters()), default=0)
    for name, parameter in trained:
        layer = layer_of(name) if name.startswith(ENCODER) else top
        groups.setdefault((top - layer if plan.layer_decay != 1 else 0, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": plan.learning_rate * plan.layer_decay**depth,
            "weight_decay": plan.weight_decay if decays else 0.0,
        }
        for (depth, decays), parameters in sorted(groups.items(), key=lambda group: (group[0][0], not group[0][1]))
    ]


def layer_of(name: str) -> int:
    """The layer of an encoder's parameter: 0 for what makes tokens (and the last norm), then block by block.

    >>> [layer_of(n) for n in ("encoder.cls_token", "encoder.blocks.3.norm1.weight", "encoder.encoder.0.mlp.fc1.bias")]
    [0, 4, 1]
    """
    found = _BLOCK_NUMBER.match(name)
    return int(found[1]) + 1 if found else 0


def averaging_decay(steps: int) -> float:
    """Share of the average that one step keeps: it reaches back `AVERAGED_SHARE` of a run of so many steps.

    It is the same from the first step on: early averages lag behind and validate badly, so that no lucky early epoch
    is taken for the best.
    """
    return 1 - 1 / min(max(AVERAGED_SHARE * steps, 1.0), AVERAGED_STEPS)
