import numpy as np
import pytest
import rasterio
from affine import Affine
from instageo_plugin.core.contract.dataset import REFLECTANCE, InputSpec
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import PredictRasterJob
from instageo_plugin.core.inference.source import open_source, read_mirrored
from rasterio.windows import Window


@pytest.fixture
def opened(make_card, recorder):
    def open_(*paths, card=None, **fields):
        job = PredictRasterJob(rasters=paths, model="m", output="o.tif", **fields)
        return open_source(job, card or make_card(), recorder)

    return open_


def test_window_beyond_the_edge_is_mirrored(opened, write_raster, noise):
    pixels = noise(20, 30)
    with opened(write_raster("a.tif", pixels)) as source:
        window = read_mirrored(source, Window(16, 8, 20, 40))
    expected = np.pad(pixels, ((0, 0), (0, 28), (0, 6)), mode="reflect")[:, 8:, 16:]
    assert window.shape == (1, 3, 40, 20)
    assert (window[0] == expected).all()


def test_nodata_and_mask_bands_become_nan(opened, write_raster, noise):
    path = write_raster("a.tif", noise(20, 30), nodata=3)
    with opened(path) as source:
        images = source.read(Window(0, 0, 30, 20))[0]
    with rasterio.open(path) as raster:
        assert (np.isnan(images) == (raster.read() == 3)).all()


def test_internal_mask_is_honoured(opened, write_raster, noise):
    path = write_raster("a.tif", noise(20, 30))
    mask = np.full((20, 30), 255, np.uint8)
    mask[:5] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as raster:
        raster.write_mask(mask)
    with opened(path) as source:
        images = source.read(Window(0, 0, 30, 20))
    assert np.isnan(images[..., :5, :]).all()
    assert not np.isnan(images[..., 5:, :]).any()


def test_nodata_of_each_band_its_own(opened, write_raster, noise, tmp_path):
    path = write_raster("a.tif", noise(20, 30))
    with rasterio.open(path) as raster:
        pixels = raster.read()
    names = "".join(
        f'<VRTRasterBand dataType="Int16" band="{i}"><Description>{name}</Description><NoDataValue>{i}</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>{i}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for i, name in enumerate(("blue", "green", "red"), 1)
    )
    header = "<SRS>EPSG:32632</SRS><GeoTransform>731810, 10, 0, 5694090, 0, -10</GeoTransform>"
    (tmp_path / "a.vrt").write_text(f'<VRTDataset rasterXSize="30" rasterYSize="20">{header}{names}</VRTDataset>')
    with opened(str(tmp_path / "a.vrt")) as source:
        images = source.read(Window(0, 0, 30, 20))[0]
    assert (np.isnan(images) == (pixels == np.array([1, 2, 3])[:, None, None])).all()


def test_rounding_of_the_transform_is_no_other_grid(opened, write_raster, noise, make_card):
    near = Affine(10, 0, 731810 + 1e-7, 0, -10, 5694090)
    paths = write_raster("a.tif", noise(20, 30)), write_raster("b.tif", noise(20, 30), transform=near)
    with opened(*paths, card=make_card(timesteps=2)) as source:
        assert source.read(Window(0, 0, 5, 4)).shape == (2, 3, 4, 5)


@pytest.mark.parametrize("change", [{"crs": "EPSG:32633"}, {"transform": Affine(20, 0, 731810, 0, -20, 5694090)}])
def test_another_crs_or_pixel_size_is_another_grid(opened, write_raster, noise, make_card, change):
    paths = write_raster("a.tif", noise(20, 30)), write_raster("b.tif", noise(20, 30), **change)
    with pytest.raises(InstaGeoError, match="different grids"), opened(*paths, card=make_card(timesteps=2)):
        pass


def test_reflectance_is_read_as_chips_hold_it(opened, write_raster, noise, make_card):
    pixels = np.array([0.12344, -0.2, 7.0, np.nan], dtype=np.float32).repeat(30).reshape(1, 4, 30)
    spec = InputSpec("custom", ("blue",), "int16", units=REFLECTANCE, nodata=-9999)
    path = write_raster("a.tif", pixels, descriptions=("blue",))
    with opened(path, card=make_card(("blue",), inputs=(spec,)), scale=1e4, offset=-1000.0) as source:
        column = source.read(Window(0, 0, 1, 4)).ravel()
    assert column[:3].tolist() == [234, -3000, 32767]
    assert np.isnan(column[3])


def test_what_is_no_raster_is_named(opened, tmp_path):
    (tmp_path / "a.tif").write_text("no raster")
    with pytest.raises(InstaGeoError, match=r"a\.tif cannot be read as a raster"), opened(str(tmp_path / "a.tif")):
        pass


def test_order_is_trusted_aloud(opened, write_raster, noise, recorder):
    with opened(write_raster("a.tif", noise(20, 30), descriptions=None)):
        assert recorder.said("taken in the model's order")


@pytest.mark.parametrize(("size", "warned"), [(10.05, False), (10.2, True), (19.9, True), (5.1, True)])
def test_other_resolutions_are_pointed_out(opened, write_raster, noise, recorder, size, warned):
    with opened(write_raster("a.tif", noise(20, 30), transform=Affine(size, 0, 731810, 0, -size, 5694090))):
        assert recorder.said("factor") is warned


def test_models_of_several_inputs_are_refused(opened, write_raster, noise, make_card):
    card = make_card()
    two = make_card(inputs=card.inputs * 2, normalisation=card.normalisation * 2)
    with pytest.raises(InstaGeoError, match="2 inputs"), opened(write_raster("a.tif", noise(20, 30)), card=two):
        pass


@pytest.fixture
def masked_series(opened, write_raster, noise, make_card):
    """Two timesteps, each masked in a place of its own, opened under a strategy."""
    paths = [write_raster(f"{i}.tif", noise(20, 30, seed=i)) for i in range(2)]
    masks = np.zeros((2, 1, 20, 30), "uint8")
    masks[0, 0, :5] = 1
    masks[1, 0, :, :4] = 2
    names = [write_raster(f"m{i}.tif", mask, descriptions=()) for i, mask in enumerate(masks)]

    def open_(**fields):
        return opened(*paths, card=make_card(timesteps=2), **{"mask_rasters": tuple(names), **fields})

    return open_, masks[:, 0] > 0


@pytest.mark.parametrize("strategy", ["each", "any"])
def test_masked_pixels_are_no_data(masked_series, strategy):
    open_, masked = masked_series
    expected = np.broadcast_to(masked.any(0), masked.shape) if strategy == "any" else masked
    with open_(mask_strategy=strategy) as source:
        missing = np.isnan(source.read(Window(2, 1, 20, 18)))
    assert (missing == expected[:, None, 1:19, 2:22]).all()


def test_masks_must_pair_with_timesteps_and_share_their_grid(masked_series, write_raster):
    open_, _ = masked_series
    other = write_raster("other.tif", np.zeros((2, 20, 31), "uint8"), descriptions=())
    with (
        pytest.raises(InstaGeoError, match=r"found 1 masks; expected 2(.|\n)*has 2 bands(.|\n)*31 x 20"),
        open_(mask_rasters=(other,)),
    ):
        pass
