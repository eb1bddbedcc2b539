import sqlite3
from contextlib import closing

import numpy as np
import pytest
from instageo_plugin.core.chips.clean import clean_chips
from instageo_plugin.core.chips.creation_report import read_skipped
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import CleanChipsJob
from instageo_plugin.core.reporting import SilentReporter


@pytest.fixture
def chips(write_dataset):
    """Four chips with 1, 2, 3 and 4 labelled pixels; the last is half masked and a quarter of it has no data."""
    labels = np.full((16, 64), -1)
    for i in range(4):
        labels[0, 16 * i : 16 * i + i + 1] = 0
    folder = write_dataset(labels, chip_size=16)
    with closing(sqlite3.connect(folder / "chips.gpkg")) as connection, connection:
        connection.execute("UPDATE chips SET clear = 50, valid = 75 WHERE fid = 4")
    return folder


def clean(folder, **limits):
    return clean_chips(CleanChipsJob(str(folder), **limits), SilentReporter())


@pytest.mark.parametrize(
    ("limits", "left", "skipped"),
    [
        ({}, 4, []),
        ({"min_labels": 3}, 2, [("too few labels", "1 of 3", 1), ("too few labels", "2 of 3", 1)]),
        ({"max_chip_cloud": 49}, 3, [("too cloudy", "50.0 % masked; at most 49 %", 1)]),
        ({"max_chip_cloud": 50}, 4, []),
        ({"min_valid": 80, "min_labels": 0}, 3, [("too few valid pixels", "75.0 % of 80 %", 1)]),
    ],
)
def test_chips_below_a_limit_leave_with_a_reason_and_their_files_stay(chips, limits, left, skipped):
    outputs = clean(chips, **limits)
    dataset = open_dataset(chips)
    assert (outputs["CHIP_COUNT"], outputs["SKIPPED_COUNT"]) == (left, len(skipped))
    assert len(dataset.chips) == left
    assert read_skipped(dataset.index_path) == skipped
    assert len(list((chips / "images").iterdir())) == 4


def test_limits_that_leave_nothing_change_nothing(chips):
    with pytest.raises(InstaGeoError, match=r"None of 4 chips would be left: 4 x too few labels"):
        clean(chips, min_labels=99)
    assert len(open_dataset(chips).chips) == 4


def test_an_index_in_use_is_left_as_it_is(chips):
    with closing(sqlite3.connect(chips / "chips.gpkg")) as editing:
        editing.execute("BEGIN IMMEDIATE")
        with pytest.raises(InstaGeoError, match="Save or discard the edits"):
            clean(chips, min_labels=3)
    assert len(open_dataset(chips).chips) == 4
