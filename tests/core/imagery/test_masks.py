import numpy as np
import pytest
import rasterio
from instageo_plugin.core.contract.sensors import MASKS
from instageo_plugin.core.imagery.encoding import Encoding
from instageo_plugin.core.imagery.masks import apply_strategy, clear_percent, decode_archive_mask, decode_mask


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
    assert (encoded.dtype, clamped.sum(), encoding.nodata_plain, encoding.units) == ("uint16", 0, 0, "as in the source")


def test_floats_without_nodata_have_nan():
    encoding = Encoding("float32", None)
    assert encoding.nodata_plain == "nan"
    assert encoding.has_data(np.array([1, np.nan], dtype=np.float32)).tolist() == [True, False]


def test_reflectance_is_scaled_rounded_clamped_and_counted():
    encoding = Encoding("uint16", 0.0, scale=2.0, offset=-1000.5)
    pixels = np.array([0, 1, 500, 60000], dtype=np.uint16)
    encoded, clamped = encoding.encode(pixels, encoding.has_data(pixels))
    assert encoded.tolist() == [-9999, -998, 0, 32767]  # -998.5 and -0.5 round half to even
    assert (encoded.dtype, clamped.tolist(), encoding.nodata_plain) == ("int16", [False, False, False, True], -9999)
    assert encoding.units == "reflectance x 10000"


def test_a_clamped_value_never_becomes_nodata():
    encoding = Encoding("float32", None, scale=10000.0)
    pixels = np.array([-1.5, np.nan], dtype=np.float32)
    assert encoding.encode(pixels, encoding.has_data(pixels))[0].tolist() == [-9998, -9999]


FMASK_BITS = {"cirrus": 0, "cloud": 1, "adjacent": 2, "shadow": 3, "snow": 4, "water": 5}
QA_BITS = {"adjacent": 1, "cirrus": 2, "cloud": 3, "shadow": 4, "snow": 5, "water": 7}


@pytest.mark.parametrize("kinds", [(kind,) for kind in MASKS] + [("cloud", "shadow"), MASKS, ()])
def test_fmask_decodes_all_256_values(kinds):
    values = np.arange(256, dtype=np.uint8)
    expected = [v == 255 or any(v >> FMASK_BITS[kind] & 1 for kind in kinds) for v in range(256)]
    assert decode_archive_mask(values, "fmask", kinds).tolist() == expected


@pytest.mark.parametrize("kinds", [(kind,) for kind in MASKS] + [("cloud", "adjacent"), ()])
def test_qa_pixel_decodes_all_bits_and_fill(kinds):
    values = np.arange(0, 65536, dtype=np.uint16)
    expected = [bool(v & 1) or any(v >> QA_BITS[kind] & 1 for kind in kinds) for v in range(65536)]
    assert decode_archive_mask(values, "qa_pixel", kinds).tolist() == expected


def test_scene_classes_decode():
    values = np.arange(12, dtype=np.uint8)
    assert np.flatnonzero(decode_archive_mask(values, "scl", ("cloud", "shadow"))).tolist() == [0, 3, 8, 9]
    assert np.flatnonzero(decode_archive_mask(values, "scl", MASKS)).tolist() == [0, 3, 6, 7, 8, 9, 10, 11]
    assert np.flatnonzero(decode_archive_mask(values, "scl", ())).tolist() == [0]


def test_real_fmask_tiles_have_water_and_fill_but_no_cloud_bit(shared_data):
    path = next((shared_data / "hls_fmask").glob("*.tif"))
    with rasterio.open(path) as raster:
        pixels = raster.read(1)
    water = decode_archive_mask(pixels, "fmask", ("water",))
    fill = decode_archive_mask(pixels, "fmask", ("cloud",))
    assert (fill == (pixels == 255)).all()
    assert (water & ~fill).any()
    assert (water == ((pixels & 32) != 0)).all()
