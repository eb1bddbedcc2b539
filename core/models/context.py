"""When and where a chip's imagery was taken, for the models that were trained to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..imagery.occasion import Occasion


@dataclass(frozen=True)
class Context:
    """`times` (N, T, 2): year and day of the year (from 1) of each timestep. `places` (N, 2): latitude and longitude of
    the chips' middles in degrees. None, or NaN, where it is not known: the model then runs without."""

    times: torch.Tensor | None = None
    places: torch.Tensor | None = None

    def to(self, device: torch.device | str, **_: bool) -> Context:
        """Itself on another device."""
        moved = (None if one is None else one.to(device) for one in (self.times, self.places))
        return Context(*moved)


def context_of(occasions: Sequence[Occasion]) -> Context:
    """Of a batch; without times when a chip has none."""
    times = [occasion.times() for occasion in occasions]
    dated = min(len(one) for one in times) > 0
    places = np.stack([occasion.middle() for occasion in occasions])
    return Context(_tensor(np.stack(times)) if dated else None, _tensor(places))


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
