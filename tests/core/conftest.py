"""Fixtures for several packages of core."""

import dataclasses
import json
import runpy
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import rasterio.warp
import shapely
from affine import Affine
from instageo_plugin.core.chips.index import ChipRow, write_index
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.dataset import DatasetSpec, InputSpec
from instageo_plugin.core.contract.sensors import SENSORS
from instageo_plugin.core.contract.serial import to_json

UTM = Affine(10, 0, 731810, 0, -10, 5694090)


@pytest.fixture
def write_dataset(tmp_path):
    """Writes a chip dataset from label arrays (-1 = no label) and, optionally, images of (T*C, H, W).

    Several arrays are several scenes, each with its own CRS, transform and chip size. `starts` gives the first
    column and row of the chips; by default they tile the scene.
    """

    def write(labels, *, chip_size, images=None, crs="EPSG:32632", transform=UTM, starts=None, name="dataset", bands=1):
        scenes = labels if isinstance(labels, list) else [labels]
        sizes, systems, transforms = (_spread(v, len(scenes)) for v in (chip_size, crs, transform))
        images = _spread(images, len(scenes))
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        (folder / "labels").mkdir()
        rows = []
        for k, label in enumerate(scenes):
            pixels = images[k] if images[k] is not None else np.zeros((bands, *label.shape), dtype=np.float32)
            for row, column in _cells(label.shape, sizes[k], starts):
                window = np.s_[row : row + sizes[k], column : column + sizes[k]]
                moved = transforms[k] * Affine.translation(column, row)
                chip = f"s{k}_{row}_{column}"
                part = pixels[(slice(None), *window)]
                rows.append(_write_chip(folder, chip, label[window], part, systems[k], moved))
        values = sorted({int(v) for label in scenes for v in np.unique(label) if v >= 0})
        _write_spec(folder, values, len(pixels), sizes[0], transforms[0])
        write_index(folder / "chips.gpkg", rows, [])
        return folder

    return write


def _spread(value, count):
    return list(value) if isinstance(value, (list, tuple)) and not isinstance(value, Affine) else [value] * count


def _cells(shape, size, starts):
    rows, columns = (starts or range(0, length - size + 1, size) for length in shape)
    return [(r, c) for r in rows for c in columns if r + size <= shape[0] and c + size <= shape[1]]


def _write_chip(folder, chip, label, pixels, crs, transform):
    height, width = label.shape
    paths = f"images/{chip}_custom.tif", f"labels/{chip}.tif"
    for path, data in zip(paths, (pixels.astype(np.float32), label[None].astype(np.int16))):
        profile = {"width": width, "height": height, "count": len(data), "crs": crs, "transform": transform}
        with rasterio.open(folder / path, "w", driver="GTiff", dtype=data.dtype, **profile) as raster:
            raster.write(data)
    corners = [transform * c for c in ((0, 0), (width, 0), (width, height), (0, height))]
    lonlat = zip(*rasterio.warp.transform(crs, "EPSG:4326", *zip(*corners)))
    values, counts = np.unique(label[label >= 0], return_counts=True)
    return ChipRow(
        chip, chip.split("_")[0], crs, tuple(transform[:6]), width, height, {"custom": paths[0]}, {"custom": []},
        paths[1], dict(zip(values.tolist(), counts.tolist())), 100.0, 100.0, shapely.Polygon(lonlat),
    )  # fmt: skip


def _write_spec(folder, values, bands, chip_size, transform):
    spec = DatasetSpec(
        inputs=(InputSpec("custom", tuple(f"b{i + 1}" for i in range(bands)), "float32", nodata="nan"),),
        task="segmentation",
        class_table=ClassTable(tuple(ClassEntry(str(v), v, f"class {v}") for v in values)),
        chip_size=chip_size,
        resolution=(transform.a, -transform.e),
        resolution_unit="metre",
    )
    (folder / "dataset.json").write_text(to_json(spec), encoding="utf-8")


@pytest.fixture
def write_raster(tmp_path):
    """Writes (bands, H, W) or (H, W) as a GeoTIFF and returns its path."""

    def write(name, pixels, *, transform=UTM, crs="EPSG:32632", nodata=None, names=(), tags=None, colors=None):
        stacked = np.atleast_3d(pixels.T).T if pixels.ndim == 2 else pixels
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        count, height, width = stacked.shape
        profile = {"width": width, "height": height, "count": count, "dtype": stacked.dtype, "nodata": nodata}
        with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **profile) as raster:
            raster.write(stacked)
            if names:
                raster.descriptions = tuple(names)
            raster.update_tags(**(tags or {}))
            if colors:
                raster.write_colormap(1, colors)
        return str(path)

    return write


@pytest.fixture
def write_vector(tmp_path):
    """Writes geometries and one field `name=values` as a layer of a new file and returns its path."""

    def write(name, geometries, *, crs="EPSG:32632", layer="labels", geometry_type=None, **fields):
        path = tmp_path / name
        kinds = {g.geom_type for g in geometries if g is not None}
        pyogrio.raw.write(
            path,
            geometry=np.array([None if g is None else shapely.to_wkb(g) for g in geometries], dtype=object),
            field_data=[np.asarray(v) for v in fields.values()],
            fields=list(fields),
            geometry_type=geometry_type or (kinds.pop() if len(kinds) == 1 else "Unknown"),
            crs=crs,
            **({"layer": layer} if str(name).endswith(".gpkg") else {}),
        )
        return str(path)

    return write


@pytest.fixture(scope="session")
def start_stac(tmp_path_factory):
    """Starts a real STAC API with items by collection; gives its URL."""
    servers = []

    def start(items):
        folder = tmp_path_factory.mktemp("stac")
        files = []
        for name, found in items.items():
            for suffix, content in (
                ("collection", collection(name)),
                ("items", {"type": "FeatureCollection", "features": found}),
            ):
                files.append(folder / f"{name}_{suffix}.json")
                files[-1].write_text(json.dumps(content))
        rustac = shutil.which("rustac", path=str(Path(sys.executable).parent))
        address = f"127.0.0.1:{free_port()}"
        servers.append(subprocess.Popen([rustac, "serve", "-a", address, *map(str, files)], stdout=subprocess.DEVNULL))
        wait_for(f"http://{address}/")
        return f"http://{address}"

    yield start
    for server in servers:
        server.terminate()
        server.wait(10)


@pytest.fixture
def serve_stac(start_stac):
    """Starts a real STAC API with a list of items; gives its URL."""

    def serve(items):
        found = {}
        for item in items:
            found.setdefault(item["collection"], []).append(item)
        return start_stac(found)

    return serve


def collection(name):
    """A collection of the whole globe and all times."""
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1980-01-01T00:00:00Z", None]]}}
    return {"type": "Collection", "stac_version": "1.0.0", "id": name, "description": name, "license": "other",
            "links": [], "extent": extent}  # fmt: skip


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(url, patience_s=20):
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


SERVER = runpy.run_path(str(Path(__file__).resolve().with_name("archive_server.py")))


@pytest.fixture
def server(tmp_path):
    """A server of the folder `served`."""
    folder = tmp_path / "served"
    folder.mkdir()
    found = SERVER["RangeServer"](folder)
    yield found
    found.close()


@pytest.fixture
def archive(server):
    """Writes scenes that the server serves."""
    return SERVER["Archive"](server.folder, server.url)


@pytest.fixture
def coded_at():
    """(H, W) values that a scene's band has on a grid."""
    return SERVER["coded"]


MONTHS = [f"{2020 + (10 + i) // 12}-{(10 + i) % 12 + 1:02d}-01" for i in range(12)]  # of WorldCereal's cube
S2_OF_CUBE = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")


def _cube(folder, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(f"netcdf:{folder}/worldcereal_preprocessed_inputs.nc:{name}") as raster:
            pixels = raster.read().astype(np.float64)
            return np.where(pixels == 65535, np.nan, pixels), raster.transform


@pytest.fixture(scope="session")
def worldcereal_chips(shared_data, tmp_path_factory):
    """25 chips of 16 x 16 pixels and 12 months of Sentinel-2, Sentinel-1, weather and elevation in Belgium, labelled
    by WorldCereal's own cropland map (a model's output, not truth); columns of chips are train, val and test."""
    source = shared_data / "worldcereal"
    cube = {name: _cube(source, f"S2-L2A-{name}")[0] for name in S2_OF_CUBE}
    radar = [10 ** ((20 * np.log10(_cube(source, f"S1-SIGMA0-{name}")[0]) - 83) / 10) for name in ("VV", "VH")]
    weather = [_cube(source, "AGERA5-TMEAN")[0] / 100 - 273.15, _cube(source, "AGERA5-PRECIP")[0] / 100]
    elevation, transform = _cube(source, "elevation")
    with rasterio.open(source / "cropland-croptype_2020-11-01_2021-10-31.tif") as raster:
        first = round((raster.transform.f - transform.f) / 10)
        crops = raster.read(1)[first:]
    reflectance, climate = SENSORS["sentinel2"].units, SENSORS["weather"].units
    stacked = [np.stack(list(bands), axis=1) for bands in (cube.values(), radar, weather)]
    specs = (
        InputSpec("sentinel2", S2_OF_CUBE, "int16", reflectance, -9999, 12),
        InputSpec("sentinel1", ("vv", "vh"), "float32", "linear power", "nan", 12),
        InputSpec("weather", ("tavg", "prcp"), "float32", climate, "nan", 12),
        InputSpec("dem", ("elevation",), "float32", "metres", "nan"),
    )
    inputs = {spec.sensor: (one, spec) for one, spec in zip((*stacked, elevation[:1, None]), specs)}
    folder = tmp_path_factory.mktemp("worldcereal")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    rows = []
    for row in range(0, 80, 16):
        for number, column in enumerate(range(0, 80, 16)):
            window = np.s_[row : row + 16, column : column + 16]
            moved = transform * Affine.translation(column, row)
            chip = _write_chip(folder, f"s_{row}_{column}", crops[window], np.zeros((1, 16, 16)), "EPSG:32631", moved)
            images = {}
            for name, (pixels, spec) in inputs.items():
                images[name] = f"images/{chip.chip}_{name}.tif"
                part = pixels[(slice(None), slice(None), *window)].reshape(-1, 16, 16)
                data = np.nan_to_num(part, nan=-9999) if spec.dtype == "int16" else part
                profile = {"width": 16, "height": 16, "count": len(data), "crs": "EPSG:32631", "transform": moved}
                with rasterio.open(folder / images[name], "w", driver="GTiff", dtype=spec.dtype, **profile) as raster:
                    raster.write(data.astype(spec.dtype))
            dates = {name: [] if name == "dem" else MONTHS for name in inputs}
            split = ("train", "train", "train", "val", "test")[number]
            rows.append(dataclasses.replace(chip, images=images, dates=dates, split=split))
    _write_spec(folder, [0, 1], 1, 16, transform)
    spec = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    spec["inputs"] = json.loads(to_json([one for _, one in inputs.values()]))
    (folder / "dataset.json").write_text(json.dumps(spec), encoding="utf-8")
    write_index(folder / "chips.gpkg", rows, [])
    return folder
