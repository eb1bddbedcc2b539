"""Small chip datasets to train on, and a reporter that remembers."""

import numpy as np
import pytest
import torch
from instageo_plugin.core.chips.index import read_index, update_splits
from instageo_plugin.core.contract.errors import Cancelled
from instageo_plugin.core.contract.jobs import FinetuneJob
from instageo_plugin.core.reporting import SilentReporter


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


class Recorder(SilentReporter):
    """Remembers what it is told; cancels after `cancel_after` checks in training."""

    def __init__(self, cancel_after=None):
        self.logs, self.metrics, self.messages, self.shares, self.artifacts = [], [], [], [], {}
        self._left = cancel_after

    def log(self, message, level="info"):
        self.logs.append((level, message))

    def progress(self, share, message=""):
        self.shares.append(share)
        self.messages.append(message)

    def metric(self, name, value, **context):
        self.metrics.append((name, value, context))
        if self._left is not None and name == "train_loss":
            self._left -= 1

    def artifact(self, name, path):
        self.artifacts[name] = path

    def check(self):
        if self._left is not None and self._left <= 0:
            raise Cancelled

    def warned(self, text):
        return any(level == "warning" and text in message for level, message in self.logs)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def cancelled_after():
    """A reporter whose user cancels once so many epochs are over."""
    return lambda epochs: Recorder(cancel_after=epochs)


@pytest.fixture
def scene():
    """Labels (H, W) of three classes in patches of 4 x 4 pixels, and two bands (2, H, W) that tell them apart."""

    def make(height=32, width=48, seed=0, noise=0.3):
        rng = np.random.default_rng(seed)
        label = rng.integers(0, 3, (height // 4, width // 4)).repeat(4, 0).repeat(4, 1)
        clean = np.stack([(label == 1) * 1000.0 + 2000, (label == 2) * 500.0 + 300])
        return label, clean + noise * np.array([1000, 500])[:, None, None] * rng.standard_normal(clean.shape)

    return make


@pytest.fixture
def split():
    """Sets split and fold of the chips, by a function of the chip's number."""

    def assign(folder, part=lambda i: "val" if i % 3 == 2 else "train", fold=lambda i: -1):
        index = folder / "chips.gpkg"
        update_splits(index, {row.chip: (part(i), fold(i)) for i, row in enumerate(read_index(index))})
        return folder

    return assign


@pytest.fixture
def dataset(write_dataset, scene, split):
    """A split dataset of six chips of 16 x 16 pixels: four to train on, two to validate."""

    def make(name="dataset", chip_size=16, **options):
        label, image = scene(**options)
        return split(write_dataset(label, images=image, chip_size=chip_size, name=name))

    return make


@pytest.fixture
def make_job(tmp_path):
    def make(folder, **changes):
        fields = {"output": str(tmp_path / "out" / "model.safetensors"), "epochs": 3, "precision": "fp32", **changes}
        return FinetuneJob(dataset=str(folder), **fields)

    return make
