"""What a training, of whatever kind, hands over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of the history. `learning_rate` is that of its last step; validation figures are None without one."""

    epoch: int
    train_loss: float
    learning_rate: float
    val_loss: float | None = None
    val_miou: float | None = None


@dataclass(frozen=True)
class Outcome:
    """The model, and how it did.

    `tensors` by key, as the model file holds them; `confusion` (K, K), truth in rows, of the part the figures are
    measured on; `best_epoch` counts from 1; `provenance` is added to the card's training record. `adapter` holds what
    was trained beside published weights, where that is apart.
    """

    constants: dict[str, Any]
    tensors: Mapping[str, Any]
    confusion: np.ndarray
    epochs_run: int
    best_epoch: int
    parameters: int
    macs: int
    history: tuple[EpochRecord, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    adapter: Mapping[str, Any] = field(default_factory=dict)
