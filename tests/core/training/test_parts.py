import pytest
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.training.parts import training_parts


def _names(chips):
    return {chip.chip for chip in chips}


@pytest.fixture
def parts_of(make_job, recorder):
    def parts(folder, **changes):
        return training_parts(open_dataset(folder), make_job(folder, **changes), recorder)

    return parts


def test_the_split_column_says_who_trains(dataset, split, parts_of):
    folder = split(dataset(), lambda i: ["train", "val", "test", "train", "", "train"][i])
    parts = parts_of(folder)
    assert (len(parts.train), len(parts.val), parts.measured, parts.notes) == (3, 1, "val", ())


def test_a_dataset_without_a_split_gets_one_by_blocks_and_says_so(dataset, split, parts_of, recorder):
    folder = split(dataset(height=96, width=96), lambda i: "")
    parts = parts_of(folder, seed=3)
    assert parts.measured == "val"
    assert 0 < len(parts.val) < len(parts.train)
    assert len(_names(parts.train) | _names(parts.val)) == 36
    assert recorder.warned("has no split: 20 % of its labels validate, chosen by blocks")
    assert _names(parts_of(folder, seed=3).val) == _names(parts.val)


def test_a_single_chip_trains_without_validation(dataset, split, parts_of, recorder):
    parts = parts_of(split(dataset(height=16, width=16), lambda i: ""))
    assert (len(parts.train), len(parts.val), parts.measured) == (1, 0, "train")
    assert recorder.warned("too few chips to make one")
    assert recorder.warned("flatter the model")


def test_a_fold_is_held_out_and_the_next_one_validates(dataset, split, parts_of):
    folder = split(dataset(), fold=lambda i: i % 3)
    parts = parts_of(folder, fold=2)
    folds = {chip.chip: chip.fold for chip in open_dataset(folder).chips}
    assert {folds[name] for name in _names(parts.train)} == {1}
    assert {folds[name] for name in _names(parts.val)} == {0}


def test_with_two_folds_the_other_one_trains_and_none_validates(dataset, split, parts_of, recorder):
    parts = parts_of(split(dataset(), fold=lambda i: i % 2), fold=0)
    assert (len(parts.train), len(parts.val)) == (3, 0)
    assert {chip.fold for chip in parts.train} == {1}
    assert recorder.warned("two folds")


@pytest.mark.parametrize(("folds", "found"), [(lambda i: i % 3, "folds 0 to 2"), (lambda i: -1, "has no folds")])
def test_a_fold_that_is_not_there(dataset, split, parts_of, folds, found):
    with pytest.raises(InstaGeoError, match=f"FOLD is 7, but the dataset .*{found}"):
        parts_of(split(dataset(), fold=folds), fold=7)


def test_nothing_to_train_on(dataset, split, parts_of):
    with pytest.raises(InstaGeoError, match="No labelled chip is in the part 'train'"):
        parts_of(split(dataset(), lambda i: "test"))
