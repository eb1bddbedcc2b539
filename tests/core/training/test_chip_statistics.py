import numpy as np
import pytest
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import ChipStatisticsJob
from instageo_plugin.core.reporting import SilentReporter
from instageo_plugin.core.training.chip_statistics import chip_statistics


class Notes(SilentReporter):
    def __init__(self):
        self.said = ""

    def log(self, message, level="info"):
        self.said += f"{level}: {message}\n"


@pytest.fixture
def scene(write_dataset):
    """Two bands with known moments, no data in one corner; classes 0 and 1, the second rare."""
    rng = np.random.default_rng(0)
    pixels = rng.normal([[[100.0]], [[-5.0]]], [[[10.0]], [[2.0]]], (2, 64, 64))
    pixels[:, :16, :16] = np.nan
    labels = np.zeros((64, 64), int)
    labels[40, 40:50] = 1
    return write_dataset(labels, chip_size=32, images=pixels), pixels


def numbers(text):
    return [float(value) for value in text.split()]


def test_moments_classes_and_weights_are_those_of_the_pixels(scene, tmp_path):
    folder, pixels = scene
    notes = Notes()
    outputs = chip_statistics(ChipStatisticsJob(str(folder), report=str(tmp_path / "r.html")), notes)
    assert outputs["CHIP_COUNT"] == 4
    assert numbers(outputs["MEANS"]) == pytest.approx(np.nanmean(pixels.astype("float32"), (1, 2)), rel=1e-5)
    assert numbers(outputs["STDS"]) == pytest.approx(np.nanstd(pixels.astype("float32"), (1, 2)), rel=1e-5)
    zeros, ones = 64 * 64 - 16 * 16 - 10, 10
    assert numbers(outputs["CLASS_PIXELS"]) == [zeros, ones]
    assert numbers(outputs["CLASS_WEIGHTS"]) == pytest.approx([(zeros + ones) / (2 * n) for n in (zeros, ones)])
    assert "warning: class 1: less than a tenth of an equal share" in notes.said
    page = (tmp_path / "r.html").read_text()
    assert "Histogram of each band" in page
    assert "class 1" in page


def test_a_part_without_chips_is_named(scene):
    with pytest.raises(InstaGeoError, match="No chip is in the part 'val'"):
        chip_statistics(ChipStatisticsJob(str(scene[0]), split="val"), SilentReporter())
