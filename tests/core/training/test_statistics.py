import numpy as np
import pytest
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.dataset import InputSpec
from instageo_plugin.core.training.data import ChipReader
from instageo_plugin.core.training.statistics import BandMoments, normalisation, part_statistics


def test_streamed_moments_equal_those_of_all_pixels_at_once():
    rng = np.random.default_rng(0)
    images = [rng.normal(1e6, 3, (2, 3, 5, 7)).astype(np.float32) for _ in range(4)]
    images[1][:, 1] = np.nan
    images[2][0, 0, :2] = np.nan
    moments = BandMoments.of_bands(3)
    for image in images:
        moments.add(image)
    for band in range(3):
        pixels = np.concatenate([image[:, band].ravel() for image in images]).astype(np.float64)
        assert moments.mean[band] == pytest.approx(np.nanmean(pixels), rel=1e-12)
        assert moments.std[band] == pytest.approx(np.nanstd(pixels), rel=1e-9)


def test_a_constant_and_an_empty_band_are_told_and_do_not_divide_by_zero(recorder):
    image = np.full((1, 3, 4, 4), 5.0)
    image[0, 0, 0] = 7
    image[0, 2] = np.nan
    moments = BandMoments.of_bands(3)
    moments.add(image)
    found = normalisation(InputSpec("custom", ("red", "flat", "gone"), "float32"), moments, recorder)
    assert found.std[1:] == (1.0, 1.0)
    assert found.mean[1:] == (5.0, 0.0)
    assert recorder.warned("flat of custom is constant")
    assert recorder.warned("gone of custom has no valid pixel")
    assert len(recorder.logs) == 2


def test_one_pass_counts_classes_and_names_the_data(dataset, recorder):
    opened, other = open_dataset(dataset()), open_dataset(dataset("other", seed=1))
    first, again, changed = (
        part_statistics(ChipReader(d), d.chips, recorder, "training") for d in (opened, opened, other)
    )
    counts = sum(np.bincount(opened.read_label(chip).ravel(), minlength=3) for chip in opened.chips)
    assert np.array_equal(first.class_pixels, counts)
    assert first.labelled == 6 * 16 * 16
    assert first.digest == again.digest != changed.digest
