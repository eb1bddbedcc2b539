"""Create chips: labels and imagery to a chip dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputDefinition

from ...core.contract.dataset import TASKS
from ...core.contract.jobs import (
    EDGES,
    MASK_STRATEGIES,
    PLACEMENTS,
    RESAMPLINGS,
    SOURCES,
    CreateChipsJob,
)
from ...core.contract.sensors import CUSTOM, SENSORS
from .. import parameters as p
from ..base import DATA, InstaGeoAlgorithm
from ..class_table import COLUMNS
from ..values import TABLE_COLUMNS, Values
from . import archive
from .index_layer import index_outputs, load_index


class CreateChips(InstaGeoAlgorithm):
    """Cuts image and label pairs out of imagery at hand or in an archive, exactly on its pixel grid."""

    NAME = "createchips"
    TITLE = "Create chips"
    GROUP = DATA
    SUMMARY = (
        "Cuts training chips (image and label pairs) out of your rasters or a satellite archive, from label points, "
        "polygons or rasters."
    )
    HELP = (
        "Give labels and rasters; or, with the source 'stac', dated labels and the satellites to look for. The result "
        "is a folder with a chip dataset; its index opens as a layer, and deleting chips from that layer is a legal "
        "way of cleaning the dataset. Its layer 'skipped' says of every label and cell left out why.\n"
        "Class names and colours come from the label layer's style when it is categorised by the class field, so the "
        "map will wear the same colours. Next: Split chips."
    )
    TAGS = ("chips", "labels", "training data", "samples", "dataset", "stac", "satellite", "archive")

    def parameters(self) -> list[p.Definition]:
        return [*_labels(), *archive.label_dates(), *_imagery(), *_archive(), *_chips(), *_grid(), *_outputs()]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return index_outputs("Number of cells and labels skipped")

    def job(self, values: Values) -> CreateChipsJob:
        return CreateChipsJob(
            output=values.output("OUTPUT"),
            rasters=values.rasters("RASTERS"),
            raster_table=values.raster_table(),
            mask_rasters=values.rasters("MASK_RASTERS"),
            labels=values.features("INPUT"),
            class_field=values.field("CLASS_FIELD") if values.given("INPUT") else "",
            class_table=values.class_table("INPUT"),
            background=values.integer("BACKGROUND"),
            all_touched=values.flag("ALL_TOUCHED"),
            point_radius=values.integer("POINT_RADIUS"),
            label_rasters=values.rasters("LABEL_RASTERS"),
            label_values=values.text("LABEL_VALUES"),
            area=values.area(),
            task=values.choice("TASK"),
            source=values.choice("SOURCE"),
            sensors=tuple(values.choices("SENSOR")),
            archive=archive.archive_choice(values),
            date_field=values.field("DATE_FIELD"),
            date=values.text("DATE"),
            date_format=values.text("DATE_FORMAT"),
            scheduler=values.text("SCHEDULER"),
            bands=values.text("BANDS"),
            scale=values.decimal("SCALE"),
            offset=values.decimal("OFFSET"),
            mask_strategy=values.choice("MASK_STRATEGY"),
            max_chip_cloud=values.decimal("MAX_CHIP_CLOUD"),
            chip_size=values.integer("CHIP_SIZE"),
            stride=values.integer("STRIDE", CreateChipsJob.stride),
            placement=values.choice("PLACEMENT"),
            edge=values.choice("EDGE"),
            min_labels=values.integer("MIN_LABELS"),
            min_valid=values.decimal("MIN_VALID"),
            crs=values.crs("CRS"),
            resolution=values.decimal("RESOLUTION", CreateChipsJob.resolution),
            resampling=values.choice("RESAMPLING"),
            report=values.output("REPORT"),
        )

    def load(self, outputs: Mapping[str, Any], context: QgsProcessingContext) -> None:
        load_index(outputs, context)


def _labels() -> list[p.Definition]:
    return [
        p.features(
            "INPUT",
            "Labels",
            (p.POINTS, p.POLYGONS),
            "Points or polygons with a class. Filter, selection, joins and any CRS are honoured; memory layers too.",
        ),
        p.field(
            "CLASS_FIELD",
            "Class field",
            "INPUT",
            "The field that holds the class: whole numbers or text. Labels without a class are skipped and counted.",
        ),
        p.matrix(
            "CLASS_TABLE",
            "Class table",
            COLUMNS,
            "A row a class: the value in the labels, the class value (0 to 32767), its name, its colour (#rrggbb). "
            "Empty: from the style of the labels when it is categorised by the class field; otherwise whole numbers "
            "keep their value, and text counts from 0 in alphabetical order.",
            advanced=True,
        ),
        p.integer(
            "BACKGROUND",
            "Background class",
            CreateChipsJob.background,
            "Class value of ground that no polygon covers. Empty: that ground is ignored.",
            minimum=0,
            advanced=True,
        ),
        p.flag(
            "ALL_TOUCHED",
            "All touched pixels",
            CreateChipsJob.all_touched,
            "On: a polygon labels every pixel it touches. Off: only those whose centre lies in it (default).",
            advanced=True,
        ),
        p.integer(
            "POINT_RADIUS",
            "Point radius",
            CreateChipsJob.point_radius,
            "Pixels around a point's own that get its class too: n labels a square of 2n+1 pixels a side. Default 0.",
            minimum=0,
        ),
        p.rasters(
            "LABEL_RASTERS",
            "Label rasters",
            "Rasters of class values on the imagery's grid, in place of label features.",
        ),
        p.text(
            "LABEL_VALUES",
            "Label values",
            CreateChipsJob.label_values,
            "Which values of the label rasters to use: '1 2' keeps these two, '1:0 2:1' renumbers them; all others are "
            "ignored. Empty: all as they are.",
            advanced=True,
        ),
    ]


def _imagery() -> list[p.Definition]:
    return [
        p.choice(
            "SOURCE",
            "Source of imagery",
            SOURCES,
            CreateChipsJob.source,
            "Where imagery comes from: 'rasters' at hand (default), or 'stac', a satellite archive.",
        ),
        p.rasters(
            "RASTERS",
            "Imagery",
            "Rasters on one and the same grid are timesteps of one scene, oldest first; rasters that do not overlap "
            "are different scenes. Any number of bands, any data type.",
        ),
        p.rasters(
            "MASK_RASTERS",
            "Mask rasters",
            "One mask a raster of the imagery, in the same order: nonzero pixels (cloud, say) are masked out.",
        ),
        p.matrix(
            "RASTER_TABLE",
            "Raster table",
            TABLE_COLUMNS,
            "In place of Imagery, for one file a band and for all that file names cannot say: a row a file with its "
            "scene, date (2022-06-08) and band name; or, in the first cell alone, a csv file with these columns.",
            advanced=True,
        ),
        p.text(
            "BANDS",
            "Bands",
            CreateChipsJob.bands,
            "Bands to use, in order: names or numbers from 1, such as '4 3 2'; of an archive 'B02,B03', or of several "
            "sensors 'sentinel2:B02,B03 sentinel1:vv,vh'. Empty: all of the rasters, the usual ones of an archive.",
            advanced=True,
        ),
        p.decimal(
            "SCALE",
            "Scale",
            CreateChipsJob.scale,
            "Reflectance x 10000 = value x scale + offset. 1 with offset 0 keeps values as they are (default).",
            advanced=True,
        ),
        p.decimal("OFFSET", "Offset", CreateChipsJob.offset, "See Scale. Default 0.", advanced=True),
        p.choice(
            "MASK_STRATEGY",
            "Mask strategy",
            MASK_STRATEGIES,
            CreateChipsJob.mask_strategy,
            "'each': every timestep is masked by its own mask (default). 'any': what is masked once is masked in all.",
            advanced=True,
        ),
    ]


def _archive() -> list[p.Definition]:
    return [
        p.choice(
            "SENSOR",
            "Sensors (archive)",
            (*SENSORS, CUSTOM),
            list(CreateChipsJob.sensors),
            "With the source 'stac': the satellites, each of which becomes an input of the dataset. 'custom' for "
            "rasters at hand (default).",
            several=True,
        ),
        *archive.catalogue(),
        *archive.timesteps(),
        *archive.scenes(),
        p.text(
            "SCHEDULER",
            "Dask scheduler (archive)",
            CreateChipsJob.scheduler,
            "Address of a Dask scheduler, such as tcp://cluster:8786, whose workers read the archive, see the same "
            "folders and have a login of their own where one is needed. Empty: this computer reads.",
            advanced=True,
        ),
    ]


def _chips() -> list[p.Definition]:
    return [
        p.integer(
            "CHIP_SIZE",
            "Chip size",
            CreateChipsJob.chip_size,
            "Pixels a side of a chip. Default 256.",
            minimum=1,
            maximum=8192,
        ),
        p.integer(
            "STRIDE",
            "Stride",
            None,
            "Pixels from one cell of the grid to the next. Empty: the chip size, so that cells do not overlap.",
            minimum=0,
            maximum=8192,
            advanced=True,
        ),
        p.choice(
            "PLACEMENT",
            "Placement",
            PLACEMENTS,
            CreateChipsJob.placement,
            "'grid': cells of a fixed grid from the imagery's upper left corner that hold labels (default). 'centred': "
            "one chip around each label. 'dense': every cell, with or without labels.",
        ),
        p.choice(
            "EDGE",
            "At the edge",
            EDGES,
            CreateChipsJob.edge,
            "'shift': the last cell moves inwards (default). 'skip': partial cells are left out.",
            advanced=True,
        ),
        p.integer(
            "MIN_LABELS",
            "Fewest labelled pixels",
            CreateChipsJob.min_labels,
            "Chips with fewer labelled pixels are skipped. Default 1.",
            minimum=0,
            advanced=True,
        ),
        p.decimal(
            "MIN_VALID",
            "Fewest valid pixels",
            CreateChipsJob.min_valid,
            "Percent of a chip's pixels that must have data. Chips with fewer are skipped. Default 0.",
            minimum=0,
            maximum=100,
            advanced=True,
        ),
        p.decimal(
            "MAX_CHIP_CLOUD",
            "Most masked pixels",
            CreateChipsJob.max_chip_cloud,
            "Percent of a chip's pixels that may be masked. Chips with more are skipped. Default 100.",
            minimum=0,
            maximum=100,
            advanced=True,
        ),
        p.choice(
            "TASK", "Task", TASKS, CreateChipsJob.task, "'segmentation': a class a pixel (default).", advanced=True
        ),
    ]


def _grid() -> list[p.Definition]:
    return [
        p.features("AREA", "Area", (p.POLYGONS,), "Only chips that touch these polygons. Empty: all.", advanced=True),
        p.extent("EXTENT", "Extent", "Only chips that touch this extent. Empty: all.", advanced=True),
        p.crs(
            "CRS",
            "CRS of the chips",
            "Another CRS than the imagery's own. Empty: the imagery's own grid, without resampling.",
            advanced=True,
        ),
        p.decimal(
            "RESOLUTION",
            "Pixel size of the chips",
            None,
            "Another pixel size than the imagery's own, in units of the CRS. Empty: the imagery's own.",
            minimum=0,
            advanced=True,
        ),
        p.choice(
            "RESAMPLING",
            "Resampling",
            RESAMPLINGS,
            CreateChipsJob.resampling,
            "How imagery comes to another grid. Default 'nearest'. Not used on the imagery's own grid.",
            advanced=True,
        ),
    ]


def _outputs() -> list[p.Definition]:
    return [
        p.folder_output(
            "OUTPUT",
            "Chip dataset",
            "Folder of the dataset. A broken run with the same parameters is resumed; a folder with something else in "
            "it is refused.",
        ),
        p.report("A page with the counts, the classes and what was skipped, and why."),
    ]
