"""`predictraster`: rasters and a model file to a styled class map."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio

from ..contract.card import PIXEL, ModelCard
from ..contract.errors import INTERNAL, InstaGeoError
from ..contract.jobs import PredictRasterJob
from ..imagery.occasion import Occasion
from ..models.modelfile import load_card
from ..models.predictor import Predictor
from ..reporting import PhaseReporter, Reporter
from .area import Area, read_area
from .blend import RowBand, Rows, axis_parts, plan_strips
from .outputs import MapWriter, OutputPaths, check_disk, output_paths, written_outputs
from .pipeline import Batch, Lattice, batched, read_ahead, read_tiles
from .source import Source, open_source
from .windows import WindowPlan, plan_patches, plan_pixels

GDAL_CACHE_MB = 128
_PIXELS_PER_BATCH = 4 * 256 * 256
_MOST_WINDOWS_PER_BATCH = 32
_PREDICTED = 0.9  # share of the job after which only the COGs are left
_NON_COMMERCIAL = re.compile(r"\bnc\b|non-?commercial", re.IGNORECASE)


@dataclass(frozen=True)
class Tiling:
    """How a raster is cut up: overlap in pixels (-1: a quarter of the chip), windows at once (0: automatic), and the
    area outside which nothing is predicted."""

    overlap_px: int = -1
    batch_size: int = 0
    area: Area | None = None


def predict_raster(job: PredictRasterJob, reporter: Reporter) -> dict[str, Any]:
    """Predict the class map of the job's rasters, on their grid.

    Outputs: OUTPUT, STYLE, PROBABILITIES, CONFIDENCE and CLASS_AREAS as far as wanted, SECONDS, PIXELS_PER_SECOND.
    Raises `InstaGeoError` for every input that cannot be used; then, and when cancelled, nothing is left behind.
    """
    started = time.perf_counter()
    card = load_card(job.model)
    paths = output_paths(job)
    _note_licence(card, reporter)
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_MB), open_source(job, card, reporter) as source:
        area = read_area(job.area, source.grid) if job.area else None
        check_disk(paths, source.grid, card.class_table)
        predictor = _load(job, reporter)
        tiling = Tiling(job.overlap_px, job.batch_size, area)
        writer = _write_map(source, predictor, tiling, paths, reporter)
    return _summary(writer, paths, time.perf_counter() - started, reporter)


def _load(job: PredictRasterJob, reporter: Reporter) -> Predictor:
    from ..models.load import load_predictor  # torch, only once the rest of the job is known to be sound

    reporter.progress(0, "Loading the model")
    return load_predictor(job.model, device=job.device, precision=job.precision, reporter=reporter)


def _write_map(
    source: Source, predictor: Predictor, tiling: Tiling, paths: OutputPaths, reporter: Reporter
) -> MapWriter:
    finishing = PhaseReporter(reporter, _PREDICTED, 1)
    table = predictor.card.class_table
    with written_outputs(paths, source.grid, table, finishing.progress) as writer:
        predict(source, predictor, tiling, writer.write, PhaseReporter(reporter, 0, _PREDICTED))
    return writer


def predict(
    source: Source, predictor: Predictor, tiling: Tiling, write: Callable[[Rows], None], reporter: Reporter
) -> None:
    """Predict window by window; `write` gets every row of the raster, a strip of columns at a time, from the top.

    Memory is bounded by the windows. Raises `InstaGeoError` when the overlap is too large or the model's output is not
    probabilities of its classes, `Cancelled` when asked to stop.
    """
    plan = plan_windows(source, predictor, tiling)
    lattice = Lattice(plan, axis_parts(plan.rows, plan.exact), axis_parts(plan.cols, plan.exact))
    strips = plan_strips(plan, len(predictor.card.class_table.classes))
    size = tiling.batch_size or _batch_size(plan)
    progress = _Progress(reporter, len(plan.rows.starts) * sum(len(strip.columns) for strip in strips), source)
    for strip in strips:
        tiles = read_tiles(source, tiling.area, lattice, strip)
        band = RowBand(lattice.rows, len(predictor.card.class_table.classes), strip)
        with closing(read_ahead(batched(tiles, size))) as batches:
            for batch in batches:
                reporter.check()
                _add(batch, band, lattice, predictor, write)
                progress.done(len(batch.tiles))
        write(band.finish(plan.rows.size))


def plan_windows(source: Source, predictor: Predictor, tiling: Tiling) -> WindowPlan:
    """The windows that suit the model: overlapping ones of its chip size, or large ones when it looks at pixels."""
    card = predictor.card
    shape = source.grid.height, source.grid.width
    if card.kind == PIXEL:
        return plan_pixels(shape, card.inputs[0].channels)
    return plan_patches(shape, card.chip_size, predictor.stride_px, predictor.receptive_radius_px, tiling.overlap_px)


def _batch_size(plan: WindowPlan) -> int:
    return min(max(_PIXELS_PER_BATCH // (plan.rows.window * plan.cols.window), 1), _MOST_WINDOWS_PER_BATCH)


def _add(batch: Batch, band: RowBand, lattice: Lattice, predictor: Predictor, write: Callable[[Rows], None]) -> None:
    """Predict a batch and add it to the band, writing what a new row of windows leaves finished."""
    predicted = iter(() if batch.images is None else _probabilities(predictor, batch.images, batch.occasions))
    for tile in batch.tiles:
        row, col = lattice.rows[tile.row], lattice.cols[tile.col]
        if row.start > band.top:
            write(band.finish(row.start))
        if tile.state is not None:
            band.add(row, col, tile.state, next(predicted))


def _probabilities(predictor: Predictor, images: np.ndarray, occasions: Sequence[Occasion]) -> np.ndarray:
    """(N, K, H, W) float32; see `Predictor`."""
    probabilities = predictor.probabilities([images], occasions)
    expected = (len(images), len(predictor.card.class_table.classes), *images.shape[-2:])
    if probabilities.shape != expected:
        raise InstaGeoError(
            f"The model returned values of shape {probabilities.shape}; expected {expected}.", code=INTERNAL
        )
    if not np.isfinite(probabilities.sum(dtype=np.float64)):
        raise InstaGeoError(
            "The model returned values that are not numbers.",
            "Check the raster's units against the model's (SCALE and OFFSET), or set PRECISION to fp32.",
        )
    return probabilities


class _Progress:
    """Windows done, with pixels a second and the time that is left."""

    def __init__(self, reporter: Reporter, windows: int, source: Source) -> None:
        self._reporter = reporter
        self._windows = windows
        self._pixels = source.grid.width * source.grid.height
        self._done = 0
        self._started = time.perf_counter()

    def done(self, windows: int) -> None:
        self._done += windows
        share = self._done / self._windows
        seconds = max(time.perf_counter() - self._started, 1e-6)
        left = seconds * (1 - share) / share
        self._reporter.progress(
            share,
            f"{self._done} of {self._windows} windows, {share * self._pixels / seconds:,.0f} pixels/s, "
            f"{_duration(left)} left",
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _note_licence(card: ModelCard, reporter: Reporter) -> None:
    if _NON_COMMERCIAL.search(card.weights_licence):
        reporter.log(
            f"The weights of this model are licensed {card.weights_licence}: check whether your use is allowed.",
            "warning",
        )


def _summary(writer: MapWriter, paths: OutputPaths, seconds: float, reporter: Reporter) -> dict[str, Any]:
    pixels = writer.areas.predicted_pixels
    if not pixels:
        reporter.log("The map is empty: the raster holds no data where it was to be predicted.", "warning")
    if writer.partial_pixels:
        reporter.log(
            f"{writer.partial_pixels:,} pixels lack some bands or timesteps; they were predicted from the rest.",
            "warning",
        )
    reporter.log(f"Predicted {pixels:,} pixels in {seconds:.1f} s ({pixels / seconds:,.0f} pixels/s).")
    for line in writer.areas.lines():
        reporter.log(line)
    outputs: dict[str, Any] = {}
    for name, path in paths.named().items():
        reporter.artifact(name, str(path))
        outputs[name] = str(path)
    return {**outputs, "SECONDS": round(seconds, 3), "PIXELS_PER_SECOND": round(pixels / seconds, 1)}
