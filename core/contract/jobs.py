"""The jobs a worker can do: frozen dataclasses, the only source of defaults, one a kind.

A job is complete: paths are absolute, layers are exported to files, nothing refers to a QGIS session. Paths are text;
empty text means not given. Shares are percent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

from .classes import ClassTable
from .dataset import SEGMENTATION, TASKS
from .errors import InstaGeoError, Problems
from .sensors import CUSTOM, MASKS, PLANETARY_COMPUTER, SENSORS
from .serial import from_plain, to_plain

PLACEMENTS = ("grid", "centred", "dense")
EDGES = ("shift", "skip")
RASTERS, STAC = "rasters", "stac"
SOURCES = (RASTERS, STAC)
LEAST_CLOUD, NEAREST, CLEAREST, MEDIAN = "cloud", "nearest", "clearest", "median"
SELECTIONS = (LEAST_CLOUD, NEAREST, CLEAREST, MEDIAN)
DAYS, MONTH, DEKAD = "days", "month", "dekad"
STEP_UNITS = (DAYS, MONTH, DEKAD)
ANY_ORBIT = "any"
ORBITS = (ANY_ORBIT, "ascending", "descending")
MASK_STRATEGIES = ("each", "any")
RESAMPLINGS = ("nearest", "bilinear", "cubic", "average", "mode")
SPLIT_STRATEGIES = ("random", "stratified", "block", "group", "time")
FROZEN, LORA, FULL, SCRATCH = "frozen", "lora", "full", "scratch"
ADAPTATIONS = (FROZEN, LORA, FULL, SCRATCH)
AUTOMATIC = "auto"
LINEAR, MLP, FOREST_HEAD, CATBOOST = "linear", "mlp", "forest", "catboost"
UPSAMPLING, FCN, UNET_HEAD, UPERNET, INSTAGEO_HEAD = "upsampling", "fcn", "unet", "upernet", "instageo"
SERIES_HEADS = (LINEAR, MLP, FOREST_HEAD, CATBOOST)
PATCH_HEADS = (UPSAMPLING, LINEAR, FCN, UNET_HEAD, UPERNET, INSTAGEO_HEAD)
HEADS = (AUTOMATIC, *dict.fromkeys((*PATCH_HEADS, *SERIES_HEADS)))
LOSSES = ("cross_entropy", "focal", "dice", "cross_entropy+dice")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
EVALUATED_SPLITS = ("train", "val", "test", "all")
INSTAGEO, PAIRS = "instageo", "pairs"
CHIP_FORMATS = (INSTAGEO, PAIRS)
ONNX = "onnx"
MODEL_SUFFIXES = {ONNX: ".onnx", INSTAGEO: ".ckpt"}
MODEL_FORMATS = tuple(MODEL_SUFFIXES)


@dataclass(frozen=True)
class Job:
    """Base of all jobs; `kind` names it in files and on the wire."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class CheckBackendJob(Job):
    """Report the backend's versions, device, disk, threads; `report` is an HTML file, optional."""

    kind: ClassVar[str] = "checkbackend"
    report: str = ""
    scratch: str = ""


@dataclass(frozen=True)
class SearchImageryJob(Job):
    """Footprints of an archive's scenes over the polygons of `area`, from the UTC day `start` to `end` (ISO dates).

    `catalog` is a name of `sensors.CATALOGS`, a URL, a file or a folder; `collections` are ids, empty for the sensors'
    own. `max_cloud` in percent; scenes without a figure are kept.
    """

    kind: ClassVar[str] = "searchimagery"
    area: str
    start: str
    end: str
    output: str
    sensors: tuple[str, ...] = ("sentinel2",)
    catalog: str = PLANETARY_COMPUTER
    collections: tuple[str, ...] = ()
    max_cloud: float = 100.0

    def __post_init__(self) -> None:
        problems = Problems("Search imagery")
        for sensor in self.sensors:
            _check_choice(problems, "SENSOR", sensor, tuple(SENSORS))
        _check_range(problems, "MAX_CLOUD", self.max_cloud, 0, 100)
        if not self.sensors:
            problems.add("SENSOR is empty; choose at least one.")
        if not self.area:
            problems.add("no area; give AREA or EXTENT.")
        if not self.catalog:
            problems.add("CATALOG is empty; name a catalogue.")
        if not self.start or not self.end or self.start > self.end:
            problems.add(f"START '{self.start}' and END '{self.end}' are no span of time; give both, START first.")
        problems.raise_if_any()


@dataclass(frozen=True)
class RasterEntry:
    """One row of RASTER_TABLE: `band` is a name given to a single-band file, empty when the file holds all bands."""

    file: str
    scene: str = ""
    date: str = ""
    band: str = ""


@dataclass(frozen=True)
class ArchiveChoice:
    """What to take from an archive.

    `catalog` is a name of `sensors.CATALOGS`, a URL, a file or a folder; `collections` are ids, empty for the sensors'
    own. Target i = label date (its month's first day with `month_start`) - `offset_days` - i x `step` `step_unit`;
    scenes lie within `tolerance_days` of it. `min_timesteps` 0 is all of `timesteps`. `max_cloud` is percent of the
    scene. `masks` are kinds of `sensors.MASKS`.
    """

    catalog: str = PLANETARY_COMPUTER
    collections: tuple[str, ...] = ()
    timesteps: int = 1
    step: int = 30
    step_unit: str = DAYS
    offset_days: int = 0
    month_start: bool = False
    tolerance_days: int = 5
    min_timesteps: int = 0
    selection: str = LEAST_CLOUD
    max_cloud: float = 10.0
    masks: tuple[str, ...] = ()
    daytime: bool = False
    orbit: str = ANY_ORBIT

    def check(self, problems: Problems) -> None:
        """Add what is wrong to `problems`."""
        _check_choice(problems, "SELECTION", self.selection, SELECTIONS)
        _check_choice(problems, "STEP_UNIT", self.step_unit, STEP_UNITS)
        _check_choice(problems, "ORBIT", self.orbit, ORBITS)
        for mask in self.masks:
            _check_choice(problems, "MASK", mask, MASKS)
        _check_range(problems, "TIMESTEPS", self.timesteps, 1, 1000)
        _check_range(problems, "STEP", self.step, 1, None)
        _check_range(problems, "TOLERANCE_DAYS", self.tolerance_days, 0, None)
        _check_range(problems, "MIN_TIMESTEPS", self.min_timesteps, 0, self.timesteps)
        _check_range(problems, "MAX_CLOUD", self.max_cloud, 0, 100)
        if not self.catalog:
            problems.add("CATALOG is empty; name a catalogue.")

    @property
    def fewest_timesteps(self) -> int:
        return self.min_timesteps or self.timesteps


@dataclass(frozen=True)
class CreateChipsJob(Job):
    """Labels and imagery to a chip dataset.

    `labels` is a vector file with the layer `labels_layer`, field `class_field`; `area` a vector file whose features
    limit the chips. `crs` is WKT or an authority code, `resolution` in its units; both empty: the imagery's own grid.
    `scale` and `offset`: reflectance x 10000 = value x scale + offset. `mask_rasters` pair with `rasters` by order,
    nonzero = masked for `custom`. `min_valid` and `max_chip_cloud` are percent of the chip's pixels.

    With `source` `stac` imagery of `sensors` comes from `archive`; labels are dated by `date_field` or all by `date`,
    written as `date_format` says (empty: ISO). `scheduler` is the address of a Dask scheduler, empty for this machine.
    """

    kind: ClassVar[str] = "createchips"
    output: str
    rasters: tuple[str, ...] = ()
    raster_table: tuple[RasterEntry, ...] = ()
    mask_rasters: tuple[str, ...] = ()
    labels: str = ""
    labels_layer: str = ""
    class_field: str = ""
    class_table: ClassTable = field(default_factory=ClassTable)
    background: Optional[int] = None
    all_touched: bool = False
    point_radius: int = 0
    label_rasters: tuple[str, ...] = ()
    label_values: str = ""
    area: str = ""
    task: str = SEGMENTATION
    source: str = RASTERS
    sensors: tuple[str, ...] = (CUSTOM,)
    archive: ArchiveChoice = field(default_factory=ArchiveChoice)
    date_field: str = ""
    date: str = ""
    date_format: str = ""
    scheduler: str = ""
    bands: str = ""
    scale: float = 1.0
    offset: float = 0.0
    mask_strategy: str = "each"
    max_chip_cloud: float = 100.0
    chip_size: int = 256
    stride: int = 0
    placement: str = "grid"
    edge: str = "shift"
    min_labels: int = 1
    min_valid: float = 0.0
    crs: str = ""
    resolution: float = 0.0
    resampling: str = "nearest"
    report: str = ""

    def __post_init__(self) -> None:
        problems = Problems("Create chips")
        _check_choice(problems, "TASK", self.task, TASKS)
        _check_choice(problems, "SOURCE", self.source, SOURCES)
        _check_choice(problems, "MASK_STRATEGY", self.mask_strategy, MASK_STRATEGIES)
        _check_choice(problems, "PLACEMENT", self.placement, PLACEMENTS)
        _check_choice(problems, "EDGE", self.edge, EDGES)
        _check_choice(problems, "RESAMPLING", self.resampling, RESAMPLINGS)
        _check_range(problems, "CHIP_SIZE", self.chip_size, 1, 8192)
        _check_range(problems, "STRIDE", self.stride, 0, 8192)
        _check_range(problems, "POINT_RADIUS", self.point_radius, 0, 1000)
        _check_range(problems, "MIN_LABELS", self.min_labels, 0, None)
        _check_range(problems, "MIN_VALID", self.min_valid, 0, 100)
        _check_range(problems, "MAX_CHIP_CLOUD", self.max_chip_cloud, 0, 100)
        _check_range(problems, "RESOLUTION", self.resolution, 0, None)
        _check_output(problems, self.output, "the dataset")
        if self.source == STAC:
            self._check_archive(problems)
        else:
            self._check_rasters(problems)
        if self.labels and self.label_rasters:
            problems.add("both INPUT and LABEL_RASTERS are given; give one of them.")
        if self.labels and not self.class_field:
            problems.add("CLASS_FIELD is empty; name the field that holds the class.")
        if not self.labels and not self.label_rasters and self.placement != "dense":
            problems.add("no labels; give INPUT or LABEL_RASTERS, or choose PLACEMENT dense for chips without labels.")
        problems.raise_if_any()

    def _check_rasters(self, problems: Problems) -> None:
        if not self.rasters and not self.raster_table:
            problems.add("no imagery; give RASTERS or RASTER_TABLE.")
        if self.rasters and self.raster_table:
            problems.add("both RASTERS and RASTER_TABLE are given; give one of them.")
        if self.sensors != (CUSTOM,):
            problems.add(f"SENSOR is {' '.join(self.sensors) or 'empty'}; expected custom for SOURCE rasters.")
        if self.scheduler:
            problems.add("SCHEDULER is for SOURCE stac; leave it empty.")

    def _check_archive(self, problems: Problems) -> None:
        self.archive.check(problems)
        for sensor in self.sensors:
            _check_choice(problems, "SENSOR", sensor, tuple(SENSORS))
        if all(sensor in SENSORS and SENSORS[sensor].static for sensor in self.sensors):
            problems.add("SENSOR names no dated imagery; choose at least one satellite.")
        if self.rasters or self.raster_table or self.mask_rasters:
            problems.add("RASTERS, RASTER_TABLE and MASK_RASTERS are for SOURCE rasters; leave them empty.")
        if bool(self.date_field) == bool(self.date):
            found = "both are given" if self.date else "neither is given"
            problems.add(f"DATE_FIELD or DATE must say when the labels were observed; {found}.")
        if self.date_field and not self.labels:
            problems.add("DATE_FIELD is a field of INPUT, which is empty; give DATE.")
        if not self.labels and not self.label_rasters and not self.area:
            problems.add("no labels and no area; give INPUT, LABEL_RASTERS, or AREA or EXTENT.")

    @property
    def cell_step(self) -> int:
        """Pixels from one grid cell to the next."""
        return self.stride or self.chip_size


@dataclass(frozen=True)
class CleanChipsJob(Job):
    """Take chips out of a dataset: below `min_valid` percent of valid pixels, below `min_labels` labelled pixels, above
    `max_chip_cloud` percent of masked pixels."""

    kind: ClassVar[str] = "cleanchips"
    dataset: str
    min_valid: float = 0.0
    min_labels: int = 1
    max_chip_cloud: float = 100.0

    def __post_init__(self) -> None:
        problems = Problems("Clean chips")
        _check_range(problems, "MIN_VALID", self.min_valid, 0, 100)
        _check_range(problems, "MIN_LABELS", self.min_labels, 0, None)
        _check_range(problems, "MAX_CHIP_CLOUD", self.max_chip_cloud, 0, 100)
        problems.raise_if_any()


@dataclass(frozen=True)
class ChipStatisticsJob(Job):
    """What a dataset holds: classes and their weights, means and standard deviations of the bands; `split` limits it to
    one part. `report` is an HTML file, optional."""

    kind: ClassVar[str] = "chipstatistics"
    dataset: str
    split: str = "all"
    report: str = ""

    def __post_init__(self) -> None:
        problems = Problems("Chip statistics")
        _check_choice(problems, "SPLIT", self.split, EVALUATED_SPLITS)
        problems.raise_if_any()


@dataclass(frozen=True)
class SplitChipsJob(Job):
    """Assign each chip to train, val or test (percent `val`, `test`), or to one of `folds` folds.

    `block_size` and `buffer` in metres; chips within `buffer` of another part's chips lose their split.
    `group_field` is any column of the index, for the strategy `group`.
    """

    kind: ClassVar[str] = "splitchips"
    dataset: str
    strategy: str = "block"
    block_size: float = 1000.0
    buffer: float = 0.0
    group_field: str = "group"
    val: float = 20.0
    test: float = 20.0
    folds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        problems = Problems("Split chips")
        _check_choice(problems, "STRATEGY", self.strategy, SPLIT_STRATEGIES)
        _check_range(problems, "BLOCK_SIZE", self.block_size, 0, None)
        _check_range(problems, "BUFFER", self.buffer, 0, None)
        _check_range(problems, "VAL", self.val, 0, 100)
        _check_range(problems, "TEST", self.test, 0, 100)
        _check_range(problems, "FOLDS", self.folds, 0, 100)
        if self.strategy == "block" and self.block_size <= 0:
            problems.add("BLOCK_SIZE is 0; give the side of a block in metres.")
        if self.strategy == "group" and not self.group_field:
            problems.add("GROUP_FIELD is empty; name a field of the chips layer.")
        if self.folds == 1:
            problems.add("FOLDS is 1; give at least 2, or 0 for none.")
        if self.val + self.test >= 100:
            problems.add(f"VAL {self.val:g} % and TEST {self.test:g} % leave nothing to train on.")
        problems.raise_if_any()


@dataclass(frozen=True)
class MergeChipsJob(Job):
    """One dataset out of several; `datasets` are folders, or a file in each."""

    kind: ClassVar[str] = "mergechips"
    datasets: tuple[str, ...]
    output: str

    def __post_init__(self) -> None:
        problems = Problems("Merge chips")
        if len(self.datasets) < 2:
            problems.add(f"INPUTS has {len(self.datasets)} datasets; expected at least 2.")
        _check_output(problems, self.output, "the merged dataset")
        problems.raise_if_any()


@dataclass(frozen=True)
class ExportChipsJob(Job):
    """A dataset, or its part `split`, to image and label files for other programs.

    `format` `instageo`: `chips/`, `seg_maps/` and csv files; `pairs`: `images/` and `labels/` with equal file names.
    `sensor` names the one input to export, empty for all.
    """

    kind: ClassVar[str] = "exportchips"
    dataset: str
    output: str
    format: str = INSTAGEO
    split: str = "all"
    sensor: str = ""

    def __post_init__(self) -> None:
        problems = Problems("Export chips")
        _check_choice(problems, "FORMAT", self.format, CHIP_FORMATS)
        _check_choice(problems, "SPLIT", self.split, EVALUATED_SPLITS)
        _check_output(problems, self.output, "the exported files")
        problems.raise_if_any()


@dataclass(frozen=True)
class ImportChipsJob(Job):
    """Image and label files of other programs to a chip dataset.

    `input` is a csv file or a folder of them (`instageo`; paths in it start at `root`, empty for its own folder), or
    the folder that holds the folders `images` and `labels` (`pairs`). The images have `timesteps` x `bands` bands of
    `sensor`, oldest first; `bands` empty: as the files say. `scale` and `offset` as in `CreateChipsJob`. `class_table`
    empty: `classes.csv` beside the files, else label values are class values. `half_pixel` moves chips right and down
    by half a pixel.
    """

    kind: ClassVar[str] = "importchips"
    input: str
    output: str
    format: str = INSTAGEO
    root: str = ""
    images: str = "images"
    labels: str = "labels"
    sensor: str = CUSTOM
    bands: str = ""
    timesteps: int = 1
    scale: float = 1.0
    offset: float = 0.0
    class_table: ClassTable = field(default_factory=ClassTable)
    half_pixel: bool = False

    def __post_init__(self) -> None:
        problems = Problems("Import chips")
        _check_choice(problems, "FORMAT", self.format, CHIP_FORMATS)
        _check_choice(problems, "SENSOR", self.sensor, (CUSTOM, *SENSORS))
        _check_range(problems, "TIMESTEPS", self.timesteps, 1, 1000)
        _check_output(problems, self.output, "the dataset")
        if not self.input:
            problems.add("INPUT is empty; name the csv file or the folder.")
        if self.sensor in SENSORS and SENSORS[self.sensor].static and self.timesteps > 1:
            problems.add(f"TIMESTEPS is {self.timesteps}, but SENSOR {self.sensor} has no dates; expected 1.")
        if self.format == PAIRS and self.images == self.labels:
            problems.add(f"IMAGES and LABELS both name the folder '{self.images}'; expected two folders.")
        problems.raise_if_any()


@dataclass(frozen=True)
class FinetuneJob(Job):
    """A chip dataset to a model file.

    `backbone` is a name of the zoo. `fold` (0 or more) holds that fold out as test; -1 uses the split column.
    `batch_size` 0 is automatic. `class_weights`: `none`, `balanced`, or numbers in class order. `patience` in epochs,
    0 = never stop early. `resume` is the folder of an unfinished run.

    `weights` is a file of published weights, for all adaptations but `scratch`; with `download` they are fetched where
    none is given. `frozen` trains the head alone, `lora`
    the head and matrices of `lora_rank` beside those of the attention (scaled by `lora_alpha` / `lora_rank`), `full`
    everything. `nearest_bands`: a band without published weights starts with those of the nearest wavelength, rather
    than being refused. `adapter` is a file for what `lora` trained. `head` is one of `PATCH_HEADS`, or, for models of
    pixel series, of `SERIES_HEADS`; `auto` is the backbone's usual one.
    """

    kind: ClassVar[str] = "finetune"
    dataset: str
    output: str
    backbone: str = "unet"
    fold: int = -1
    weights: str = ""
    download: bool = False
    nearest_bands: bool = False
    adaptation: str = SCRATCH
    head: str = AUTOMATIC
    lora_rank: int = 8
    lora_alpha: float = 16.0
    lora_dropout: float = 0.0
    adapter: str = ""
    epochs: int = 60
    batch_size: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    class_weights: str = "none"
    loss: str = "cross_entropy"
    augment: bool = True
    patience: int = 30
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    resume: str = ""
    report: str = ""
    history: str = ""

    def __post_init__(self) -> None:
        problems = Problems("Fine-tune")
        _check_choice(problems, "ADAPTATION", self.adaptation, ADAPTATIONS)
        _check_choice(problems, "HEAD", self.head, HEADS)
        _check_choice(problems, "LOSS", self.loss, LOSSES)
        _check_choice(problems, "DEVICE", self.device, DEVICES)
        _check_choice(problems, "PRECISION", self.precision, PRECISIONS)
        _check_range(problems, "EPOCHS", self.epochs, 1, None)
        _check_range(problems, "BATCH_SIZE", self.batch_size, 0, None)
        _check_range(problems, "WEIGHT_DECAY", self.weight_decay, 0, None)
        _check_range(problems, "PATIENCE", self.patience, 0, None)
        _check_range(problems, "FOLD", self.fold, -1, None)
        if self.adaptation != SCRATCH and not self.weights and not self.download:
            problems.add(
                f"ADAPTATION is {self.adaptation}, but WEIGHTS is empty; give the file of published weights, or choose "
                "DOWNLOAD to fetch it."
            )
        if self.adaptation == SCRATCH and self.weights:
            problems.add("WEIGHTS is given, but ADAPTATION scratch starts from random ones; choose another.")
        if self.head in (FOREST_HEAD, CATBOOST) and self.adaptation != FROZEN:
            problems.add(f"HEAD {self.head} learns from a frozen backbone; ADAPTATION is {self.adaptation}.")
        if self.adapter and self.adaptation != LORA:
            problems.add(f"ADAPTER is what ADAPTATION lora trains; ADAPTATION is {self.adaptation}.")
        if self.adapter and not self.adapter.endswith(".safetensors"):
            problems.add(f"ADAPTER is '{self.adapter}'; an adapter file ends in .safetensors.")
        _check_range(problems, "LORA_RANK", self.lora_rank, 1, 1024)
        _check_range(problems, "LORA_DROPOUT", self.lora_dropout, 0, 0.9)
        if self.learning_rate <= 0:
            problems.add(f"LEARNING_RATE is {self.learning_rate:g}; expected a positive number.")
        if not self.output.endswith(".safetensors"):
            problems.add(f"OUTPUT is '{self.output}'; a model file ends in .safetensors.")
        problems.raise_if_any()


@dataclass(frozen=True)
class PredictRasterJob(Job):
    """Rasters and a model file to a class map.

    `rasters`: timesteps oldest first, or one stacked file. `bands` maps the model's bands to the raster's:
    `blue:B02 green:3`. `mask_rasters` (one a timestep, nonzero = no data), `mask_strategy`, `scale` and `offset` as in
    `CreateChipsJob`. `area` is a vector mask. `overlap_px` -1 is a quarter of the chip. `batch_size` 0 is automatic.
    Empty optional outputs are not written.
    """

    kind: ClassVar[str] = "predictraster"
    rasters: tuple[str, ...]
    model: str
    output: str
    mask_rasters: tuple[str, ...] = ()
    mask_strategy: str = "each"
    dates: str = ""
    bands: str = ""
    scale: float = 1.0
    offset: float = 0.0
    area: str = ""
    overlap_px: int = -1
    batch_size: int = 0
    device: str = "auto"
    precision: str = "auto"
    probabilities: str = ""
    confidence: str = ""
    style: str = ""
    class_areas: str = ""

    def __post_init__(self) -> None:
        problems = Problems("Predict raster")
        _check_choice(problems, "MASK_STRATEGY", self.mask_strategy, MASK_STRATEGIES)
        _check_choice(problems, "DEVICE", self.device, DEVICES)
        _check_choice(problems, "PRECISION", self.precision, PRECISIONS)
        _check_range(problems, "OVERLAP", self.overlap_px, -1, None)
        _check_range(problems, "BATCH_SIZE", self.batch_size, 0, None)
        if not self.rasters:
            problems.add("no imagery; give INPUT.")
        if not self.output.lower().endswith((".tif", ".tiff")):
            problems.add(f"OUTPUT is '{self.output}'; the map is a GeoTIFF and ends in .tif.")
        problems.raise_if_any()


@dataclass(frozen=True)
class EvaluateJob(Job):
    """Figures of a model on a part of a dataset, or of a map against reference raster or vector."""

    kind: ClassVar[str] = "evaluate"
    model: str = ""
    dataset: str = ""
    split: str = "test"
    fold: int = -1
    prediction: str = ""
    reference: str = ""
    reference_vector: str = ""
    reference_layer: str = ""
    class_field: str = ""
    device: str = "auto"
    precision: str = "auto"
    report: str = ""
    metrics: str = ""
    chip_metrics: str = ""

    def __post_init__(self) -> None:
        problems = Problems("Evaluate")
        _check_choice(problems, "SPLIT", self.split, EVALUATED_SPLITS)
        _check_choice(problems, "DEVICE", self.device, DEVICES)
        _check_choice(problems, "PRECISION", self.precision, PRECISIONS)
        by_model = bool(self.model and self.dataset)
        by_map = bool(self.prediction and (self.reference or self.reference_vector))
        if by_model == by_map:
            problems.add("give either MODEL and INPUT, or PREDICTION and one of REFERENCE, REFERENCE_VECTOR.")
        if self.reference and self.reference_vector:
            problems.add("both REFERENCE and REFERENCE_VECTOR are given; give one of them.")
        if self.reference_vector and not self.class_field:
            problems.add("CLASS_FIELD is empty; name the field of REFERENCE_VECTOR that holds the class.")
        problems.raise_if_any()


@dataclass(frozen=True)
class ModelInfoJob(Job):
    """The card of a model file as an HTML page."""

    kind: ClassVar[str] = "modelinfo"
    model: str
    output_html: str = ""


@dataclass(frozen=True)
class ImportModelJob(Job):
    """A trained checkpoint of another program as a model file.

    `backbone` is a foundation model; `bands` those it was trained with, in order (empty: the backbone's own), of
    `sensor`, as reflectance x 10000. It was fed (value x `multiplier` - `mean`) / `std` by band; both empty: the
    backbone's own. `class_table` has a row a class in the order of training (empty: numbers). `chip_size` in pixels of
    `resolution` metres.
    """

    kind: ClassVar[str] = "importmodel"
    input: str
    output: str
    backbone: str
    sensor: str = "hls"
    bands: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    multiplier: float = 1.0
    class_table: ClassTable = field(default_factory=ClassTable)
    chip_size: int = 224
    resolution: float = 30.0
    name: str = ""

    def __post_init__(self) -> None:
        problems = Problems("Import model")
        _check_range(problems, "CHIP_SIZE", self.chip_size, 1, 8192)
        if not self.output.endswith(".safetensors"):
            problems.add(f"OUTPUT is '{self.output}'; a model file ends in .safetensors.")
        if bool(self.mean) != bool(self.std):
            problems.add("MEAN and STD go together; one of them is empty.")
        if any(not value > 0 for value in self.std):
            problems.add("STD holds a number that is not positive.")
        if not self.multiplier > 0:
            problems.add(f"MULTIPLIER is {self.multiplier:g}; expected a positive number.")
        if not self.resolution > 0:
            problems.add(f"RESOLUTION is {self.resolution:g}; expected metres.")
        problems.raise_if_any()


@dataclass(frozen=True)
class ExportModelJob(Job):
    """A model file for other programs: `onnx` with what the Deepness plugin reads, `instageo` a checkpoint with the
    InstaGeo framework's key names."""

    kind: ClassVar[str] = "exportmodel"
    model: str
    output: str
    format: str = ONNX

    def __post_init__(self) -> None:
        problems = Problems("Export model")
        _check_choice(problems, "FORMAT", self.format, MODEL_FORMATS)
        suffix = MODEL_SUFFIXES.get(self.format, "")
        if not self.output.endswith(suffix):
            problems.add(f"OUTPUT is '{self.output}'; a file of the format {self.format} ends in {suffix}.")
        problems.raise_if_any()


JOBS: dict[str, type[Job]] = {
    job.kind: job
    for job in (
        CheckBackendJob, SearchImageryJob, CreateChipsJob, CleanChipsJob, ChipStatisticsJob, SplitChipsJob,
        MergeChipsJob, ExportChipsJob, ImportChipsJob, FinetuneJob, PredictRasterJob, EvaluateJob, ModelInfoJob,
        ImportModelJob, ExportModelJob,
    )
}  # fmt: skip


def job_to_plain(job: Job) -> dict[str, Any]:
    """A job as it stands in a job file and in a request."""
    return {"kind": job.kind, **to_plain(job)}


def job_from_plain(plain: Any) -> Job:
    """The job of a job file or request; raises `InstaGeoError` for an unknown kind or any wrong field."""
    if not isinstance(plain, dict) or plain.get("kind") not in JOBS:
        found = plain.get("kind") if isinstance(plain, dict) else type(plain).__name__
        raise InstaGeoError(f"Unknown job kind {found!r}; expected one of {', '.join(sorted(JOBS))}.")
    fields = {name: value for name, value in plain.items() if name != "kind"}
    return from_plain(JOBS[plain["kind"]], fields, f"Job {plain['kind']}")


def _check_choice(problems: Problems, name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        problems.add(f"{name} is '{value}'; expected one of {', '.join(choices)}.")


def _check_output(problems: Problems, output: str, content: str) -> None:
    if not output:
        problems.add(f"OUTPUT is empty; name the folder of {content}.")


def _check_range(problems: Problems, name: str, value: float, low: float, high: Optional[float]) -> None:
    if value < low or (high is not None and value > high):
        expected = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
        problems.add(f"{name} is {value:g}; expected {expected}.")
