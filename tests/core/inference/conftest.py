"""A raster, a model file and predictors of known behaviour."""

from dataclasses import dataclass, replace
from typing import Optional

import numpy as np
import pytest
import rasterio
from affine import Affine
from instageo_plugin.core.contract.card import ModelCard, Normalisation
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.dataset import InputSpec
from instageo_plugin.core.contract.jobs import PredictRasterJob
from instageo_plugin.core.imagery.grid import Grid
from instageo_plugin.core.inference import predict
from instageo_plugin.core.models.modelfile import save_model
from instageo_plugin.core.reporting import SilentReporter

UTM = Affine(10, 0, 731810, 0, -10, 5694090)
TABLE = ClassTable((ClassEntry("w", 1, "Water & <ice>"), ClassEntry("f", 2, "Forest"), ClassEntry("u", 4, "Städte")))


@dataclass
class BoxMean:
    """Class k's score is the mean of band k in a square of `radius`, zeros beyond the window."""

    card: ModelCard
    radius: int = 2
    receptive_radius_px: Optional[int] = 2
    stride_px: int = 1
    calls: int = 0
    largest: int = 0

    def probabilities(self, images, occasions=()):
        self.calls += 1
        self.largest = max(self.largest, images[0].size)
        bands = np.nan_to_num(images[0]).mean(axis=1)[:, : len(self.card.class_table.classes)]
        r = self.radius
        padded = np.pad(bands, ((0, 0), (0, 0), (r, r), (r, r)))
        height, width = bands.shape[-2:]
        score = np.zeros_like(bands)
        for dy in range(2 * r + 1):
            for dx in range(2 * r + 1):
                score += padded[..., dy : dy + height, dx : dx + width]
        return softmax(score / (2 * r + 1) ** 2)


@dataclass
class WindowMean:
    """The scores depend on all of the window, as those of a transformer do."""

    card: ModelCard
    receptive_radius_px: Optional[int] = None
    stride_px: int = 1

    def probabilities(self, images, occasions=()):
        bands = np.nan_to_num(images[0]).mean(axis=1)[:, : len(self.card.class_table.classes)]
        return softmax(0.3 * bands + 2 * bands.mean(axis=(2, 3), keepdims=True))


@dataclass
class BlockMean:
    """Averages aligned blocks of 4 x 4 pixels, as pooling does."""

    card: ModelCard
    receptive_radius_px: Optional[int] = 3
    stride_px: int = 4

    def probabilities(self, images, occasions=()):
        bands = np.nan_to_num(images[0]).mean(axis=1)[:, : len(self.card.class_table.classes)]
        n, k, height, width = bands.shape
        means = bands.reshape(n, k, height // 4, 4, width // 4, 4).mean(axis=(3, 5))
        return softmax(means.repeat(4, axis=2).repeat(4, axis=3))


def softmax(score):
    powers = np.exp(score - score.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass
class ArraySource:
    """Imagery in memory: (T, C, H, W)."""

    images: np.ndarray
    dates: tuple = ()

    @property
    def grid(self):
        return Grid(rasterio.crs.CRS.from_epsg(32632), UTM, self.images.shape[3], self.images.shape[2])

    def read(self, window):
        rows, cols = window.toslices()
        return self.images[:, :, rows, cols]


class Recorder(SilentReporter):
    def __init__(self):
        self.logs = []
        self.messages = []
        self.shares = []

    def log(self, message, level="info"):
        self.logs.append((level, message))

    def progress(self, share, message=""):
        self.shares.append(share)
        self.messages.append(message)

    def said(self, text):
        return any(text in message for _, message in self.logs)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def make_card():
    def make(bands=("blue", "green", "red"), *, timesteps=1, chip_size=32, table=TABLE, kind="patch", **changes):
        card = ModelCard(
            name="test", kind=kind, architecture="test", constants={},
            inputs=(InputSpec("custom", tuple(bands), "int16", nodata=-9999, timesteps=timesteps),),
            normalisation=(Normalisation((0.0,) * len(bands), (1.0,) * len(bands)),),
            task="segmentation", class_table=table, chip_size=chip_size, resolution=(10.0, 10.0),
            resolution_unit="metre",
        )  # fmt: skip
        return replace(card, **changes)

    return make


@pytest.fixture
def predictors():
    return {"box": BoxMean, "window": WindowMean, "block": BlockMean}


@pytest.fixture
def predict_array():
    """(K, H, W) probabilities and (H, W) state of images (T, C, H, W)."""

    def run(images, predictor, **tiling):
        height, width = images.shape[2:]
        probabilities = np.full((len(predictor.card.class_table.classes), height, width), np.nan, dtype=np.float32)
        state = np.full((height, width), 9, dtype=np.uint8)

        def write(rows):
            area = np.s_[rows.row : rows.row + rows.state.shape[0], rows.col : rows.col + rows.state.shape[1]]
            assert (state[area] == 9).all(), "each row is written once"
            probabilities[:, area[0], area[1]] = rows.probabilities
            state[area] = rows.state

        predict.predict(ArraySource(images), predictor, predict.Tiling(**tiling), write, SilentReporter())
        return probabilities, state

    return run


@pytest.fixture
def write_raster(tmp_path):
    def write(name, pixels, *, crs="EPSG:32632", transform=UTM, nodata=None, descriptions=("blue", "green", "red")):
        count, height, width = pixels.shape
        path = tmp_path / name
        profile = {"count": count, "height": height, "width": width, "crs": crs, "transform": transform}
        with rasterio.open(path, "w", driver="GTiff", dtype=pixels.dtype, nodata=nodata, **profile) as raster:
            raster.write(pixels)
            if descriptions:
                raster.descriptions = descriptions
        return str(path)

    return write


@pytest.fixture
def run_job(tmp_path, monkeypatch, make_card, recorder):
    """Runs the handler with a predictor in place of the one that the model file would make."""

    def run(rasters, predictor=None, reporter=recorder, **fields):
        predictor = predictor or BoxMean(make_card())
        model = tmp_path / "model.safetensors"
        save_model(model, predictor.card, {"none": np.zeros(1)})
        monkeypatch.setattr(predict, "_load", lambda job, reporter: predictor)
        rasters = (rasters,) if isinstance(rasters, str) else tuple(rasters)
        fields = {"output": str(tmp_path / "out" / "map.tif"), **fields}
        return predict.predict_raster(PredictRasterJob(rasters=rasters, model=str(model), **fields), reporter)

    return run


@pytest.fixture
def noise():
    """Pseudo-random imagery (bands, H, W) of smooth patches, in the given type."""

    def make(height, width, bands=3, dtype="int16", seed=0, low=0):
        rng = np.random.default_rng(seed)
        return rng.integers(low, 10, (bands, height, width)).astype(dtype)

    return make
