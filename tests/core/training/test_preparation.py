import numpy as np
import pytest
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.training.preparation import class_weights, prepare


@pytest.fixture
def prepared(make_job, recorder):
    return lambda folder, **changes: prepare(open_dataset(folder), make_job(folder, **changes), recorder)


def test_all_problems_are_told_at_once(write_dataset, split, prepared):
    label = np.full((16, 48), -1)
    label[:, :16] = 0
    label[0, 47] = 1
    folder = split(write_dataset(label, chip_size=16), lambda i: ["train", "val", "test"][i])
    with pytest.raises(InstaGeoError) as error:
        prepared(folder, class_weights="1 2 3")
    assert "the training chips hold one class only, 'class 0'" in error.value.message
    assert "no pixel of the 1 validation chips is labelled" in error.value.message
    assert "CLASS_WEIGHTS holds 3 numbers; the class table has 2 classes" in error.value.message


@pytest.mark.parametrize("weights", ["heavy", "1,-1", "0 0", "1;nan"])
def test_class_weights_that_are_none(write_dataset, split, prepared, weights):
    folder = split(write_dataset(np.eye(32, dtype=int), chip_size=16))
    with pytest.raises(InstaGeoError, match="CLASS_WEIGHTS is"):
        prepared(folder, class_weights=weights)


def test_statistics_are_of_the_training_chips_alone(dataset, prepared):
    folder = dataset()
    found = prepared(folder)
    opened = open_dataset(folder)
    pixels = np.concatenate([opened.read_images(chip)[0][0].reshape(2, -1) for chip in opened.part("train")], axis=1)
    assert found.normalisation[0].mean == pytest.approx(pixels.mean(axis=1, dtype=np.float64))
    assert found.normalisation[0].std == pytest.approx(pixels.std(axis=1, dtype=np.float64))
    assert found.class_pixels.sum() == 4 * 16 * 16


def test_a_class_without_training_pixels_is_a_warning(write_dataset, split, prepared, recorder):
    label = np.zeros((16, 48), dtype=int)
    label[:8], label[:, 32:] = 1, 2
    found = prepared(split(write_dataset(label, chip_size=16)), class_weights="balanced")
    assert recorder.warned("without training pixels, which the model will not learn: class 2")
    assert found.class_weights.tolist() == [1, 1, 0]


def test_balanced_weights_make_classes_equal():
    pixels = np.array([10, 30, 0, 60])
    weights = class_weights("balanced", pixels)
    assert weights[2] == 0
    assert np.allclose((weights * pixels)[[0, 1, 3]], 100 / 3)
    assert class_weights("none", pixels) is None
    assert class_weights("1, 2;3 4.5", pixels).tolist() == [1, 2, 3, 4.5]
