"""`importchips`: image and label files of other programs to a chip dataset."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine

from ..contract.classes import IGNORE_VALUE
from ..contract.dataset import IMAGE_FOLDER, LABEL_FOLDER, SEGMENTATION, DatasetSpec, InputSpec
from ..contract.errors import InstaGeoError
from ..contract.jobs import ImportChipsJob
from ..contract.sensors import SENSORS
from ..contract.serial import to_plain
from ..contract.version import SOFTWARE
from ..imagery.bands import complete_names, date_of_band, parse_bands, plain_band_name
from ..imagery.footprint import footprint_4326
from ..imagery.grid import Grid
from ..imagery.rasters import RasterInfo, crs_text, inspect_raster
from ..reporting import Reporter
from .chip_files import band_descriptions, geotiff
from .file_pairs import NO_LABEL, FilePair, file_records, files_folder, find_pairs, read_classes
from .foreign import UNUSABLE_IMAGE, ForeignImages, ForeignLabels, Unusable
from .index import ChipRow, SkippedRow
from .writing import dataset_outputs, is_finished, make_folders, new_folder, write_truth

OTHER_BANDS, OTHER_TYPE, OTHER_SIZE = "another number of bands", "another pixel type", "another size"
_NOT_COMPARED = ("output", "input", "root")


def import_chips(job: ImportChipsJob, reporter: Reporter) -> dict[str, Any]:
    """Make the dataset; returns OUTPUT, INDEX, CHIP_COUNT, SKIPPED_COUNT.

    Files that do not fit become rows of the skipped layer, with the reason. Raises `InstaGeoError` when no pair can
    be used, when BANDS and TIMESTEPS do not fit the images, and for an OUTPUT with something else in it.
    """
    output = Path(job.output)
    pairs, alone = find_pairs(job)
    parameters = _parameters(job, pairs)
    if is_finished(output, parameters):
        reporter.log(f"{output} was made of the same files before; nothing to do.")
    else:
        with new_folder(output) as folder:
            _import(job, pairs, alone, parameters, folder, reporter)
        reporter.artifact("OUTPUT", str(output))
    outputs = dataset_outputs(output)
    reporter.progress(1, f"{outputs['CHIP_COUNT']} chips")
    return outputs


def _parameters(job: ImportChipsJob, pairs: Sequence[FilePair]) -> dict[str, Any]:
    plain = {name: value for name, value in to_plain(job).items() if name not in _NOT_COMPARED}
    digest = hashlib.sha256(repr(file_records(pairs)).encode()).hexdigest()
    return {"kind": job.kind, **plain, "contents": f"sha256:{digest}"}


@dataclass(frozen=True)
class _Image:
    """An image that can be read: its header, and its grid, moved where that was asked for."""

    pair: FilePair
    info: RasterInfo
    grid: Grid


@dataclass
class _Outcome:
    """What came about so far."""

    skipped: list[SkippedRow]
    chips: list[ChipRow] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    clamped: int = 0
    restored: int = 0

    def skip(self, pair: FilePair, reason: str, detail: str, grid: Grid | None = None) -> None:
        place = shapely.centroid(footprint_4326(grid)) if grid else shapely.Point()
        self.skipped.append(SkippedRow(reason, f"{pair.name}: {detail}", 1, place))


def _import(
    job: ImportChipsJob,
    pairs: Sequence[FilePair],
    alone: Sequence[SkippedRow],
    parameters: dict[str, Any],
    folder: Path,
    reporter: Reporter,
) -> None:
    outcome = _Outcome(list(alone))
    images = _usable(job, _labelled(pairs, outcome), outcome, reporter)
    foreign = ForeignImages(job, images[0].info.dtype)
    spec = _input_of(job, images[0].info, foreign)
    labels = ForeignLabels(job.class_table if job.class_table.entries else read_classes(files_folder(job)))
    make_folders(folder, any(image.pair.label for image in images))
    for done, image in enumerate(images):
        reporter.progress(0.1 + 0.85 * done / len(images), f"{done} of {len(images)} chips")
        try:
            _convert(image, foreign, labels, spec, folder, outcome)
        except Unusable as error:
            outcome.skip(image.pair, error.reason, str(error), image.grid)
    if not outcome.chips:
        raise _nothing(outcome)
    grid = images[0].grid
    dataset = DatasetSpec(
        inputs=(spec,),
        task=SEGMENTATION,
        class_table=labels.class_table(),
        chip_size=grid.width,
        resolution=grid.resolution,
        resolution_unit=grid.resolution_unit,
        parameters=parameters,
        sources=tuple(outcome.sources),
        software=SOFTWARE,
        counts={
            "clamped_values": outcome.clamped,
            "restored_values": outcome.restored,
            "unknown_labels": labels.unknown,
        },
    )
    _tell(dataset, outcome, reporter)
    write_truth(folder, dataset, outcome.chips, outcome.skipped)


def _labelled(pairs: Sequence[FilePair], outcome: _Outcome) -> list[FilePair]:
    """Pairs with a label file; all where none has one, since these are chips for prediction."""
    labelled = [pair for pair in pairs if pair.label]
    if not labelled:
        return list(pairs)
    for pair in pairs:
        if not pair.label:
            outcome.skip(pair, NO_LABEL, str(pair.image))
    return labelled


def _usable(job: ImportChipsJob, pairs: Sequence[FilePair], outcome: _Outcome, reporter: Reporter) -> list[_Image]:
    """Images that can be chips of one dataset, judged by their headers; the others are skipped."""
    images: list[_Image] = []
    for done, pair in enumerate(pairs):
        reporter.progress(0.1 * done / len(pairs), "Reading the headers")
        try:
            info = inspect_raster(str(pair.image))
        except InstaGeoError as error:
            outcome.skip(pair, UNUSABLE_IMAGE, error.message.replace("\n", " "))
            continue
        images.append(_Image(pair, info, _moved(info.grid, job.half_pixel)))
    images = _of_most(images, OTHER_BANDS, lambda image: image.info.count, outcome)
    images = _of_most(images, OTHER_TYPE, lambda image: image.info.dtype, outcome)
    images = _of_most(images, OTHER_SIZE, lambda image: f"{image.grid.width} x {image.grid.height}", outcome)
    if not images:
        raise _nothing(outcome)
    if images[0].grid.width != images[0].grid.height:
        size = f"{images[0].grid.width} x {images[0].grid.height}"
        raise InstaGeoError(f"The images have {size} pixels; expected square ones.", "Cut them into squares.")
    return images


def _moved(grid: Grid, half_pixel: bool) -> Grid:
    return replace(grid, transform=grid.transform * Affine.translation(0.5, 0.5)) if half_pixel else grid


def _of_most(images: list[_Image], reason: str, kind: Callable[[_Image], Any], outcome: _Outcome) -> list[_Image]:
    """The images of the most frequent kind."""
    kinds = Counter(map(kind, images))
    if len(kinds) < 2:
        return images
    usual, number = kinds.most_common(1)[0]
    for image in images:
        if kind(image) != usual:
            detail = f"found {kind(image)}; {number} of {len(images)} images have {usual}"
            outcome.skip(image.pair, reason, detail, image.grid)
    return [image for image in images if kind(image) == usual]


def _input_of(job: ImportChipsJob, info: RasterInfo, foreign: ForeignImages) -> InputSpec:
    bands = _bands(job, info)
    if len(bands) * job.timesteps != info.count:
        raise InstaGeoError(
            f"The images have {info.count} bands; TIMESTEPS {job.timesteps} x {len(bands)} BANDS ({', '.join(bands)}) "
            f"make {job.timesteps * len(bands)}.",
            "Name the bands of one timestep with BANDS, and give TIMESTEPS.",
        )
    nodata = foreign.nodata_plain(info.nodata)
    return InputSpec(job.sensor, bands, foreign.dtype, foreign.units, nodata, job.timesteps)


def _bands(job: ImportChipsJob, info: RasterInfo) -> tuple[str, ...]:
    """The bands of one timestep: those of BANDS, else of the files' descriptions, else the sensor's usual ones."""
    sensor, named = SENSORS.get(job.sensor), parse_bands(job.bands, job.sensor)
    described = tuple(plain_band_name(text) for text in info.descriptions[: info.count // job.timesteps])
    if sensor is None:
        return named or complete_names(described)
    if named or (described and all(sensor.band(name) for name in described)):
        return tuple(band.name for band in sensor.resolve_bands(named or described))
    return sensor.default_bands


def _convert(
    image: _Image, foreign: ForeignImages, labels: ForeignLabels, spec: InputSpec, folder: Path, outcome: _Outcome
) -> None:
    """Write the chip's files and add its row. Raises `Unusable`."""
    pair, grid = image.pair, image.grid
    pixels = foreign.read(image.info)
    label = labels.read(pair.label, image.info.grid) if pair.label else None
    dates = _dates(image.info, spec)
    images = {spec.sensor: f"{IMAGE_FOLDER}/{pair.name}_{spec.sensor}.tif"}
    names = band_descriptions(spec.bands, dates or [""] * spec.timesteps)
    (folder / images[spec.sensor]).write_bytes(geotiff(pixels.values, grid, spec.nodata_value, names))
    label_path, counts = "", {}
    if label is not None:
        label_path = f"{LABEL_FOLDER}/{pair.name}.tif"
        (folder / label_path).write_bytes(geotiff(label[np.newaxis], grid, IGNORE_VALUE, ["class"]))
        values, numbers = np.unique(label[label != IGNORE_VALUE], return_counts=True)
        counts = dict(zip(values.tolist(), numbers.tolist()))
    by_step = pixels.data.reshape(spec.timesteps, len(spec.bands), grid.height, grid.width)
    outcome.chips.append(
        ChipRow(
            chip=pair.name,
            scene=pair.name,
            crs=crs_text(grid),
            transform=tuple(grid.transform[:6]),
            width=grid.width,
            height=grid.height,
            images=images,
            dates={spec.sensor: dates},
            label_path=label_path,
            class_counts=counts,
            valid=float(100 * by_step.all(axis=1).any(axis=0).mean()),
            clear=100.0,
            footprint=footprint_4326(grid),
            split=pair.split,
        )
    )
    outcome.sources.append({"raster": str(pair.image), "scene": pair.name, "date": ", ".join(dates), "mask": ""})
    outcome.clamped += pixels.clamped
    outcome.restored += pixels.restored


def _dates(info: RasterInfo, spec: InputSpec) -> list[str]:
    """One ISO date a timestep, from the bands' descriptions, else of a single timestep's file; none when unknown."""
    first_bands = info.descriptions[:: len(spec.bands)]
    dates = [date_of_band(text) for text in first_bands]
    if all(dates):
        return dates
    return [info.date] if spec.timesteps == 1 and info.date else []


def _nothing(outcome: _Outcome) -> InstaGeoError:
    reasons = Counter(row.reason for row in outcome.skipped)
    listed = ", ".join(f"{number} x {reason}" for reason, number in reasons.items())
    return InstaGeoError(
        f"Nothing can be imported: {listed}. The first: {outcome.skipped[0].detail}",
        "Check INPUT, FORMAT and the files.",
    )


def _tell(dataset: DatasetSpec, outcome: _Outcome, reporter: Reporter) -> None:
    for reason, number in Counter(row.reason for row in outcome.skipped).items():
        reporter.log(f"Skipped: {number} x {reason}.", "warning")
    counts = dataset.counts
    if counts["clamped_values"]:
        reporter.log(f"{counts['clamped_values']} values were clamped to the range of int16 reflectance.", "warning")
    if counts["restored_values"]:
        reporter.log(f"{counts['restored_values']} negative reflectances, wrapped in uint16, were restored.")
    if counts["unknown_labels"]:
        known = ", ".join(entry.source for entry in dataset.class_table.entries)
        reporter.log(
            f"{counts['unknown_labels']} pixels have a label that is in no row of the class table ({known}) and are "
            "ignored.",
            "warning",
        )
    reporter.log(f"{len(outcome.chips)} chips.")
