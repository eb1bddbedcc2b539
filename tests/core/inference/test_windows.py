import numpy as np
import pytest
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.inference.windows import plan_axis, plan_patches, plan_pixels, reflected


@pytest.mark.parametrize("size", [1, 31, 32, 33, 63, 64, 65, 150, 211, 1000])
@pytest.mark.parametrize(("overlap", "stride"), [(0, 1), (8, 1), (8, 4), (10, 4), (24, 8), (28, 4)])
def test_windows_cover_the_axis_with_the_overlap_asked_for(size, overlap, stride):
    axis = plan_axis(size, 32, overlap, stride)
    steps = np.diff(axis.starts)
    assert axis.starts[0] == 0
    assert all(start % stride == 0 for start in axis.starts)
    assert (steps > 0).all()
    assert (32 - steps >= overlap).all()
    assert axis.padded == max(32, -(-size // stride) * stride), "no empty edge, and no more padding than needed"


def test_window_is_the_chip_rounded_up_to_the_stride():
    plan = plan_patches((100, 100), chip_size=50, stride=16, radius=None, overlap=-1)
    assert plan.rows.window == 64
    assert plan.rows.overlap >= 12, "a quarter of the chip, rounded down to even"
    assert not plan.exact


@pytest.mark.parametrize(("radius", "exact"), [(0, True), (8, True), (16, True), (17, False), (None, False)])
def test_result_is_exact_where_the_receptive_field_fits_the_overlap(radius, exact):
    # 4 windows of 128 with an overlap of 32 are 416 pixels
    assert plan_patches((416, 416), 128, 1, radius, 32).exact is exact


def test_one_window_is_always_exact_for_a_known_radius():
    assert plan_patches((20, 30), 64, 16, 10, -1).exact


def test_overlap_of_a_whole_window_is_refused():
    with pytest.raises(InstaGeoError, match=r"OVERLAP is 64 pixels; .* at most 48"):
        plan_patches((100, 100), 64, 16, None, 64)


def test_pixel_models_get_large_windows_that_hardly_overlap():
    plan = plan_pixels((520, 1500), channels=6)
    assert plan.rows.window <= 512
    assert plan.count == 2 * 3
    assert plan_pixels((2000, 2000), channels=180).rows.window <= 256, "many channels: smaller windows"


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_reflection_agrees_with_numpy(size):
    values = np.arange(size)
    assert (reflected(0, 3 * size + 4, size) == np.pad(values, (0, 2 * size + 4), mode="reflect")).all()
