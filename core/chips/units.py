"""What a split must not tear apart: chips that share ground, a block, a group, a year."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..contract.errors import InstaGeoError
from ..contract.jobs import SplitChipsJob
from ..reporting import Reporter
from .dataset import ChipDataset
from .ground import centres, ground_groups, local_crs
from .index import ChipRow, read_column

WORDS = {
    "random": "groups of chips that share no labelled ground",
    "stratified": "groups of chips that share no labelled ground",
    "block": "blocks",
    "group": "groups",
    "time": "years",
}


def units_of(
    dataset: ChipDataset, chips: Sequence[ChipRow], job: SplitChipsJob, rng: np.random.Generator, reporter: Reporter
) -> np.ndarray:
    """(n,) number of the unit of each chip, from 0.

    Chips that share labelled ground are in one unit, but for `time`: there a unit is the year of a chip's newest
    date, numbered in order of time, and that the same ground comes back in another year is what is measured. Raises
    `InstaGeoError` when the group field or the dates are missing.
    """
    if job.strategy == "time":
        return _years(chips)
    ground = ground_groups(dataset, chips, reporter)
    if job.strategy == "block":
        return _blocks(chips, ground, job.block_size, rng)
    if job.strategy == "group":
        return _groups(dataset, chips, ground, job.group_field, reporter)
    return ground


def _blocks(chips: Sequence[ChipRow], ground: np.ndarray, block_size: float, rng: np.random.Generator) -> np.ndarray:
    """The block of the first chip of each chip's ground."""
    origin = rng.uniform(0, block_size, size=2)
    cells = np.floor((centres(chips, local_crs(chips)) - origin) / block_size).astype(np.int64)
    first = np.unique(ground, return_index=True)[1]
    numbers: np.ndarray = np.unique(cells[first][ground], axis=0, return_inverse=True)[1].reshape(-1)
    return numbers


def _groups(
    dataset: ChipDataset, chips: Sequence[ChipRow], ground: np.ndarray, field: str, reporter: Reporter
) -> np.ndarray:
    """Chips with one value of `field`; groups whose chips share labelled ground become one."""
    by_chip = read_column(dataset.index_path, field)
    values = [by_chip.get(chip.chip, "") for chip in chips]
    empty = sum(not value for value in values)
    if empty:
        raise InstaGeoError(
            f"GROUP_FIELD '{field}': {empty} of {len(chips)} chips have no value.",
            "Fill the field in the attribute table of the chips layer, or choose another field.",
        )
    names, group = np.unique(values, return_inverse=True)
    links = coo_matrix((np.ones(len(chips)), (group, ground + len(names))), shape=[len(names) + len(chips)] * 2)
    joined = connected_components(links, directed=False)[1][group]
    units: np.ndarray = np.unique(joined, return_inverse=True)[1]
    left = int(units.max()) + 1
    if left < len(names):
        reporter.log(
            f"{len(names)} values of '{field}' make {left} groups, since chips of some share labelled ground.",
            "warning",
        )
    return units


def _years(chips: Sequence[ChipRow]) -> np.ndarray:
    newest = [max((date for dates in chip.dates.values() for date in dates if date), default="") for chip in chips]
    undated = sum(not date for date in newest)
    if undated:
        raise InstaGeoError(
            f"STRATEGY time: {undated} of {len(chips)} chips have no date.",
            "Give the imagery's dates when making the chips (RASTER_TABLE), or choose another STRATEGY.",
        )
    years: np.ndarray = np.unique([date[:4] for date in newest], return_inverse=True)[1]
    return years
