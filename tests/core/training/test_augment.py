import numpy as np
import pytest
from instageo_plugin.core.training.augment import augmentation, augmented, epoch_batches, radiometry
from instageo_plugin.core.training.data import Sample


@pytest.mark.parametrize("index", range(12))
def test_image_and_label_move_together_and_keep_their_values(index):
    label = np.arange(36).reshape(6, 6)
    image = np.stack([label, label + 100]).reshape(1, 2, 6, 6).astype(np.float32)
    moved = augmented(Sample((image,), label), augmentation(0, 0, index))
    assert np.array_equal(moved.images[0][0, 0], moved.label)
    assert np.array_equal(moved.images[0][0, 1], moved.label + 100)
    assert np.array_equal(np.sort(moved.label.ravel()), np.arange(36))


def test_all_eight_orientations_occur():
    seen = {(a.quarter_turns, a.flip) for a in (augmentation(0, 0, i) for i in range(200))}
    assert len(seen) == 8


def test_augmentation_is_a_function_of_seed_epoch_and_index():
    assert augmentation(1, 2, 3) == augmentation(1, 2, 3)
    assert len({augmentation(s, e, i).gain for s in range(3) for e in range(3) for i in range(3)}) == 27


def test_every_sample_comes_once_an_epoch_in_batches_of_like_size():
    batches = epoch_batches(10, 4, seed=0, epoch=0)
    assert [len(b) for b in batches] == [4, 3, 3]
    assert sorted(np.concatenate(batches)) == list(range(10))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(epoch_batches(10, 4, seed=0, epoch=1)))
    assert np.array_equal(batches[0], epoch_batches(10, 4, seed=0, epoch=0)[0])


def test_radiometry_is_one_gain_and_offset_a_chip():
    gain, offset = radiometry([augmentation(0, 0, i) for i in range(500)])
    assert gain.shape == offset.shape == (500, 1, 1, 1, 1)
    assert (gain.mean(), offset.mean()) == pytest.approx((1, 0), abs=0.03)
    assert gain.dtype == offset.dtype == np.float32
