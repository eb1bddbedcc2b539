"""Evaluate: how good a model or a map is."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition

from ...core.contract.jobs import EVALUATED_SPLITS, EvaluateJob
from .. import parameters as p
from ..base import MODELS, InstaGeoAlgorithm
from ..values import Values
from .common import device_parameters, figures, fold, model_input


class Evaluate(InstaGeoAlgorithm):
    """Measures a model on held-out chips, or a map against a reference."""

    NAME = "evaluate"
    TITLE = "Evaluate"
    GROUP = MODELS
    SUMMARY = "Measures a model on held-out chips, or a map against reference data."
    HELP = (
        "Give either a model and a chip dataset, or a predicted map and a reference raster or layer.\n"
        "Mean IoU and F1 come from one confusion matrix over all pixels, over the classes present in truth or "
        "prediction; absent classes are listed in the report."
    )
    TAGS = ("accuracy", "confusion matrix", "metrics", "validation", "iou", "kappa")

    def parameters(self) -> list[p.Definition]:
        return [
            model_input(optional=True),
            p.folder_input("INPUT", "Chip dataset", "Folder of the dataset to measure the model on.", optional=True),
            p.choice(
                "SPLIT",
                "Part of the dataset",
                EVALUATED_SPLITS,
                EvaluateJob.split,
                "The chips to measure on. Default 'test', those that the model never saw.",
            ),
            fold(),
            p.raster("PREDICTION", "Predicted map", "A map of class values, in place of a model and a dataset."),
            p.raster("REFERENCE", "Reference raster", "True class values for the predicted map."),
            p.features(
                "REFERENCE_VECTOR",
                "Reference layer",
                (p.POINTS, p.POLYGONS),
                "Points or polygons with the true class, for the predicted map, in place of a reference raster.",
            ),
            p.field(
                "CLASS_FIELD", "Class field", "REFERENCE_VECTOR", "The field of the reference layer with the class."
            ),
            *device_parameters(EvaluateJob.device, EvaluateJob.precision),
            *_outputs(),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return figures("MIOU", "ACCURACY", "F1", "KAPPA", "AUC")

    def job(self, values: Values) -> EvaluateJob:
        return EvaluateJob(
            model=values.path("MODEL"),
            dataset=values.path("INPUT"),
            split=values.choice("SPLIT"),
            fold=values.integer("FOLD", EvaluateJob.fold),
            prediction=values.raster("PREDICTION"),
            reference=values.raster("REFERENCE"),
            reference_vector=values.features("REFERENCE_VECTOR"),
            class_field=values.field("CLASS_FIELD") if values.given("REFERENCE_VECTOR") else "",
            device=values.choice("DEVICE"),
            precision=values.choice("PRECISION"),
            report=values.output("REPORT"),
            metrics=values.output("METRICS"),
            chip_metrics=values.output_layer("CHIP_METRICS"),
        )


def _outputs() -> list[p.Definition]:
    return [
        p.report("A page with the confusion matrix, figures a class, and plots."),
        p.file_output("METRICS", "Metrics", "JSON (*.json)", "All figures for other programs to read.", optional=True),
        p.vector_output("CHIP_METRICS", "Metrics a chip", "The chips' footprints, each with its own figures."),
    ]
