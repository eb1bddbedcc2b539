"""Predict raster: imagery and a model to a class map."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputNumber

from ...core.contract.jobs import MASK_STRATEGIES, PredictRasterJob
from .. import parameters as p
from ..base import PREDICTION, InstaGeoAlgorithm
from ..models.common import device_parameters, model_input
from ..values import Values


class PredictRaster(InstaGeoAlgorithm):
    """Applies a model to rasters of any size, window by window."""

    NAME = "predictraster"
    TITLE = "Predict raster"
    GROUP = PREDICTION
    SUMMARY = "Applies a model to imagery and makes a class map in the colours of your labels."
    HELP = (
        "The map is a Cloud Optimized GeoTIFF on the imagery's own grid, with its style beside it, so it opens styled. "
        "Ground without data stays without a class. Memory does not grow with the raster."
    )
    TAGS = ("predict", "classify", "inference", "map", "land cover")

    def parameters(self) -> list[p.Definition]:
        return [*_imagery(), *_work(), *_outputs()]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [
            QgsProcessingOutputNumber("SECONDS", p.tr("Seconds")),
            QgsProcessingOutputNumber("PIXELS_PER_SECOND", p.tr("Pixels a second")),
        ]

    def job(self, values: Values) -> PredictRasterJob:
        return PredictRasterJob(
            rasters=values.rasters("INPUT"),
            model=values.path("MODEL"),
            output=values.output_layer("OUTPUT"),
            mask_rasters=values.rasters("MASK_RASTERS"),
            mask_strategy=values.choice("MASK_STRATEGY"),
            dates=values.text("DATES"),
            bands=values.text("BANDS"),
            scale=values.decimal("SCALE"),
            offset=values.decimal("OFFSET"),
            area=values.area(),
            overlap_px=values.integer("OVERLAP", PredictRasterJob.overlap_px),
            batch_size=values.integer("BATCH_SIZE"),
            device=values.choice("DEVICE"),
            precision=values.choice("PRECISION"),
            probabilities=values.output_layer("PROBABILITIES"),
            confidence=values.output_layer("CONFIDENCE"),
            style=values.output("STYLE"),
            class_areas=values.output("CLASS_AREAS"),
        )


def _imagery() -> list[p.Definition]:
    return [
        p.rasters(
            "INPUT",
            "Imagery",
            "One raster a timestep, oldest first, or one raster in which all timesteps are stacked. The bands are "
            "those the model was trained on, unless Bands maps them.",
            optional=False,
        ),
        model_input(),
        p.rasters(
            "MASK_RASTERS",
            "Mask rasters",
            "One mask a timestep, in the order of the imagery: where it is nonzero (cloud, say) that timestep has no "
            "data.",
            advanced=True,
        ),
        p.choice(
            "MASK_STRATEGY",
            "Mask strategy",
            MASK_STRATEGIES,
            PredictRasterJob.mask_strategy,
            "'each': every timestep is masked by its own mask (default). 'any': what is masked once is masked in all. "
            "Take what the chips were made with.",
            advanced=True,
        ),
        p.text(
            "DATES",
            "Dates",
            PredictRasterJob.dates,
            "Dates of the timesteps, oldest first, such as '2022-04-02 2022-05-02', for models that look at them. "
            "Empty: as the bands' descriptions or the files say.",
            advanced=True,
        ),
        p.text(
            "BANDS",
            "Bands",
            PredictRasterJob.bands,
            "Which band of the imagery is which of the model's: 'blue:B02 green:3'. Empty: by name, or, where the "
            "imagery's bands have no names, in the model's order.",
            advanced=True,
        ),
        p.decimal(
            "SCALE",
            "Scale",
            PredictRasterJob.scale,
            "The model's units = value x scale + offset. Default 1.",
            advanced=True,
        ),
        p.decimal("OFFSET", "Offset", PredictRasterJob.offset, "See Scale. Default 0.", advanced=True),
        p.features("AREA", "Area", (p.POLYGONS,), "Predict only inside these polygons. Empty: everywhere."),
    ]


def _work() -> list[p.Definition]:
    return [
        p.integer(
            "OVERLAP",
            "Overlap",
            None,
            "Pixels by which neighbouring windows overlap; they are blended there. Empty: a quarter of the chip size.",
            minimum=0,
            advanced=True,
        ),
        p.integer(
            "BATCH_SIZE",
            "Batch size",
            PredictRasterJob.batch_size,
            "Windows at a time. 0: automatic (default).",
            minimum=0,
            advanced=True,
        ),
        *device_parameters(PredictRasterJob.device, PredictRasterJob.precision),
    ]


def _outputs() -> list[p.Definition]:
    return [
        p.raster_output("OUTPUT", "Map", "The class map, a GeoTIFF."),
        p.raster_output("PROBABILITIES", "Probabilities", "A band a class, in percent.", optional=True),
        p.raster_output("CONFIDENCE", "Confidence", "The chosen class's probability, in percent.", optional=True),
        p.file_output(
            "STYLE", "Style", "QGIS style (*.qml)", "The style once more, beside the map's own.", optional=True,
            advanced=True,
        ),
        p.file_output(
            "CLASS_AREAS", "Class areas", "JSON (*.json)", "Area of each class, in hectares.", optional=True,
        ),
    ]  # fmt: skip
