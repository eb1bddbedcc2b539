"""What chips are cut from: the seam between the making of chips and the imagery, wherever it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol

import numpy as np
from rasterio.windows import Window

from ..contract.jobs import CreateChipsJob
from ..imagery.encoding import Encoding
from ..imagery.masks import apply_strategy
from ..imagery.reading import SceneReader, no_nodata_error
from ..imagery.scenes import Scene
from ..reporting import Reporter
from .ledger import Outcome


@dataclass(frozen=True)
class InputPixels:
    """One input of one chip.

    `values` (T, C, H, W) in the type of the chip files, nodata where `data` is False; `clamped` where a value was
    outside that type's range. `masked` (T, H, W), after the strategy, is None without masks. `dates` are ISO, one a
    timestep ("" where there is no imagery), none when no date is known.
    """

    values: np.ndarray
    data: np.ndarray
    clamped: np.ndarray
    masked: Optional[np.ndarray]
    dates: list[str]


class ChipSource(Protocol):
    """The imagery of one planned scene."""

    def read(self, window: Window) -> list[InputPixels]:
        """One an input, in the order of the dataset's. The window may reach beyond the scene.

        Raises `Unreadable` when this chip cannot be had and others may, `InstaGeoError` when none can.
        """
        ...


class Unreadable(Exception):
    """The imagery of one chip could not be read, or there is none; `reason` is a kind, the text the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Production(Protocol):
    """How all chips of a dataset come about: one at a time, in threads, or on a cluster."""

    def produce(self, folder: Path, is_done: Callable[[str], bool], reporter: Reporter) -> Iterator[Outcome]:
        """Make every candidate that is not done, in any order, into `folder`; its files are complete before its
        outcome is yielded."""
        ...


@dataclass(frozen=True)
class RasterSource:
    """Rasters at hand: one input, `custom`."""

    job: CreateChipsJob
    scene: Scene
    encoding: Encoding
    reader: SceneReader

    def read(self, window: Window) -> list[InputPixels]:
        pixels = self.reader.read(window)
        data = self.encoding.has_data(pixels) & self.reader.inside(window)
        values, clamped = self.encoding.encode(pixels, data)
        return [InputPixels(values, data, clamped, self._masked(window), self.scene.dates)]

    def _masked(self, window: Window) -> Optional[np.ndarray]:
        masked = self.reader.read_masks(window)
        if masked is None:
            return None
        if self.encoding.nodata is None and masked.any():
            raise no_nodata_error("MASK_RASTERS mask pixels")
        return apply_strategy(masked, self.job.mask_strategy)
