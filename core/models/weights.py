"""Weights into a module: every key accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..contract.errors import Problems

_SHOWN = 5


def load_weights(module: torch.nn.Module, tensors: Mapping[str, Any], subject: str, *, assign: bool = False) -> None:
    """Fill `module` with `tensors` (arrays or tensors by key of its state dict); with `assign` they become its
    parameters as they are, without a copy, as a module on the device `meta` needs it.

    Raises `InstaGeoError`, with the module as it was, that names the missing, the unexpected and the mis-shaped keys;
    `subject` says in it whose weights these are.
    """
    wanted = module.state_dict()
    wrong = [
        f"{key} {tuple(tensors[key].shape)}, expected {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in tensors and tuple(tensors[key].shape) != tuple(value.shape)
    ]
    problems = Problems(subject, "The file does not belong to this architecture; train or import the model again.")
    _add(problems, "missing weights", [key for key in wanted if key not in tensors])
    _add(problems, "unexpected weights", [key for key in tensors if key not in wanted])
    _add(problems, "weights of another shape", wrong)
    problems.raise_if_any()
    module.load_state_dict({key: _tensor(value) for key, value in tensors.items()}, assign=assign)


def _add(problems: Problems, what: str, items: list[str]) -> None:
    if items:
        more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
        problems.add(f"{len(items)} {what}: {', '.join(items[:_SHOWN])}{more}.")


def _tensor(value: Any) -> torch.Tensor:
    return torch.from_numpy(np.require(value, requirements=["C", "W"])) if isinstance(value, np.ndarray) else value
