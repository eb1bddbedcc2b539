"""Between Lightning and the job: progress, cancelling, checkpoints."""

from __future__ import annotations

import os
import time
from typing import Any, cast

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint

from ..contract.errors import DISK, InstaGeoError
from ..files import remove
from ..reporting import Reporter
from .run_folder import RunFolder
from .task import SegmentationTask


class ReportingCallback(Callback):
    """Tells the reporter of every step and epoch; a cancelled job ends at the next step."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._started = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started, self._first_step = time.monotonic(), trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._reporter.check()
        plan = _task(pl_module).plan
        spent = time.monotonic() - self._started
        left = spent / max(trainer.global_step - self._first_step, 1) * (plan.steps - trainer.global_step)
        self._reporter.progress(
            trainer.global_step / plan.steps,
            f"Epoch {trainer.current_epoch + 1} of {plan.epochs}, {spoken_time(left)} left"
            + (" at most" if plan.patience else ""),
        )

    def on_validation_batch_end(self, *_: Any) -> None:
        self._reporter.check()


class EpochCallback(Checkpoint):
    """Sends an epoch's figures and writes its checkpoint.

    Of Lightning's checkpoint class, since those are called after the module itself has recorded the epoch.
    """

    def __init__(self, reporter: Reporter, folder: RunFolder) -> None:
        self._reporter = reporter
        self._folder = folder

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        record = _task(pl_module).history[-1]
        for name in ("train_loss", "val_loss", "val_miou", "learning_rate"):
            value = getattr(record, name)
            if value is not None:
                self._reporter.metric(name, value, epoch=record.epoch)
        self._save(trainer)
        self._reporter.check()

    def _save(self, trainer: Trainer) -> None:
        part = self._folder.checkpoint.with_suffix(".part")
        try:
            trainer.save_checkpoint(part)
            os.replace(part, self._folder.checkpoint)
        except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
            raise InstaGeoError(
                f"The checkpoint cannot be written to {self._folder.path} ({error}).",
                "Free some space or choose another OUTPUT.",
                DISK,
            ) from error
        finally:
            remove(part)


def _task(module: LightningModule) -> SegmentationTask:
    return cast(SegmentationTask, module)


def spoken_time(seconds: float) -> str:
    """A duration as a user reads it, such as `2 min` or `1 h 20 min`."""
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
