"""Pixels of items on a chip's grid: which asset holds a band, what its numbers mean, which of several items to take."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ..contract.dataset import REFLECTANCE, InputSpec
from ..contract.errors import InstaGeoError
from ..contract.jobs import CLEAREST, MEDIAN
from ..contract.sensors import CLOUD, NO_MASK, SHADOW, Band, Collection, Sensor, sentinel2_offset
from ..imagery.encoding import to_reflectance
from ..imagery.grid import Grid
from ..imagery.masks import decode_archive_mask
from .access import ReadFailure
from .assets import Asset, AssetStore
from .items import ArchiveItem

MOSAIC = "mosaic"
_JUDGED = (CLOUD, SHADOW)  # what `clearest` looks at when MASK names nothing
_COARSE_M = 120.0  # a cloud is larger: masks are first looked at with pixels up to this size
_SURE_SHARE = 0.1  # a coarse look errs by less than this share of a chip
_OUTSIDE_MASK = {"fmask": 255.0, "scl": 0.0, "qa_pixel": 1.0}  # "no data" in each kind of mask


@dataclass(frozen=True)
class Input:
    """One input of a dataset: a sensor's bands, how its items are chosen, which masks hide its pixels."""

    sensor: Sensor
    bands: tuple[Band, ...]
    timesteps: int
    selection: str
    masks: tuple[str, ...] = ()
    resampling: str = "nearest"

    @property
    def spec(self) -> InputSpec:
        names = tuple(band.name for band in self.bands)
        sensor = self.sensor
        return InputSpec(sensor.name, names, sensor.dtype, sensor.units, sensor.chip_nodata, self.timesteps)

    @property
    def is_masked(self) -> bool:
        return bool(self.masks) and self.sensor.mask_decoder != NO_MASK

    @property
    def needs_mask(self) -> bool:
        """Whether items without a mask are of no use."""
        return self.is_masked or (self.sensor.mask_decoder != NO_MASK and self.selection in (CLEAREST, MEDIAN))

    @property
    def finest(self) -> Band:
        """The first of its finest bands."""
        return min(self.bands, key=lambda band: band.resolution_m)

    def collection(self, item: ArchiveItem) -> Collection | None:
        """The record whose asset names fit `item`; None when a band, or the mask where one is needed, is absent."""
        for known in sorted(self.sensor.collections, key=lambda one: one.id != item.collection):
            named = [known.assets.get(band.name, "") for band in self.bands]
            if self.needs_mask:
                named.append(known.mask)
            if all(name in item.assets for name in named):
                return known
        return None

    def href(self, item: ArchiveItem, band: Band) -> str:
        return str(item.assets[self._known(item).assets[band.name]]["href"])

    def mask_href(self, item: ArchiveItem) -> str:
        return str(item.assets[self._known(item).mask]["href"])

    def offset(self, item: ArchiveItem, band: Band) -> float:
        """What is added to the numbers of an item's band, after scaling. Raises `InstaGeoError` when it cannot be
        known."""
        if not self.sensor.has_baseline:
            return self.sensor.offset
        return self.sensor.offset + sentinel2_offset(item.properties, item.assets[self._known(item).assets[band.name]])

    def _known(self, item: ArchiveItem) -> Collection:
        known = self.collection(item)
        if known is None:
            raise InstaGeoError(f"Item {item.id} lacks bands of {self.sensor.title}.")
        return known


@dataclass(frozen=True)
class StepPixels:
    """One timestep on a chip's grid: `values` (C, H, W) in the chip's type, `data` and `clamped` alike, `masked` (H, W)
    True where clouds and the like hide the ground."""

    values: np.ndarray
    data: np.ndarray
    clamped: np.ndarray
    masked: np.ndarray


class InputReader:
    """Reads the timesteps of one input."""

    def __init__(self, one: Input, store: AssetStore) -> None:
        self._input = one
        self._store = store

    def read(self, items: Sequence[ArchiveItem], grid: Grid) -> tuple[StepPixels, ArchiveItem | None]:
        """A timestep out of its candidates, and the item when it is a single one; no data where there are none.

        Raises `ReadFailure` when a file cannot be read.
        """
        if not items:
            return self._nothing(grid), None
        if self._input.selection == MEDIAN:
            return self._median([self._item(item, grid) for item in items]), None
        if self._input.selection == MOSAIC:
            return self._mosaic([self._item(item, grid) for item in items]), None
        if len(items) == 1:
            return self._item(items[0], grid), items[0]
        chosen = self._clearest(items, grid)
        self._prefetch_item(chosen, [grid])  # it was not known before
        return self._item(chosen, grid), chosen

    def prefetch(self, items: Sequence[ArchiveItem], grids: Sequence[Grid]) -> None:
        """Begin to fetch what `read` will need on all these grids; failures are told when it is read."""
        if len(items) > 1 and self._input.selection == CLEAREST:
            for item in items:
                self._prefetch(self._input.mask_href(item), grids, coarse=True)
            return
        for item in items:
            self._prefetch_item(item, grids)

    def _prefetch_item(self, item: ArchiveItem, grids: Sequence[Grid]) -> None:
        for href in self.hrefs(item):
            self._prefetch(href, grids)

    def _prefetch(self, href: str, grids: Sequence[Grid], coarse: bool = False) -> None:
        with suppress(RuntimeError):  # the run has ended
            asset = self._store.asset(href)
            asset.announce(self._store.openers.submit(_begin, asset, grids, coarse, self._store.pool))

    def hrefs(self, item: ArchiveItem) -> list[str]:
        """All files of an item that are read."""
        masks = [self._input.mask_href(item)] if self._input.needs_mask else []
        return [*masks, *(self._input.href(item, band) for band in self._input.bands)]

    def _item(self, item: ArchiveItem, grid: Grid) -> StepPixels:
        shape = (len(self._input.bands), grid.height, grid.width)
        values = np.empty(shape, np.dtype(self._input.sensor.dtype))
        data, clamped = np.empty(shape, dtype=bool), np.empty(shape, dtype=bool)
        for number, band in enumerate(self._input.bands):
            values[number], data[number], clamped[number] = self._band(item, band, grid)
        masked = self._masked(item, grid) if self._input.needs_mask else np.zeros(shape[1:], dtype=bool)
        return StepPixels(values, data, clamped, masked)

    def _band(self, item: ArchiveItem, band: Band, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sensor = self._input.sensor
        asset = self._store.asset(self._input.href(item, band))
        nodata = {value for value in (asset.header.nodata, sensor.nodata) if value is not None}
        fill = next((value for value in nodata if not math.isnan(value)), math.nan)
        raw = asset.read(grid, self._input.resampling, fill)
        data = ~np.isnan(raw) if raw.dtype.kind == "f" else np.ones(raw.shape, dtype=bool)
        for value in nodata:
            data &= raw != value
        if sensor.units == REFLECTANCE:
            encoded, clamped = to_reflectance(raw, data, sensor.scale, self._input.offset(item, band))
            return encoded, data, clamped
        values = np.where(data, raw, np.nan).astype(np.float32) * np.float32(sensor.scale) + np.float32(sensor.offset)
        return values, data, np.zeros(raw.shape, dtype=bool)

    def _masked(self, item: ArchiveItem, grid: Grid) -> np.ndarray:
        decoder = self._input.sensor.mask_decoder
        asset = self._store.asset(self._input.mask_href(item))
        pixels = asset.read(grid, "nearest", _OUTSIDE_MASK[decoder])
        return decode_archive_mask(pixels, decoder, self._input.masks or _JUDGED)

    def _clearest(self, items: Sequence[ArchiveItem], grid: Grid) -> ArchiveItem:
        """The item with the fewest masked pixels; ties: the earlier, then the smaller id.

        A look at coarse masks leaves those that may win; only these are read in full.
        """
        shares = [self._coarse_share(item, grid) for item in items]
        likely = [item for item, share in zip(items, shares) if share <= min(shares) + _SURE_SHARE]
        if len(likely) == 1:
            return likely[0]
        for item in likely:
            self._prefetch(self._input.mask_href(item), [grid])
        counts = [int(np.count_nonzero(self._masked(item, grid))) for item in likely]
        return min(zip(likely, counts), key=lambda pair: (pair[1], pair[0].time, pair[0].id))[0]

    def _coarse_share(self, item: ArchiveItem, grid: Grid) -> float:
        """Roughly the masked share of a chip; the chip's part beyond the item counts as masked."""
        asset = self._store.asset(self._input.mask_href(item))
        _, factor = _coarse_level(asset)
        window = asset.needed(grid)
        if window is None:
            return 1.0
        pixels = asset.read_coarse(window, factor)
        masked = decode_archive_mask(pixels, self._input.sensor.mask_decoder, self._input.masks or _JUDGED)
        own = asset.header.grid
        area = grid.width * grid.height * abs(grid.transform.determinant / own.transform.determinant)
        covered = min(1.0, window.width * window.height / area) if own.crs == grid.crs else 1.0
        return float(1 - covered * (1 - masked.mean()))

    def _median(self, steps: Sequence[StepPixels]) -> StepPixels:
        """Each pixel's median over the items in which it is clear, halves rounded away from zero."""
        clear = np.stack([step.data & ~step.masked for step in steps])
        values = np.where(clear, np.stack([step.values for step in steps]), np.nan).astype(np.float64)
        data = np.asarray(clear.any(axis=0))
        middle = np.full(data.shape, np.nan)
        if data.any():
            middle[data] = np.nanmedian(values[:, data], axis=0)
        dtype = np.dtype(self._input.sensor.dtype)
        if dtype.kind != "f":
            middle = np.copysign(np.floor(np.abs(middle) + 0.5), middle)
        nodata = float(self._input.sensor.chip_nodata)
        clamped: np.ndarray = np.logical_or.reduce([step.clamped for step in steps]) & data
        nowhere = ~np.asarray(clear.any(axis=(0, 1)))
        return StepPixels(np.where(data, middle, nodata).astype(dtype), data, clamped, nowhere)

    def _mosaic(self, steps: Sequence[StepPixels]) -> StepPixels:
        """The first item that has data wins."""
        values, data = steps[0].values.copy(), steps[0].data.copy()
        for step in steps[1:]:
            more = step.data & ~data
            values[more] = step.values[more]
            data |= more
        return StepPixels(values, data, np.zeros(data.shape, dtype=bool), np.zeros(data.shape[1:], dtype=bool))

    def _nothing(self, grid: Grid) -> StepPixels:
        shape = (len(self._input.bands), grid.height, grid.width)
        values = np.full(shape, float(self._input.sensor.chip_nodata)).astype(self._input.sensor.dtype)
        nothing = np.zeros(shape, dtype=bool)
        return StepPixels(values, nothing, nothing, np.zeros(shape[1:], dtype=bool))


def _begin(asset: Asset, grids: Sequence[Grid], coarse: bool, pool: Executor) -> None:
    """Open a file and begin to fetch its blocks. Whoever reads the file is told what fails here."""
    with suppress(ReadFailure, InstaGeoError, RuntimeError):
        level = _coarse_level(asset)[0] if coarse else 0
        windows = [window for window in map(asset.needed, grids) if window is not None]
        asset.prefetch(windows, pool, level)


def _coarse_level(asset: Asset) -> tuple[int, int]:
    """The overview (from 1; 0: the file itself) for a coarse look, and by how much it is coarser."""
    finest = max(asset.header.grid.resolution)
    fitting = [(number, factor) for number, factor in enumerate(asset.header.levels, 1) if finest * factor <= _COARSE_M]
    return fitting[-1] if fitting else (0, 1)


def item_date(item: ArchiveItem) -> dt.date:
    """The UTC day."""
    return item.time.date()


def usable(items: Iterable[ArchiveItem], one: Input) -> tuple[list[ArchiveItem], list[ArchiveItem]]:
    """Items that have all assets `one` needs, and those that lack some."""
    kept: list[ArchiveItem] = []
    lacking: list[ArchiveItem] = []
    for item in items:
        (lacking if one.collection(item) is None else kept).append(item)
    return kept, lacking
