"""Files of an archive on a chip's grid, compared with what rasterio reads of a local copy."""

import math

import numpy as np
import pytest
import rasterio
from affine import Affine
from instageo_plugin.core.archive.access import Access, ReadFailure
from instageo_plugin.core.archive.assets import AssetStore
from instageo_plugin.core.imagery.grid import Grid
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

CORNER = (500_010, 5_700_000)
CRS = rasterio.crs.CRS.from_epsg(32633)


@pytest.fixture
def scene(archive):
    """A scene with a band of 30 m and one of 60 m; gives its item."""
    return archive.add("S", "c", "2022-06-08T10:00:00Z", {"fine": 1, "coarse": 2}, corner=CORNER, nodata=-9999)


@pytest.fixture
def store(tmp_path):
    with AssetStore(Access(), tmp_path / "spool") as opened:
        yield opened


@pytest.fixture
def local(server):
    """The served copy of an asset."""

    def path(asset):
        return str(server.folder / asset["href"].removeprefix(f"{server.url}/"))

    return path


def grid(column, row, width, height, size=30.0, crs=CRS):
    return Grid(crs, Affine(size, 0, CORNER[0] + column * size, 0, -size, CORNER[1] - row * size), width, height)


def asset(store, scene, band):
    return store.asset(scene["assets"][band]["href"])


@pytest.mark.parametrize(
    "window", [(0, 0, 10, 10), (100, 37, 64, 50), (-20, -5, 64, 64), (480, 500, 64, 64), (9000, 0, 8, 8)]
)
def test_on_its_own_grid_pixels_are_as_they_are_and_fill_lies_beyond(store, scene, local, window):
    with rasterio.open(local(scene["assets"]["fine"])) as raster:
        truth = raster.read(1, window=Window(*window), boundless=True, fill_value=-7)
    assert np.array_equal(asset(store, scene, "fine").read(grid(*window), "bilinear", -7), truth)


def test_a_coarser_band_is_repeated_exactly(store, scene, local):
    with rasterio.open(local(scene["assets"]["coarse"])) as raster:
        whole = raster.read(1).repeat(2, axis=0).repeat(2, axis=1)
    found = asset(store, scene, "coarse").read(grid(31, 17, 40, 40), "nearest", -9999)
    assert np.array_equal(found, whole[17:57, 31:71])


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_on_another_grid_it_is_warped_as_gdal_does(store, scene, local, resampling):
    (x,), (y,) = rasterio.warp.transform(CRS, "EPSG:3035", [CORNER[0] + 6000], [CORNER[1] - 6000])
    west, north = round(x, -2), round(y, -2)
    wanted = Grid(rasterio.crs.CRS.from_epsg(3035), Affine(50, 0, west, 0, -50, north), 40, 40)
    with rasterio.open(local(scene["assets"]["fine"])) as raster, WarpedVRT(
        raster, crs=wanted.crs, transform=wanted.transform, width=40, height=40, nodata=-9999, tolerance=0.001,
        resampling=rasterio.enums.Resampling[resampling],
    ) as warped:  # fmt: skip
        truth = warped.read(1)
    found = asset(store, scene, "fine").read(wanted, resampling, -9999)
    assert np.count_nonzero(truth != -9999) > 400
    assert np.array_equal(found, truth)


def test_the_header_names_grid_nodata_and_levels(store, scene):
    header = asset(store, scene, "fine").header
    assert (header.grid.width, header.grid.transform.c, header.nodata) == (512, CORNER[0], -9999)
    assert header.levels == (2, 4)


def test_a_coarse_look_reads_the_overview_alone(store, scene, local, server):
    file = asset(store, scene, "fine")
    assert file.header.levels
    server.requests.clear()
    window = Window(0, 0, 512, 512)
    file.prefetch([window], store.pool, level=2)
    found = file.read_coarse(window, 4)
    with rasterio.open(local(scene["assets"]["fine"]), overview_level=1) as overview:
        assert np.array_equal(found, overview.read(1))
    with rasterio.open(local(scene["assets"]["fine"])) as raster:
        least = int(raster.get_tag_item("BLOCK_SIZE_0_0", "TIFF", 1, 1))
    asked = sum(last - first + 1 for _, first, last in server.requests)
    assert asked <= least


def test_announced_blocks_are_fetched_whole_and_once(store, scene, server):
    file = asset(store, scene, "fine")
    wanted = grid(100, 100, 200, 200)
    file.prefetch([file.needed(wanted)], store.pool)
    file.read(wanted, "nearest", -9999)
    count = len(server.requests)
    file.read(grid(120, 130, 60, 60), "nearest", -9999)
    assert len(server.requests) == count


def test_what_is_needed_is_the_covered_window_only(store, scene):
    file = asset(store, scene, "coarse")
    assert file.needed(grid(31, 17, 40, 40)) == Window(15, 8, 21, 21)
    assert file.needed(grid(9000, 9000, 8, 8)) is None


def test_a_missing_file_is_named_without_its_signature(store, server):
    with pytest.raises(ReadFailure, match=r"/nowhere\.tif: the server answers 404$"):
        store.asset(f"{server.url}/nowhere.tif?sig=secret").header  # noqa: B018


def test_what_is_no_raster_is_named(store, server):
    (server.folder / "text.tif").write_text("not a raster")
    with pytest.raises(ReadFailure, match=r"text\.tif"):
        store.asset(f"{server.url}/text.tif").read(grid(0, 0, 4, 4), "nearest", math.nan)


def test_a_raster_without_a_crs_is_refused(store, tmp_path):
    path = tmp_path / "plain.tif"
    place = Affine(30, 0, 0, 0, -30, 0)
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", transform=place, **profile) as raster:
        raster.write(np.ones((1, 4, 4), np.uint8))
    with pytest.raises(ReadFailure, match="it has no CRS"):
        store.asset(str(path)).header  # noqa: B018
