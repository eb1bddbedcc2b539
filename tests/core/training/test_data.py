import numpy as np
import pytest
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.training.data import IGNORED, ChipReader, Sample, common_size, squared


def test_chips_beyond_the_memory_limit_are_read_anew_and_are_the_same(dataset):
    opened = open_dataset(dataset())
    unbounded = ChipReader(opened)
    size = unbounded.sample(opened.chips[0]).size_bytes
    bounded = ChipReader(opened, limit_bytes=2 * size)
    for _ in range(2):
        for chip in opened.chips:
            assert np.array_equal(bounded.sample(chip).images[0], unbounded.sample(chip).images[0])
            assert np.array_equal(bounded.sample(chip).label, unbounded.sample(chip).label)
    assert (bounded.kept, unbounded.kept) == (2, len(opened.chips))


def test_labels_become_positions_among_the_classes(write_dataset):
    label = np.array([[7, 2], [-1, 30]]).repeat(8, 0).repeat(8, 1)
    opened = open_dataset(write_dataset(label, chip_size=16))
    found = ChipReader(opened).sample(opened.chips[0]).label
    assert np.array_equal(found[::8, ::8], [[1, 0], [IGNORED, 2]])


def test_a_label_outside_the_class_table_is_named(write_dataset):
    folder = write_dataset(np.eye(16, dtype=int), chip_size=16)
    spec = folder / "dataset.json"
    spec.write_text(spec.read_text().replace('"value": 1', '"value": 5').replace('"source": "1"', '"source": "5"'))
    opened = open_dataset(folder)
    with pytest.raises(InstaGeoError, match="holds the class 1; the class table of the dataset has 0, 5"):
        ChipReader(opened).sample(opened.chips[0])


def test_a_label_without_imagery_is_ignored(write_dataset):
    image = np.ones((2, 16, 16), dtype=np.float32)
    image[:, :4] = np.nan
    image[0, 4:8] = np.nan
    label = np.indices((16, 16))[1] % 2
    opened = open_dataset(write_dataset(label, images=image, chip_size=16))
    found = ChipReader(opened).sample(opened.chips[0]).label
    assert (found[:4] == IGNORED).all()
    assert np.array_equal(found[4:], label[4:])


def test_small_chips_are_mirrored_and_the_added_pixels_have_no_label():
    image = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    padded = squared(Sample((image,), np.zeros((3, 4), dtype=np.int64)), 8)
    assert padded.images[0].shape == (1, 1, 8, 8)
    assert np.array_equal(padded.images[0][0, 0, :4, :4], np.vstack([image[0, 0], image[0, 0, 1]]))
    assert (padded.label == IGNORED).sum() == 64 - 12


def test_the_common_size_is_a_multiple_that_holds_every_chip(dataset):
    chips = open_dataset(dataset()).chips
    assert common_size(chips, 8) == 16
    assert common_size(chips, 7) == 21
