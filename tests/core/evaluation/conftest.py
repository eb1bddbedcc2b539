"""A model that is right where the image says so, without any network."""

import numpy as np
import pytest
from instageo_plugin.core.contract.card import ModelCard, Normalisation
from instageo_plugin.core.models import load


class ThresholdModel:
    """Class of the highest band: K bands hold the probabilities themselves. Works on multiples of 8 pixels only."""

    receptive_radius_px = 0
    stride_px = 8

    def __init__(self, spec):
        bands = len(spec.inputs[0].bands)
        self.card = ModelCard(
            name="bands are probabilities", kind="patch", architecture="none", constants={}, inputs=spec.inputs,
            normalisation=(Normalisation((0.0,) * bands, (1.0,) * bands),), task=spec.task,
            class_table=spec.class_table, chip_size=spec.chip_size, resolution=spec.resolution,
            resolution_unit=spec.resolution_unit,
        )  # fmt: skip
        self.shapes = []

    def probabilities(self, images, occasions=()):
        self.shapes.append(images[0].shape)
        assert images[0].shape[3] % 8 == images[0].shape[4] % 8 == 0
        return np.nan_to_num(images[0][:, 0])


@pytest.fixture
def use_model(monkeypatch):
    """Makes the evaluation load the given predictor, whatever the path."""
    return lambda model: monkeypatch.setattr(load, "load_predictor", lambda path, **settings: model) or model


@pytest.fixture
def threshold_model():
    return ThresholdModel
