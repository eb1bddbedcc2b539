"""Split chips as a user runs it: what it writes, and how it refuses damaged datasets."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

WORDS = {
    "no rows": "empty",
    "half a dataset.json": "dataset.json is damaged",
    "no index": "is missing",
    "an index of another format": "not a chip index",
    "half an index": "or damaged",
    "a lost image": "is missing",
}


def state_of(folder):
    """Every file's bytes, by name."""
    return {path.name: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_each_chip_gets_a_part(run, damaged):
    folder = damaged("nothing")
    outputs = run("splitchips", INPUT=folder, STRATEGY="random", VAL=25, TEST=25)
    with closing(sqlite3.connect(Path(folder) / "chips.gpkg")) as index:
        parts = Counter(split for (split,) in index.execute("SELECT split FROM chips"))
    assert outputs["OUTPUT"] == folder
    assert parts == {"train": outputs["TRAIN_COUNT"], "val": outputs["VAL_COUNT"], "test": outputs["TEST_COUNT"]}
    assert sum(parts.values()) == 36


@pytest.mark.parametrize("damage", WORDS)
def test_a_damaged_dataset_is_refused_and_left_alone(refusal, damaged, damage):
    folder = damaged(damage)
    before = state_of(folder)
    message = refusal("splitchips", INPUT=folder)
    assert WORDS[damage] in message
    assert folder in message
    assert "\n" in message  # the remedy
    assert state_of(folder) == before


def test_a_folder_that_is_no_dataset_is_refused(refusal, out):
    message = refusal("splitchips", INPUT=str(out))
    assert "not a chip dataset" in message
    assert "Create chips" in message
    assert list(out.iterdir()) == []


def test_too_few_blocks_of_ground_are_refused(refusal, damaged):
    message = refusal("splitchips", INPUT=damaged("nothing"), STRATEGY="block", BLOCK_SIZE=100_000)
    assert "block" in message
    assert "BLOCK_SIZE" in message
