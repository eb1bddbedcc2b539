import math

import numpy as np
import pytest
import torch
from instageo_plugin.core.models.positions import interpolated_3d, sincos_1d, sincos_3d


def _value(position, index, part):
    """Element `index` of a part of `part` elements, from the formula."""
    half = part // 2
    angle = position / 10000 ** ((index % half) / half)
    return math.sin(angle) if index < half else math.cos(angle)


def test_the_table_is_the_formula_width_height_time():
    dim, frames, rows, columns = 32, 3, 4, 5
    table = sincos_3d(dim, frames, rows, columns)
    assert table.shape == (frames * rows * columns, dim)
    assert table.dtype == torch.float32
    for t in range(frames):
        for row in range(rows):
            for column in range(columns):
                expected = [_value(column, i, 12) for i in range(12)]
                expected += [_value(row, i, 12) for i in range(12)]
                expected += [_value(t, i, 8) for i in range(8)]
                token = table[(t * rows + row) * columns + column]
                np.testing.assert_allclose(token, np.float32(expected), rtol=0, atol=6e-8)


def test_frequencies_fall_from_one():
    table = sincos_1d(8, np.array([1.0]))[0]
    np.testing.assert_allclose(table[:4], np.sin([1, 0.1, 0.01, 0.001]))
    np.testing.assert_allclose(table[4:], np.cos([1, 0.1, 0.01, 0.001]))


def test_a_dimension_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ValueError, match="multiple of 16"):
        sincos_3d(24, 1, 2, 2)


def test_stretching_keeps_the_corners_and_the_frames_apart():
    stretched = interpolated_3d(32, 2, (7, 9), (14, 14)).view(2, 7, 9, 32)
    table = sincos_3d(32, 2, 14, 14).view(2, 14, 14, 32)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        torch.testing.assert_close(stretched[:, row, column], table[:, row, column], atol=1e-5, rtol=0)
    assert interpolated_3d(32, 2, (14, 14), (14, 14)).equal(sincos_3d(32, 2, 14, 14))


def test_a_changed_copy_does_not_change_the_next_table():
    expected = sincos_3d(16, 1, 2, 2).clone()
    sincos_3d(16, 1, 2, 2).add(1)
    assert sincos_3d(16, 1, 2, 2).equal(expected)
