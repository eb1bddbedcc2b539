import numpy as np
import pytest
import rasterio
from affine import Affine
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.errors import DISK, InstaGeoError
from instageo_plugin.core.imagery.cog import Draft, class_layout, percent_layout
from instageo_plugin.core.imagery.grid import Grid

TABLE = ClassTable((ClassEntry("w", 1, "Wald & 'Forst' <hoch>", "#112233"), ClassEntry("s", 2, "湖", "#aabbcc")))


def class_grid(width, height):
    return Grid(rasterio.crs.CRS.from_epsg(32632), Affine(10, 0, 731810, 0, -10, 5694090), width, height)


def make_cog(folder, pixels, table=TABLE):
    layout = class_layout(class_grid(*pixels.shape[::-1]), table)
    with Draft(folder / "draft.raw", layout) as draft:
        for top in range(0, len(pixels), 300):
            draft.write(top, 0, pixels[None, top : top + 300, :512])
            draft.write(top, 512, pixels[None, top : top + 300, 512:])
        draft.finish(folder / "cog.tif")
    return folder / "cog.tif"


@pytest.fixture
def stripes():
    """Classes 1 and 2 in alternating columns: averaging them would show."""
    pixels = np.ones((700, 1200), dtype=np.uint8)
    pixels[:, ::2] = 2
    pixels[:40] = 255
    return pixels


def test_layout_is_that_of_a_cog(tmp_path, stripes):
    path = make_cog(tmp_path, stripes)
    with rasterio.open(path) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.block_shapes == [(512, 512)]
        assert raster.compression.name == "deflate"
        assert raster.overviews(1) == [2, 4]
        assert (raster.read(1) == stripes).all()
        assert set(np.unique(raster.read(1, out_shape=(350, 600)))) <= {1, 2, 255}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cog.tif"], "all in the file itself, and no draft left"
    assert b"GDAL_STRUCTURAL_METADATA" in path.read_bytes()[:1000], "header first"


def test_names_and_colours_survive(tmp_path, stripes):
    with rasterio.open(make_cog(tmp_path, stripes)) as raster:
        assert raster.tags(1) == {"CLASS_1": "Wald & 'Forst' <hoch>", "CLASS_2": "湖"}
        assert raster.colorinterp[0].name == "palette"
        assert raster.colormap(1)[2] == (0xAA, 0xBB, 0xCC, 255)
        assert raster.colormap(1)[255][3] == 0, "nodata is transparent"
        assert raster.descriptions == ("class",)


def test_large_class_values_need_16_bits(tmp_path):
    table = ClassTable((ClassEntry("a", 0, "A"), ClassEntry("b", 255, "B", "#010203")))
    pixels = np.full((20, 30), 255)
    pixels[3, 4] = 65535
    with rasterio.open(make_cog(tmp_path, pixels, table)) as raster:
        assert raster.dtypes == ("uint16",)
        assert raster.nodata == 65535
        assert raster.colormap(1)[255] == (1, 2, 3, 255)
        assert (raster.read(1) == pixels).all()
    assert not (tmp_path / "cog.tif.aux.xml").exists()
    assert class_layout(class_grid(1, 1), ClassTable((ClassEntry("b", 254, "B"),))).dtype == "uint8"


def test_percent_bands_are_averaged_in_overviews(tmp_path):
    values = np.zeros((2, 600, 600), dtype=np.uint8)
    values[0, :, ::2] = 100
    values[1] = 40
    values[1, :300] = 255
    with Draft(tmp_path / "draft.raw", percent_layout(class_grid(600, 600), ("Wald", "湖"))) as draft:
        draft.write(0, 0, values)
        draft.finish(tmp_path / "cog.tif")
    with rasterio.open(tmp_path / "cog.tif") as raster:
        assert raster.descriptions == ("Wald", "湖")
        assert raster.units == ("percent", "percent")
        assert (raster.read() == values).all()
        small = raster.read(out_shape=(2, 300, 300))
    assert (small[0] == 50).all()
    assert (small[1] == np.where(np.arange(300) < 150, 255, 40)[:, None]).all(), "nodata takes no part"


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035", "ESRI:54008", "EPSG:2056"])
def test_grid_is_kept_to_the_last_bit(tmp_path, crs):
    grid = Grid(rasterio.crs.CRS.from_user_input(crs), Affine(1 / 3, 0, 12.1, 0, -1 / 7, 51.7), 30, 20)
    with Draft(tmp_path / "draft.raw", class_layout(grid, TABLE)) as draft:
        draft.write(0, 0, np.ones((1, 20, 30)))
        draft.finish(tmp_path / "cog.tif")
    with rasterio.open(tmp_path / "cog.tif") as raster:
        assert raster.crs == grid.crs
        assert raster.transform == grid.transform


def test_cog_that_was_cut_short_is_noticed(tmp_path, monkeypatch, stripes):
    """GDAL closes a file on a full disk without a word."""
    whole = rasterio.shutil.copy

    def cut_short(source, target, **options):
        whole(source, target, **options)
        target.write_bytes(target.read_bytes()[:-500])

    monkeypatch.setattr(rasterio.shutil, "copy", cut_short)
    with pytest.raises(InstaGeoError, match="cannot take the output") as caught:
        make_cog(tmp_path, stripes)
    assert caught.value.code == DISK
    assert not list(tmp_path.glob("draft*"))
