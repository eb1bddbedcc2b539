"""When and where a chip's imagery was taken, for the models that were trained to know."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Context:
    """`times` (N, T, 2): year and day of the year (from 1) of each timestep. `places` (N, 2): latitude and longitude of
    the chips' middles in degrees. None where it is not known: the model then runs without."""

    times: torch.Tensor | None = None
    places: torch.Tensor | None = None
