"""Reading imagery for a model, window by window, in the model's units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ..contract.backbones import backbone, is_foundation
from ..contract.card import ModelCard
from ..contract.dataset import RAW_UNITS, REFLECTANCE, REFLECTANCE_RANGE, InputSpec
from ..contract.errors import InstaGeoError, Problems
from ..contract.jobs import PredictRasterJob
from ..imagery.dates import parse_iso_date
from ..imagery.grid import Grid, centre_latitude, grid_of, metres_per_degree, pixel_metres
from ..imagery.masks import apply_strategy, decode_mask
from ..imagery.rasters import describe_grid, open_raster, raster_date, read_failure, same_grid
from ..reporting import Reporter
from .bands import BandList, StepBands, band_list, map_bands
from .windows import reflected

WARNED_FACTOR = 1.01
REFUSED_FACTOR = 2.0


class Source(Protocol):
    """Imagery on one grid."""

    @property
    def grid(self) -> Grid: ...

    @property
    def dates(self) -> tuple[str, ...]:
        """One a timestep, ISO, empty where not known."""
        ...

    def read(self, window: Window) -> np.ndarray:
        """(T, C, H, W) float32 in the model's units, NaN where there is no data; `window` lies on the grid."""
        ...


@dataclass(frozen=True)
class RasterSource:
    """Open rasters; the model's value = raster value x scale + offset, in `units` as in `InputSpec`.

    `masks` are as many as `steps`, or none: what is nonzero in a timestep's mask has no data in it, or, by
    `mask_strategy` any, in all.
    """

    rasters: tuple[DatasetReader, ...]
    steps: tuple[StepBands, ...]
    grid: Grid
    units: str = RAW_UNITS
    scale: float = 1.0
    offset: float = 0.0
    masks: tuple[DatasetReader, ...] = ()
    mask_strategy: str = "each"
    dates: tuple[str, ...] = ()

    def read(self, window: Window) -> np.ndarray:
        """See `Source`. Raises `InstaGeoError` when a file is damaged."""
        images = np.stack([self._read_step(step, window) for step in self.steps])
        if self.masks:
            masked = np.stack([decode_mask(_read(mask, [1], window)[0]) for mask in self.masks])
            images.swapaxes(0, 1)[:, apply_strategy(masked, self.mask_strategy)] = np.nan
        return images

    def _read_step(self, step: StepBands, window: Window) -> np.ndarray:
        raster = self.rasters[step.source]
        bands = list(step.bands)
        pixels = _read(raster, bands, window).astype(np.float32)
        valid = raster.read_masks(bands, window=window)  # nodata, mask bands and alpha alike
        pixels[(valid == 0) | ~np.isfinite(pixels)] = np.nan
        return self._in_model_units(pixels)

    def _in_model_units(self, pixels: np.ndarray) -> np.ndarray:
        if (self.scale, self.offset) == (1.0, 0.0):
            return pixels
        scaled = pixels.astype(np.float64) * self.scale + self.offset
        if self.units == REFLECTANCE:  # whole numbers, as chips hold them
            scaled = np.rint(scaled).clip(*REFLECTANCE_RANGE)
        return scaled.astype(np.float32)


def _read(raster: DatasetReader, bands: list[int], window: Window) -> np.ndarray:
    try:
        pixels: np.ndarray = raster.read(bands, window=window)
    except RasterioError as error:
        raise InstaGeoError(
            f"{raster.name} cannot be read in rows {window.row_off} to {window.row_off + window.height} "
            f"({read_failure(error)}).",
            "The file is damaged or incomplete: copy or download it again.",
        ) from error
    return pixels


def read_mirrored(source: Source, window: Window) -> np.ndarray:
    """Like `source.read`, for a window that may reach beyond the grid: there the imagery is mirrored at its edge."""
    rows = reflected(window.row_off, window.height, source.grid.height)
    cols = reflected(window.col_off, window.width, source.grid.width)
    top, left = int(rows.min()), int(cols.min())
    pixels = source.read(Window(left, top, int(cols.max()) + 1 - left, int(rows.max()) + 1 - top))
    if pixels.shape[-2:] == (window.height, window.width):
        return pixels
    return pixels[:, :, (rows - top)[:, None], cols - left]


@contextmanager
def open_source(job: PredictRasterJob, card: ModelCard, reporter: Reporter) -> Iterator[RasterSource]:
    """Open the job's rasters (timesteps oldest first, or one stack) for the model of `card`.

    Raises `InstaGeoError` when a file is no raster, has no CRS, is rotated or lies on another grid than the first, when
    bands or timesteps are missing, or when the resolution is far from the model's.
    """
    if len(card.inputs) != 1:
        raise InstaGeoError(
            f"The model takes {len(card.inputs)} inputs ({', '.join(i.sensor for i in card.inputs)}); "
            "a raster prediction has one.",
            "Choose a model of a single sensor.",
        )
    with ExitStack() as stack:
        rasters = tuple(stack.enter_context(open_raster(path)) for path in job.rasters)
        _check_georeference(rasters)
        check_same_grid(rasters)
        steps = tuple(_map(card.inputs[0], rasters, job.bands, reporter))
        masks = tuple(stack.enter_context(open_raster(path)) for path in job.mask_rasters)
        _check_masks(masks, len(steps), rasters[0])
        grid = grid_of(rasters[0])
        check_resolution(grid, card, reporter)
        units = card.inputs[0].units
        dates = _dates(job.dates, rasters, steps)
        _say_dates(dates, card, reporter)
        yield RasterSource(rasters, steps, grid, units, job.scale, job.offset, masks, job.mask_strategy, dates)


def _dates(given: str, rasters: Sequence[DatasetReader], steps: Sequence[StepBands]) -> tuple[str, ...]:
    """Of the timesteps: as given, else from the bands' descriptions, else of the files."""
    listed = [parse_iso_date(text, "DATES") for text in given.replace(",", " ").split()]
    if not listed:
        stacked = len({step.source for step in steps}) < len(steps)
        return tuple(step.date or ("" if stacked else raster_date(rasters[step.source])) for step in steps)
    if len(listed) != len(steps) or listed != sorted(listed):
        raise InstaGeoError(
            f"DATES holds {', '.join(listed)}; expected {len(steps)}, one a timestep, oldest first.",
            "Give the dates in the order of the rasters, as 2022-06-08, and the rasters oldest first.",
        )
    return tuple(listed)


def _say_dates(dates: Sequence[str], card: ModelCard, reporter: Reporter) -> None:
    """What a model that looks at dates is told."""
    if not (is_foundation(card.architecture) and backbone(card.architecture).uses_time):
        return
    reporter.log(f"Dates of the timesteps: {', '.join(date or 'not known' for date in dates)}.")
    if "" in dates:
        reporter.log("The model was trained to know the dates: give them with DATES.", "warning")
    known = [date for date in dates if date]
    if known != sorted(known):
        reporter.log("The rasters are not in the order of their dates; expected oldest first.", "warning")


def _check_georeference(rasters: Sequence[DatasetReader]) -> None:
    problems = Problems("Imagery", "Assign the CRS, or warp the raster to a north-up grid, and run this again.")
    for raster in rasters:
        if raster.count == 0:
            problems.add(f"{raster.name} holds no bands of its own; choose one of its subdatasets.")
        if raster.crs is None or raster.transform.is_identity:
            problems.add(f"{raster.name} has no coordinate reference system or no georeference.")
        if raster.transform.b or raster.transform.d:
            problems.add(f"{raster.name} is rotated; expected rows along the x axis of its CRS.")
        if any(dtype.startswith("complex") for dtype in raster.dtypes):
            problems.add(f"{raster.name} holds complex numbers; expected real ones.")
    problems.raise_if_any()


def _check_masks(masks: Sequence[DatasetReader], timesteps: int, raster: DatasetReader) -> None:
    remedy = "Give one single-band mask for each timestep, oldest first, on the imagery's grid."
    problems = Problems("MASK_RASTERS", remedy)
    if masks and len(masks) != timesteps:
        problems.add(f"found {len(masks)} masks; expected {timesteps}, one for each timestep.")
    for mask in masks:
        if mask.count != 1:
            problems.add(f"{mask.name} has {mask.count} bands; expected 1.")
        if not same_grid(grid_of(raster), grid_of(mask)):
            found, expected = describe_grid(grid_of(mask)), describe_grid(grid_of(raster))
            problems.add(f"{mask.name} is on the grid {found}; expected that of {raster.name}: {expected}.")
    problems.raise_if_any()


def check_same_grid(rasters: Sequence[DatasetReader]) -> None:
    """Raise `InstaGeoError` unless all lie on the grid of the first."""
    first = grid_of(rasters[0])
    for raster in rasters[1:]:
        grid = grid_of(raster)
        if not same_grid(first, grid):
            raise InstaGeoError(
                f"The rasters lie on different grids: {rasters[0].name} ({describe_grid(first)}) and {raster.name} "
                f"({describe_grid(grid)}); expected one grid for all timesteps.",
                "Warp them to one grid (same CRS, extent and pixel size) and run this again.",
            )


def _map(spec: InputSpec, rasters: Sequence[DatasetReader], mapping: str, reporter: Reporter) -> list[StepBands]:
    lists = [_bands_of(raster, source) for source, raster in enumerate(rasters)]
    steps = map_bands(spec, lists, mapping)
    for date, step in enumerate(steps):
        pairs = ", ".join(f"{name} = band {number}" for name, number in zip(spec.bands, step.bands))
        reporter.log(f"Timestep {date + 1}, {lists[step.source].path}: {pairs}.")
    if any(step.by_order for step in steps):
        reporter.log(
            "The raster's bands have no names: they are taken in the model's order. If that is wrong, map them with "
            "BANDS.",
            "warning",
        )
    return steps


def _bands_of(raster: DatasetReader, source: int) -> BandList:
    numbers = [i for i, kind in zip(raster.indexes, raster.colorinterp) if kind != ColorInterp.alpha]
    return band_list(raster.name, source, {i: raster.descriptions[i - 1] for i in numbers})


def check_resolution(grid: Grid, card: ModelCard, reporter: Reporter) -> None:
    """Warn when pixels differ from those the model was trained on by more than 1 %; raise beyond a factor of 2."""
    found = _in_unit(grid, card.resolution_unit)
    factor = max(max(a / b, b / a) for a, b in zip(found, card.resolution))
    if factor <= WARNED_FACTOR:
        return
    words = (
        f"The raster's pixels are {found[0]:.6g} x {found[1]:.6g} {card.resolution_unit}, the model was trained on "
        f"{card.resolution[0]:.6g} x {card.resolution[1]:.6g} {card.resolution_unit} (factor {factor:.3g})"
    )
    if factor > REFUSED_FACTOR:
        raise InstaGeoError(
            f"{words}; expected within a factor of {REFUSED_FACTOR:g}.",
            "Warp the raster to the model's pixel size, or choose a model trained at the raster's.",
        )
    reporter.log(f"{words}: textures and field sizes look different to it, so check the map.", "warning")


def _in_unit(grid: Grid, unit: str) -> tuple[float, float]:
    """The pixel's size in `unit`, degrees and metres compared at the raster's centre latitude."""
    if unit == grid.resolution_unit:
        return grid.resolution
    if unit == "metre":
        return pixel_metres(grid)
    (width, height), (east, north) = grid.resolution, metres_per_degree(centre_latitude(grid))
    return width / east, height / north
