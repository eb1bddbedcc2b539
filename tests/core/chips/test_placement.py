import numpy as np
import pytest
from affine import Affine
from instageo_plugin.core.chips.placement import (
    Cell,
    axis_starts,
    centred_cells,
    centred_start,
    chip_name,
    grid_cells,
    pixel_of,
    safe_name,
)


@pytest.mark.parametrize(
    ("length", "size", "step", "shift", "skip"),
    [
        (8, 4, 4, [(0, False), (4, False)], [(0, False), (4, False)]),
        (10, 4, 4, [(0, False), (4, False), (6, False)], [(0, False), (4, False), (8, True)]),
        (10, 4, 2, [(0, False), (2, False), (4, False), (6, False)], None),
        (9, 4, 2, [(0, False), (2, False), (4, False), (5, False)], [(0, False), (2, False), (4, False), (6, True)]),
        (3, 4, 4, [(0, False)], [(0, True)]),
        (10, 4, 7, [(0, False), (6, False)], [(0, False), (7, True)]),
        (6, 4, 7, [(0, False)], None),  # what remains lies between the cells
    ],
)
def test_cells_along_an_axis(length, size, step, shift, skip):
    assert axis_starts(length, size, step, "shift") == shift
    assert axis_starts(length, size, step, "skip") == (skip or shift)


@pytest.mark.parametrize("edge", ["shift", "skip"])
def test_every_pixel_is_in_a_cell_or_in_a_partial_one(edge):
    for length in range(1, 40):
        for size in range(1, 12):
            for step in range(1, size + 1):
                starts = [start for start, _ in axis_starts(length, size, step, edge)]
                covered = np.zeros(length + size, dtype=bool)
                for start in starts:
                    covered[start : start + size] = True
                assert covered[:length].all()
                assert len(set(starts)) == len(starts)


def test_cells_go_row_by_row():
    cells = grid_cells(5, 4, 2, 2, "skip")
    assert [(c.col, c.row, c.partial) for c in cells] == [
        (0, 0, False), (2, 0, False), (4, 0, True), (0, 2, False), (2, 2, False), (4, 2, True),
    ]  # fmt: skip


def test_a_centred_chip_has_its_pixel_at_half_its_size():
    assert centred_start(10, 100, 5, "shift") == (8, False)
    assert centred_start(10, 100, 4, "shift") == (8, False)


@pytest.mark.parametrize(("pixel", "shift", "skip"), [(0, 0, -2), (1, 0, -1), (8, 5, 6), (9, 5, 7)])
def test_centred_chips_beyond_the_edge(pixel, shift, skip):
    assert centred_start(pixel, 10, 5, "shift") == (shift, False)
    assert centred_start(pixel, 10, 5, "skip") == (skip, True)


def test_identical_centred_chips_are_one():
    cells = centred_cells([(0, 0), (1, 1), (9, 9), (0, 1)], (10, 10), 4, "shift")
    assert [(c.col, c.row) for c in cells] == [(0, 0), (6, 6)]


def test_coordinates_on_pixel_edges_are_exact():
    x = 731810 + 10.0 * np.arange(1000)
    y = 5694090 - 10.0 * np.arange(1000)
    pixel = pixel_of(x, y, tuple(Affine(10, 0, 731810, 0, -10, 5694090)))
    assert np.array_equal(pixel, np.column_stack([np.arange(1000)] * 2))


def test_names_are_padded_safe_and_unique():
    assert chip_name("s", Cell(7, 1234, 4)) == "s_00007_01234"
    assert safe_name("Zürich: a/b") == "Z-rich--a-b"
    assert safe_name("Lake", ["lake", "LAKE-2"]) == "Lake-3"
    assert safe_name("///") == "scene"
