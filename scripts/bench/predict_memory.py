#!/usr/bin/env python3
"""Peak memory and speed of predicting large rasters with the small U-Net, through the real worker code.

    "$INSTAGEO_PYTHON" scripts/bench/predict_memory.py [--sizes 5000 10000] [--folder FOLDER] [--backbone unet]

Makes a tiled, compressed int16 raster of six bands for each size (in FOLDER, kept there for the next run when it is
given), predicts each in a process of its own, and prints peak resident memory, pixels a second and the ratio of the
memories. The bar: under 1.5 GB, and no growth with the raster.
"""

from __future__ import annotations

import argparse
import json
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import rasterio
from affine import Affine
from rasterio.windows import Window

ROOT = Path(__file__).resolve().parents[2]
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
CHIP_SIZE = 256
BAR_GB = 1.5


def make_raster(path: Path, size: int) -> None:
    """Smooth patches with noise, so that it compresses about as imagery does."""
    if path.exists():
        return
    rng = np.random.default_rng(size)
    profile = {"driver": "GTiff", "width": size, "height": size, "count": len(BANDS), "dtype": "int16", "nodata": -9999,
               "crs": "EPSG:32632", "transform": Affine(30, 0, 400_000, 0, -30, 5_400_000), "tiled": True,
               "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1, "predictor": 2}  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.descriptions = BANDS
        for row in range(0, size, 512):
            for col in range(0, size, 512):
                height, width = min(512, size - row), min(512, size - col)
                patches = np.kron(rng.integers(200, 4000, (len(BANDS), 16, 16)), np.ones((32, 32)))[:, :height, :width]
                pixels = patches + rng.normal(0, 60, (len(BANDS), height, width))
                raster.write(pixels.astype(np.int16), window=Window(col, row, width, height))


def make_model(path: Path, backbone: str) -> None:
    """An untrained network with its card."""
    import torch
    from instageo_plugin.core.contract.card import PATCH, ModelCard, Normalisation
    from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
    from instageo_plugin.core.contract.dataset import REFLECTANCE, InputSpec
    from instageo_plugin.core.models.modelfile import save_model
    from instageo_plugin.core.models.zoo import architecture, build_module

    inputs = (InputSpec("custom", BANDS, "int16", REFLECTANCE, -9999),)
    table = ClassTable(tuple(ClassEntry(str(i), i, f"class {i}") for i in range(4)))
    constants = dict(architecture(backbone).constants)
    card = ModelCard(
        "untrained", PATCH, backbone, constants, inputs, (Normalisation((2000.0,) * 6, (1000.0,) * 6),), "segmentation",
        table, CHIP_SIZE, (30.0, 30.0), "metre",
    )  # fmt: skip
    torch.manual_seed(0)
    save_model(path, card, build_module(backbone, constants, inputs, len(table.classes)).state_dict())


def measure(raster: Path, model: Path, output: Path) -> dict:
    """Run the worker as QGIS does, and ask the system for the memory it needed at most."""
    from instageo_plugin.core.contract.events import PROTOCOL_VERSION, REQUEST, RESULT
    from instageo_plugin.core.contract.jobs import PredictRasterJob, job_to_plain
    from instageo_plugin.core.contract.launch import process_environment, worker_command

    job = PredictRasterJob(rasters=(str(raster),), model=str(model), output=str(output))
    process = psutil.Popen(
        worker_command(sys.executable), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=process_environment(),
    )  # fmt: skip
    process.stdin.write(json.dumps({"event": REQUEST, "protocol": PROTOCOL_VERSION, "job": job_to_plain(job)}) + "\n")
    process.stdin.flush()
    peak, result = 0, None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == RESULT:
            result = event
        elif event["event"] in ("log", "error"):
            print("  ", event.get("message"))
        peak = max(peak, peak_bytes(process))
    process.stdin.close()
    if process.wait() or result is None:
        sys.exit("the worker failed")
    return {**result["outputs"], "PEAK_GB": peak / 1e9}


def peak_bytes(process: psutil.Process) -> int:
    """Largest resident memory so far; between lines of the worker where the system does not keep it."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
    except OSError:
        try:
            return process.memory_info().rss
        except psutil.Error:
            return 0


def main() -> None:
    """Make, predict, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5000, 10000], help="pixels a side")
    parser.add_argument("--folder", type=Path, help="where the rasters are made and kept")
    parser.add_argument("--backbone", default="unet")
    options = parser.parse_args()
    runpy.run_path(str(ROOT / "core" / "start.py"))  # registers the package
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        model = folder / f"{options.backbone}.safetensors"
        make_model(model, options.backbone)
        peaks = []
        for size in options.sizes:
            raster = folder / f"raster_{size}.tif"
            make_raster(raster, size)
            figures = measure(raster, model, folder / f"map_{size}.tif")
            peaks.append(figures["PEAK_GB"])
            print(
                f"{size} x {size} x {len(BANDS)}: peak {figures['PEAK_GB']:.3f} GB, {figures['SECONDS']:.0f} s, "
                f"{figures['PIXELS_PER_SECOND']:,.0f} pixels/s",
                flush=True,
            )
    verdict = "met" if max(peaks) < BAR_GB else "MISSED"
    print(f"memory, last to first: {peaks[-1] / peaks[0]:.2f}; bar of {BAR_GB} GB: {verdict}")


if __name__ == "__main__":
    main()
