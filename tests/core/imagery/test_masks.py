import numpy as np
import pytest
from instageo_plugin.core.imagery.encoding import Encoding
from instageo_plugin.core.imagery.masks import apply_strategy, clear_percent, decode_mask


def test_any_masks_a_pixel_in_all_timesteps_and_each_only_in_its_own():
    masked = decode_mask(np.array([[[0, 1, 0]], [[0, 0, 7]]]))  # (T, H, W)
    assert apply_strategy(masked, "each").tolist() == [[[False, True, False]], [[False, False, True]]]
    assert apply_strategy(masked, "any").tolist() == [[[False, True, True]]] * 2
    assert clear_percent(apply_strategy(masked, "each")) == pytest.approx(100 * 4 / 6)
    assert clear_percent(apply_strategy(masked, "any")) == pytest.approx(100 * 2 / 6)


def test_values_are_kept_with_scale_1_and_nodata_set_where_masked():
    encoding = Encoding("uint16", 0.0)
    pixels = np.array([0, 1, 65535], dtype=np.uint16)
    encoded, clamped = encoding.encode(pixels, encoding.has_data(pixels) & [True, False, True])
    assert encoded.tolist() == [0, 0, 65535]
    assert (encoded.dtype, clamped, encoding.nodata_plain, encoding.units) == ("uint16", 0, 0, "as in the source")


def test_floats_without_nodata_have_nan():
    encoding = Encoding("float32", None)
    assert encoding.nodata_plain == "nan"
    assert encoding.has_data(np.array([1, np.nan], dtype=np.float32)).tolist() == [True, False]


def test_reflectance_is_scaled_rounded_clamped_and_counted():
    encoding = Encoding("uint16", 0.0, scale=2.0, offset=-1000.5)
    pixels = np.array([0, 1, 500, 60000], dtype=np.uint16)
    encoded, clamped = encoding.encode(pixels, encoding.has_data(pixels))
    assert encoded.tolist() == [-9999, -998, 0, 32767]  # -998.5 and -0.5 round half to even
    assert (encoded.dtype, clamped, encoding.nodata_plain) == ("int16", 1, -9999)
    assert encoding.units == "reflectance x 10000"


def test_a_clamped_value_never_becomes_nodata():
    encoding = Encoding("float32", None, scale=10000.0)
    pixels = np.array([-1.5, np.nan], dtype=np.float32)
    assert encoding.encode(pixels, encoding.has_data(pixels))[0].tolist() == [-9998, -9999]
