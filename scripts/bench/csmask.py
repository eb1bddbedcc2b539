"""The csmask benchmark: clear, cloud and cloud shadow in two Landsat scenes, learned left and tested right.

Each scene is cut in two halves of 256 columns. Chips of the left half, split into train and val by blocks, train the
backbone; its map of the right half is compared with the labels there, which nothing has seen before. Every step is
the product's own job with its defaults. Run it with the backend's Python:

    python scripts/bench/csmask.py --data ../shared/data/csmask [--backbones unet pixels] [--scenes landsat5]

It ends with an error when the mean over the seeds falls short of the bar of the U-Net, or a run lasts too long.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

ROOT = Path(__file__).resolve().parents[2]
BARS = {"landsat5": 0.80, "landsat7": 0.68}  # mIoU of the U-Net, mean of three seeds
LONGEST_S = 600
HALF = 256  # columns
BLOCK_PX = 128  # side of the blocks that train and val are made of
PIXEL_M = 30


def main() -> int:
    """Run the benchmark; the exit status says whether the bars are met."""
    options = parse()
    runpy.run_path(str(ROOT / "core" / "start.py"))  # registers the package
    missed = False
    for scene in options.scenes:
        with tempfile.TemporaryDirectory(prefix="instageo_csmask_") as scratch:
            halves = cut(options.data, scene, Path(scratch))
            for backbone in options.backbones:
                missed |= measure(options, scene, backbone, halves)
    return int(missed)


def parse() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "csmask")
    parser.add_argument("--scenes", nargs="+", default=list(BARS), choices=list(BARS))
    parser.add_argument("--backbones", nargs="+", default=["unet"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--chip-size", type=int, default=64, help="pixels")
    return parser.parse_args()


def cut(data: Path, scene: str, folder: Path) -> dict[str, Path]:
    """Write the halves of imagery and labels; returns their paths, such as `left` and `left_labels`."""
    paths = {}
    for suffix in ("", "_labels"):
        with rasterio.open(data / f"{scene}{suffix}.tif") as raster:
            for side, column in (("left", 0), ("right", HALF)):
                window = Window(column, 0, HALF, raster.height)
                profile = {**raster.profile, "width": HALF, "transform": window_transform(window, raster.transform)}
                paths[side + suffix] = folder / f"{scene}_{side}{suffix}.tif"
                with rasterio.open(paths[side + suffix], "w", **profile) as part:
                    part.write(raster.read(window=window))
                    part.descriptions = raster.descriptions
    return paths


def measure(options: argparse.Namespace, scene: str, backbone: str, halves: dict[str, Path]) -> bool:
    """Train and test with every seed; returns whether a bar is missed."""
    scores, slowest = [], 0.0
    for seed in options.seeds:
        miou, figures, seconds = train_and_test(options, backbone, halves, seed)
        scores.append(miou)
        slowest = max(slowest, seconds)
        print(f"{scene} {backbone} seed {seed}: mIoU {miou:.4f} ({figures}), {seconds:.0f} s", flush=True)
    mean, bar = float(np.mean(scores)), BARS[scene] if backbone == "unet" else 0.0
    print(f"{scene} {backbone} mean of {len(scores)}: {mean:.4f} (at least {bar:.2f} is wanted)", flush=True)
    return mean < bar or slowest > LONGEST_S


def train_and_test(
    options: argparse.Namespace, backbone: str, halves: dict[str, Path], seed: int
) -> tuple[float, str, float]:
    """mIoU on the right half, words about the training, and the seconds it took."""
    folder = halves["left"].parent
    dataset, model = str(folder / "chips"), str(folder / f"{backbone}.safetensors")
    run(
        kind="createchips",
        output=dataset,
        rasters=[str(halves["left"])],
        label_rasters=[str(halves["left_labels"])],
        chip_size=options.chip_size,
    )
    run(kind="splitchips", dataset=dataset, block_size=float(BLOCK_PX * PIXEL_M), val=20.0, test=0.0, seed=seed)
    started = time.monotonic()
    trained = run(kind="finetune", dataset=dataset, output=model, backbone=backbone, seed=seed)
    seconds = time.monotonic() - started
    prediction = str(folder / "map.tif")
    run(kind="predictraster", rasters=[str(halves["right"])], model=model, output=prediction)
    tested = run(kind="evaluate", prediction=prediction, reference=str(halves["right_labels"]))
    figures = f"{trained['MIOU']:.4f} on val, {trained['EPOCHS_RUN']} epochs"
    return float(str(tested["MIOU"])), figures, seconds


def run(**fields: object) -> dict[str, object]:
    """Do one job, given as it stands in a job file; returns its outputs."""
    from instageo_plugin.core.contract.jobs import job_from_plain
    from instageo_plugin.core.handlers import run_job
    from instageo_plugin.core.reporting import SilentReporter

    return run_job(job_from_plain(fields), SilentReporter())


if __name__ == "__main__":
    sys.exit(main())
