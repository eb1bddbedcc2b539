"""Parameters and outputs that training, evaluation and prediction share."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputNumber

from ...core.contract.jobs import DEVICES, PRECISIONS
from .. import parameters as p

FIGURES = {
    "MIOU": "Mean intersection over union",
    "ACCURACY": "Accuracy",
    "F1": "Mean F1 score",
    "KAPPA": "Cohen's kappa",
    "AUC": "Area under the ROC curve",
}


def figures(*names: str) -> list[QgsProcessingOutputNumber]:
    """Number outputs of the named figures."""
    return [QgsProcessingOutputNumber(name, p.tr(FIGURES[name])) for name in names]


def model_input(optional: bool = False) -> p.Definition:
    """MODEL."""
    return p.file_input(
        "MODEL", "Model", p.MODEL_FILTER, "Model file (.safetensors) that Fine-tune made.", optional=optional
    )


def fold() -> p.Definition:
    """FOLD."""
    return p.integer(
        "FOLD",
        "Fold",
        None,
        "The fold, counted from 0, that is held out for testing. Empty: the column 'split' says what is what.",
        minimum=0,
        advanced=True,
    )


def device_parameters(device: str, precision: str) -> list[p.Definition]:
    """DEVICE and PRECISION with their defaults."""
    return [
        p.choice(
            "DEVICE",
            "Device",
            DEVICES,
            device,
            "What computes: 'auto' takes a GPU when there is one (default), 'cuda' an NVIDIA GPU, 'mps' an Apple GPU.",
            advanced=True,
        ),
        p.choice(
            "PRECISION",
            "Precision",
            PRECISIONS,
            precision,
            "'auto': the faster one for the device (default). 'fp32': 32 bits. 'bf16': 16 bits where it loses nothing.",
            advanced=True,
        ),
    ]
