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

    @property
    def months(self) -> torch.Tensor | None:
        """(N, T) months from 0 to 11 of `times`."""
        if self.times is None:
            return None
        return months_of(self.times)


_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def months_of(times: torch.Tensor) -> torch.Tensor:
    """Months from 0 to 11 of (..., 2) years and days of the year.

    >>> months_of(torch.tensor([[2023.0, 31.0], [2023.0, 60.0], [2024.0, 60.0], [2024.0, 366.0]])).tolist()
    [0, 2, 1, 11]
    """
    years, days = times[..., 0].long(), times[..., 1].long()
    leap = ((years % 4 == 0) & (years % 100 != 0)) | (years % 400 == 0)
    after_february = torch.tensor([0, 0, *[1] * 10], device=times.device)
    before = torch.tensor(_DAYS_BEFORE, device=times.device) + leap[..., None] * after_february
    return (days[..., None] > before).sum(dim=-1) - 1
