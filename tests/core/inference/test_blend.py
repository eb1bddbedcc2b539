import numpy as np
import pytest
from instageo_plugin.core.inference.blend import BLOCK, RowBand, Strip, axis_parts, plan_strips
from instageo_plugin.core.inference.windows import plan_axis, plan_patches


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("size", [1, 20, 32, 33, 57, 150, 211])
@pytest.mark.parametrize(("overlap", "stride"), [(8, 1), (8, 4), (20, 4), (0, 8)])
def test_weights_sum_to_one_everywhere(size, exact, overlap, stride):
    axis = plan_axis(size, 32, overlap, stride)
    total = np.zeros(size)
    for part in axis_parts(axis, exact):
        assert (part.weights > 0).all()
        total[part.start : part.stop] += part.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_weight_stays_one_at_the_true_edges():
    parts = axis_parts(plan_axis(150, 32, 8, 1), exact=False)
    assert parts[0].weights[0] == 1
    assert parts[-1].weights[-1] == 1


def test_cuts_keep_their_distance_from_inner_edges():
    axis = plan_axis(211, 32, 8, 1)
    for start, part in zip(axis.starts, axis_parts(axis, exact=True)):
        assert part.start - start >= (4 if start else 0)
        assert start + 32 - part.stop >= (4 if start + 32 < axis.padded else 0)


def test_strips_bound_the_memory_of_a_band():
    plan = plan_patches((300, 3000), 64, 1, None, -1)
    strips = plan_strips(plan, classes=10, bytes_at_once=10 * 64 * 4 * 600)
    assert [s.width for s in strips] == [512] * 5 + [440]
    assert all(s.start % BLOCK == 0 for s in strips)
    assert len(plan_strips(plan, classes=10)) == 1


def test_finished_rows_come_out_once_and_in_order():
    parts = axis_parts(plan_axis(50, 20, 4, 1), exact=True)
    (col,) = axis_parts(plan_axis(20, 20, 0, 1), exact=True)
    band = RowBand(parts, classes=2, strip=Strip(0, 20, (0,)))
    out = []
    for i, part in enumerate(parts):
        out.append(band.finish(part.start))
        band.add(part, col, np.full((20, 20), i + 1, np.uint8), np.full((2, 20, 20), i + 1, np.float32))
    out.append(band.finish(50))
    state = np.concatenate([rows.state for rows in out])
    expected = np.concatenate([np.full(len(p.weights), i + 1) for i, p in enumerate(parts)])
    assert (state == expected[:, None]).all()
    assert (np.concatenate([rows.probabilities for rows in out], axis=1) == state).all()
