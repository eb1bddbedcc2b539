"""The demo's landscape behaves like a real one."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

PARTS = Path(__file__).resolve().parents[2] / "scripts" / "demo_parts"


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("demo_sample", PARTS / "sample.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo_sample"] = module
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("sample")
    module.make_sample(folder)
    return module, folder


def _ndvi(folder, day):
    with rasterio.open(folder / f"scene_{day}.tif") as scene, rasterio.open(folder / f"mask_{day}.tif") as mask:
        red, nir = scene.read(3).astype(float), scene.read(4).astype(float)
        return np.where(mask.read(1) == 0, (nir - red) / np.maximum(nir + red, 1), np.nan)


def test_crops_green_up_in_their_season(sample):
    module, folder = sample
    spring, early, late = (_ndvi(folder, day) for day in module.DATES)
    with rasterio.open(folder / "truth.tif") as raster:
        truth = raster.read(1)
    names = [cover.name for cover in module.COVERS]
    wheat, maize = truth == names.index("Winter wheat"), truth == names.index("Maize")
    assert np.nanmedian(early[wheat]) > np.nanmedian(late[wheat]) + 0.3, "wheat is ripe in August"
    assert np.nanmedian(late[maize]) > np.nanmedian(spring[maize]) + 0.3, "maize is sown after April"


def test_clouds_cover_some_of_every_scene_and_shadows_are_dark(sample):
    module, folder = sample
    for day in module.DATES:
        with rasterio.open(folder / f"mask_{day}.tif") as raster:
            mask = raster.read(1)
        with rasterio.open(folder / f"scene_{day}.tif") as raster:
            nir = raster.read(4)
        assert 0.02 < (mask == 1).mean() < 0.3
        assert np.median(nir[mask == 2]) < np.median(nir[mask == 0]) < np.median(nir[mask == 1])


def test_truth_has_the_values_that_text_classes_get(sample):
    names = [cover.name for cover in sample[0].COVERS]
    assert names == sorted(names)


def test_the_sample_is_the_same_every_time(sample, tmp_path):
    module, folder = sample
    module.make_sample(tmp_path)
    for path in folder.glob("*.tif"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
