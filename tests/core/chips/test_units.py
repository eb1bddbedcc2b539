"""Splits by group and by time."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.chips.split import split_chips
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import SplitChipsJob
from instageo_plugin.core.reporting import SilentReporter


class Notes(SilentReporter):
    def __init__(self):
        self.said = []

    def log(self, message, level="info"):
        self.said.append(message)


@pytest.fixture
def chips(write_dataset):
    """8 x 8 chips, one labelled pixel in each, two classes."""
    labels = np.full((128, 128), -1)
    labels[8::16, 8::16] = np.arange(64).reshape(8, 8) % 2
    return write_dataset(labels, chip_size=16)


def change(folder, statement, rows):
    with closing(sqlite3.connect(folder / "chips.gpkg")) as connection, connection:
        connection.executemany(statement, rows)


def add_column(folder, name, value_of):
    """As a user does in the attribute table."""
    change(folder, f'ALTER TABLE chips ADD COLUMN "{name}" TEXT', [()])
    names = [chip.chip for chip in open_dataset(folder).chips]
    change(folder, f'UPDATE chips SET "{name}" = ? WHERE chip = ?', [(value_of(i), n) for i, n in enumerate(names)])


def date(folder, year_of):
    names = [chip.chip for chip in open_dataset(folder).chips]
    rows = [(json.dumps({"custom": ["", f"{year_of(i)}-06-01"]}), name) for i, name in enumerate(names)]
    change(folder, "UPDATE chips SET dates = ? WHERE chip = ?", rows)


def split_by(folder, value_of, **fields):
    """The parts in which each value of a column ends up."""
    reporter = Notes()
    split_chips(SplitChipsJob(str(folder), **fields), reporter)
    found = {}
    for i, chip in enumerate(open_dataset(folder).chips):
        found.setdefault(value_of(i), set()).add(chip.fold if fields.get("folds") else chip.split)
    return found, "\n".join(reporter.said)


def farm(i):
    return f"farm {i // 6}"


def test_groups_stay_together_and_every_part_gets_some(chips):
    add_column(chips, "farm", farm)
    found, _ = split_by(chips, farm, strategy="group", group_field="farm")
    assert all(len(parts) == 1 for parts in found.values())
    assert set.union(*found.values()) == {"train", "val", "test"}


def test_leaving_groups_out_by_folds(chips):
    add_column(chips, "farm", farm)
    found, _ = split_by(chips, farm, strategy="group", group_field="farm", folds=5)
    assert all(len(folds) == 1 for folds in found.values())
    assert set.union(*found.values()) == {0, 1, 2, 3, 4}


def test_groups_that_share_labelled_ground_become_one(write_dataset):
    folder = write_dataset(np.zeros((64, 64), int), chip_size=16, starts=[0, 8, 32, 48])  # 0 and 8 overlap
    add_column(folder, "farm", lambda i: f"farm {i}")
    found, said = split_by(folder, str, strategy="group", group_field="farm")
    assert "16 values of 'farm' make 9 groups, since chips of some share labelled ground" in said
    assert found["0"] == found["1"] == found["4"] == found["5"]


@pytest.mark.parametrize(
    ("field", "message"),
    [("farm", r"no field 'farm'; its fields are: chip"), ("group", "64 of 64 chips have no value")],
)
def test_a_field_that_is_missing_or_empty(chips, field, message):
    with pytest.raises(InstaGeoError, match=message):
        split_by(chips, str, strategy="group", group_field=field)


def year(i):
    return 2018 + i // 13  # five years, the newest with 12 chips


def test_the_newest_years_are_held_out(chips):
    date(chips, year)
    found, _ = split_by(chips, year, strategy="time", val=20, test=15)
    assert found == {2018: {"train"}, 2019: {"train"}, 2020: {"train"}, 2021: {"val"}, 2022: {"test"}}


def test_each_year_is_left_out_once(chips):
    date(chips, year)
    found, _ = split_by(chips, year, strategy="time", folds=5)
    assert sorted(map(tuple, found.values())) == [(0,), (1,), (2,), (3,), (4,)]


def test_a_large_share_still_leaves_years_to_train_on(chips):
    date(chips, lambda i: 2020 + i // 22)
    found, _ = split_by(chips, lambda i: 2020 + i // 22, strategy="time", val=40, test=50)
    assert found == {2020: {"train"}, 2021: {"val"}, 2022: {"test"}}


def test_too_few_years_and_missing_dates(chips):
    with pytest.raises(InstaGeoError, match="64 of 64 chips have no date"):
        split_by(chips, str, strategy="time")
    date(chips, lambda i: 2020 + i // 40)
    with pytest.raises(InstaGeoError, match="form only 2 years"):
        split_by(chips, str, strategy="time")
