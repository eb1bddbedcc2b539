"""Import chips: image and label files of other programs to a chip dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputDefinition

from ...core.contract.jobs import CHIP_FORMATS, ImportChipsJob
from ...core.contract.sensors import CUSTOM, SENSORS
from .. import parameters as p
from ..base import DATA, InstaGeoAlgorithm
from ..class_table import COLUMNS
from ..values import Values
from .index_layer import index_outputs, load_index


class ImportChips(InstaGeoAlgorithm):
    """Makes a dataset of images and labels that are cut already."""

    NAME = "importchips"
    TITLE = "Import chips"
    GROUP = DATA
    SUMMARY = "Makes a chip dataset of image and label files that InstaGeo or another program has cut."
    HELP = (
        "Files that do not fit (another size, another number of bands, a label elsewhere than its image) are skipped "
        "and listed in the layer 'skipped' of the index. Next: Split chips."
    )
    TAGS = ("chips", "import", "csv", "geotiff", "terratorch", "dataset")

    def parameters(self) -> list[p.Definition]:
        return [
            p.folder_input(
                "INPUT",
                "Folder of the files",
                "'instageo': the folder with the csv files (or one csv file); files called train, val and test give "
                "the split. 'pairs': the folder that holds the folders of images and of labels.",
            ),
            p.choice(
                "FORMAT",
                "Layout",
                CHIP_FORMATS,
                ImportChipsJob.format,
                "'instageo': csv files with the columns Input and Label (default). 'pairs': two folders of .tif files "
                "with equal names.",
            ),
            p.choice(
                "SENSOR",
                "Sensor",
                (*SENSORS, CUSTOM),
                ImportChipsJob.sensor,
                "What the images come from, which says what their numbers mean; 'custom' keeps them as they are "
                "(default).",
            ),
            p.text(
                "BANDS",
                "Bands",
                ImportChipsJob.bands,
                "Names of one timestep's bands, in order: 'blue green red'. Empty: as the files say, else the sensor's "
                "usual ones.",
            ),
            p.integer(
                "TIMESTEPS",
                "Timesteps",
                ImportChipsJob.timesteps,
                "How many dates an image holds, oldest first. Default 1.",
                minimum=1,
                maximum=1000,
            ),
            p.matrix(
                "CLASS_TABLE",
                "Class table",
                COLUMNS,
                "A row a class: the value in the labels, the class value (0 to 32767), its name, its colour (#rrggbb). "
                "Empty: classes.csv beside the files, else the values as they are.",
            ),
            p.text(
                "ROOT",
                "Root of the paths",
                ImportChipsJob.root,
                "Folder that the paths in the csv files start at. Empty: the folder of the files.",
                advanced=True,
            ),
            p.text(
                "IMAGES", "Folder of images", ImportChipsJob.images, "For 'pairs'. Default 'images'.", advanced=True
            ),
            p.text(
                "LABELS", "Folder of labels", ImportChipsJob.labels, "For 'pairs'. Default 'labels'.", advanced=True
            ),
            p.decimal(
                "SCALE",
                "Scale",
                ImportChipsJob.scale,
                "Reflectance x 10000 = value x scale + offset. Default 1.",
                advanced=True,
            ),
            p.decimal(
                "OFFSET",
                "Offset",
                ImportChipsJob.offset,
                "See Scale: -1000 for Sentinel-2 numbers since January 2022 that still carry their offset. Default 0.",
                advanced=True,
            ),
            p.flag(
                "HALF_PIXEL",
                "Correct half a pixel",
                ImportChipsJob.half_pixel,
                "Move the chips right and down by half a pixel: the InstaGeo framework writes them that much off.",
                advanced=True,
            ),
            p.folder_output("OUTPUT", "Chip dataset", "Folder of the dataset."),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return index_outputs("Number of files skipped")

    def job(self, values: Values) -> ImportChipsJob:
        return ImportChipsJob(
            input=values.path("INPUT"),
            output=values.output("OUTPUT"),
            format=values.choice("FORMAT"),
            root=values.path("ROOT"),
            images=values.text("IMAGES"),
            labels=values.text("LABELS"),
            sensor=values.choice("SENSOR"),
            bands=values.text("BANDS"),
            timesteps=values.integer("TIMESTEPS"),
            scale=values.decimal("SCALE"),
            offset=values.decimal("OFFSET"),
            class_table=values.class_table(""),
            half_pixel=values.flag("HALF_PIXEL"),
        )

    def load(self, outputs: Mapping[str, Any], context: QgsProcessingContext) -> None:
        load_index(outputs, context)
