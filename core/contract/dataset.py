"""The chip dataset's `dataset.json`, and the names in its `chips.gpkg`.

`dataset.json` is the truth for how chips are read, `chips.gpkg` for which chips exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from .classes import IGNORE_VALUE, ClassTable
from .errors import Problems

SCHEMA_VERSION = 1
DATASET_FILE = "dataset.json"
INDEX_FILE = "chips.gpkg"
IMAGE_FOLDER = "images"
LABEL_FOLDER = "labels"
CHIPS_LAYER = "chips"
SKIPPED_LAYER = "skipped"

SEGMENTATION = "segmentation"
TASKS = (SEGMENTATION,)

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)

REFLECTANCE = "reflectance x 10000"
RAW_UNITS = "as in the source"
REFLECTANCE_NODATA = -9999
REFLECTANCE_RANGE = (-9998, 32767)


@dataclass(frozen=True)
class InputSpec:
    """One input of a dataset or model: a sensor's bands, in order, at each timestep.

    `dtype` and `nodata` are those of the chip files (nodata None: every pixel is valid; the text "nan" for NaN,
    which JSON lacks); `units` those of the values; a static input has one timestep and no dates.
    """

    sensor: str
    bands: tuple[str, ...]
    dtype: str
    units: str = RAW_UNITS
    nodata: Any = None
    timesteps: int = 1

    def __post_init__(self) -> None:
        problems = Problems(f"Input '{self.sensor}'")
        if not self.bands:
            problems.add("it has no bands.")
        if len(set(self.bands)) != len(self.bands):
            problems.add(f"band names repeat: {', '.join(self.bands)}.")
        if self.timesteps < 1:
            problems.add(f"it has {self.timesteps} timesteps; expected at least 1.")
        problems.raise_if_any()

    @property
    def channels(self) -> int:
        """Bands of a chip file: timesteps x bands, oldest timestep first."""
        return self.timesteps * len(self.bands)

    @property
    def nodata_value(self) -> Optional[float]:
        """The nodata value as a number, NaN included; None when every pixel is valid."""
        return None if self.nodata is None else float(self.nodata)


@dataclass(frozen=True)
class DatasetSpec:
    """What `dataset.json` holds.

    `resolution` is the pixel's width and height in `resolution_unit` ("metre" or "degree"; of the first scene where
    scenes differ), `chip_size` in pixels. `sources` lists the imagery: one record a file (raster, scene, date, band)
    or a STAC item. `parameters` are those of the job that made the dataset, `software` its name and version. `counts`
    holds what was counted on the way: labels read and used, pixels with conflicting labels, values clamped.
    """

    inputs: tuple[InputSpec, ...]
    task: str
    class_table: ClassTable
    chip_size: int
    resolution: tuple[float, float]
    resolution_unit: str
    ignore_value: int = IGNORE_VALUE
    parameters: dict[str, Any] = field(default_factory=dict)
    sources: tuple[dict[str, Any], ...] = ()
    software: str = ""
    schema_version: int = SCHEMA_VERSION
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = Problems(DATASET_FILE)
        if self.schema_version != SCHEMA_VERSION:
            problems.add(f"schema version is {self.schema_version}; this version of InstaGeo reads {SCHEMA_VERSION}.")
        if not self.inputs:
            problems.add("it names no input.")
        if self.task not in TASKS:
            problems.add(f"task is '{self.task}'; expected one of {', '.join(TASKS)}.")
        if self.chip_size < 1:
            problems.add(f"chip size is {self.chip_size}; expected at least 1 pixel.")
        problems.raise_if_any()
