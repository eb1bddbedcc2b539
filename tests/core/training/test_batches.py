import dataclasses

import numpy as np
import pytest
import torch
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.card import Normalisation
from instageo_plugin.core.training.batches import BatchSource, PlainBatches, TrainingBatches
from instageo_plugin.core.training.data import ChipReader


@pytest.fixture
def source(write_dataset):
    label = np.arange(48 * 16).reshape(16, 48) % 3
    image = np.stack([label * 10.0, label + 5.0])
    image[:, :2] = np.nan
    opened = open_dataset(write_dataset(label, images=image, chip_size=16))
    return BatchSource(ChipReader(opened), opened.chips, (Normalisation((10.0, 6.0), (2.0, 1.0)),), 16)


def test_images_are_normalised_and_missing_pixels_are_the_mean(source):
    images, label, _ = source.batch([0, 2])
    assert images[0].shape == (2, 1, 2, 16, 16)
    assert label.shape == (2, 16, 16)
    assert not images[0][:, :, :, :2].any()
    assert torch.equal(images[0][:, 0, 0, 2:], (label[:, 2:] * 10.0 - 10.0) / 2.0)


def test_augmented_batches_keep_image_and_label_together_and_gaps_at_the_mean(source):
    for images, label, _ in TrainingBatches(source, 2, seed=0, augment=True):
        for image, truth in zip(images[0], label):
            missing = truth == -1
            assert missing.sum() == 2 * 16
            assert not image[0][:, missing].any()
            values = [image[0, 0][truth == k] for k in range(3)]
            assert all(float(v.max() - v.min()) < 1e-5 for v in values)
            assert float(values[1][0] - values[0][0]) == pytest.approx(float(values[2][0] - values[1][0]), abs=1e-4)


def test_an_epoch_is_the_same_each_time_and_differs_from_the_next(source):
    batches = TrainingBatches(source, 2, seed=0, augment=True)
    first, again = ([image for images, _, _ in batches for image in images] for _ in range(2))
    batches.epoch = lambda: 1
    following = [image for images, _, _ in batches for image in images]
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not all(torch.equal(a, b) for a, b in zip(first, following))


def test_plain_batches_are_all_chips_in_order(source):
    batches = PlainBatches(source, 2)
    labels = torch.cat([label for _, label, _ in batches])
    assert len(batches) == 2
    assert torch.equal(labels, source.batch(range(3))[1])


def test_batches_tell_when_and_where_each_chip_was_taken(source):
    chips = tuple(
        dataclasses.replace(chip, dates={"custom": dates}) for chip, dates in zip(source.chips, (["2022-02-03"], [""]))
    )
    context = dataclasses.replace(source, chips=chips).batch([0, 1]).context
    assert context.times[0].tolist() == [[2022, 34]]
    assert context.times[1].isnan().all()
    latitude, longitude = context.places[0].tolist()
    assert (latitude, longitude) == (pytest.approx(51.350, abs=0.001), pytest.approx(12.331, abs=0.001))


def test_undated_chips_have_a_place_and_no_time(source):
    chips = tuple(dataclasses.replace(chip, dates={"custom": []}) for chip in source.chips)
    context = dataclasses.replace(source, chips=chips).batch([0]).context
    assert context.times is None
    assert context.places.shape == (1, 2)
