import json
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from instageo_plugin.core.chips.create import create_chips
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.jobs import CreateChipsJob
from instageo_plugin.core.reporting import SilentReporter


class Recorder(SilentReporter):
    """Keeps what a user would read; stops the job after `stop_after` checks."""

    def __init__(self, stop_after=None, error=KeyboardInterrupt):
        self.lines = []
        self.warnings = []
        self._left = stop_after
        self._error = error

    def log(self, message, level="info"):
        (self.warnings if level == "warning" else self.lines).append(message)

    def check(self):
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise self._error


class Made:
    """A finished dataset with what its making returned and said."""

    def __init__(self, outputs, recorder):
        self.outputs = outputs
        self.recorder = recorder
        self.folder = Path(outputs["OUTPUT"])

    @property
    def dataset(self):
        return open_dataset(self.folder)

    @property
    def spec(self):
        return json.loads((self.folder / "dataset.json").read_text())

    @property
    def skipped(self):
        """(reason, count) of each row of the skipped layer."""
        meta, _, _, values = pyogrio.raw.read(self.folder / "chips.gpkg", layer="skipped")
        table = dict(zip(meta["fields"], values))
        return list(zip(table["reason"].tolist(), table["count"].tolist()))

    @property
    def skipped_geometries(self):
        return shapely.from_wkb(pyogrio.raw.read(self.folder / "chips.gpkg", layer="skipped")[2])

    def image(self, row):
        with rasterio.open(self.folder / row.images["custom"]) as raster:
            return raster.read()

    def label(self, row):
        with rasterio.open(self.folder / row.label_path) as raster:
            return raster.read(1)


@pytest.fixture
def recorder():
    return Recorder


@pytest.fixture
def make(tmp_path):
    """Runs createchips into tmp_path/chips unless told otherwise."""

    def run(*, reporter=None, secrets=None, **job):
        job.setdefault("output", str(tmp_path / "chips"))
        reporter = reporter or Recorder()
        return Made(create_chips(CreateChipsJob(**job), reporter, secrets), reporter)

    return run


@pytest.fixture
def coded():
    """(bands, H, W) whose values tell date, band, row and column: date*1e6 + band*1e5 + row*100 + column."""

    def pixels(height, width, bands=2, date=0, dtype=np.int32):
        rows, cols = np.mgrid[:height, :width]
        return np.stack([date * 1_000_000 + b * 100_000 + rows * 100 + cols for b in range(bands)]).astype(dtype)

    return pixels
