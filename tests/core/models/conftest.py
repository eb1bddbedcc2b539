"""A card and inputs for any model of the zoo, one torch thread, and what a job reports."""

import pytest
from instageo_plugin.core.contract.card import ModelCard, Normalisation
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.dataset import InputSpec
from instageo_plugin.core.models.zoo import architecture, complete_constants


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


OPTICAL = InputSpec("custom", ("blue", "green", "red"), "int16", nodata=-9999, timesteps=2)
STATIC = InputSpec("dem", ("elevation",), "float32", "m", nodata="nan")
CLASSES = ClassTable((ClassEntry("w", 0, "water"), ClassEntry("f", 2, "forest"), ClassEntry("u", 5, "urban")))


@pytest.fixture
def make_card():
    """Makes a card of an architecture, by default for two dates of three bands and a static band, three classes."""

    def make(backbone, constants=None, inputs=(OPTICAL, STATIC), **changes):
        known = {
            "name": f"{backbone} test",
            "kind": architecture(backbone).kind,
            "architecture": backbone,
            "constants": complete_constants(backbone, constants or {}),
            "inputs": inputs,
            "normalisation": tuple(
                Normalisation(tuple(100.0 + i for i in range(len(s.bands))), (50.0,) * len(s.bands)) for s in inputs
            ),
            "task": "segmentation",
            "class_table": CLASSES,
            "chip_size": 32,
            "resolution": (10.0, 10.0),
            "resolution_unit": "metre",
        }
        return ModelCard(**{**known, **changes})

    return make


class Recorder:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.logs, self.artifacts, self.shares = [], [], []

    def progress(self, share, message=""):
        self.shares.append(share)

    def log(self, message, level="info"):
        self.logs.append((level, message))

    def metric(self, name, value, **context):
        pass

    def artifact(self, name, path):
        self.artifacts.append((name, path))

    def check(self):
        pass


@pytest.fixture
def recorder():
    return Recorder()
