#!/usr/bin/env python3
"""What chips from an archive cost: bytes, requests, time and memory, against the least that is possible.

    "$INSTAGEO_PYTHON" scripts/bench/chips.py [--folder FOLDER] [--only transfer memory] [--points 200]

Makes an archive of one HLS tile (three dates, six bands and Fmask, 3660 x 3660 pixels, COGs) in FOLDER, kept there for
the next run when it is given, and serves it over HTTP from a process of its own. Prints, for chips around points:

transfer: bytes over those of the distinct blocks that the chips touch (bar 1.1); requests over 1.3 x the blocks'
contiguous ranges + 2 a file (bar 1). speed: with 50 ms of latency a request, the time over that of bare rasterio, which
reads the same windows with the same number of threads (bar 1.3), and odc-stac for information. memory: peak of the
worker with 1,000 and with 10,000 points.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyogrio.raw
import rasterio
import shapely
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.windows import Window

ROOT = Path(__file__).resolve().parents[2]
BANDS = ("B02", "B03", "B04", "B8A", "B11", "B12")
MASK = "Fmask"
DAYS = ("2022-03-03", "2022-04-02", "2022-05-02")
LABEL_DAY = "2022-06-08"
SIZE, PIXEL_M, BLOCK = 3660, 30, 256
CORNER, CRS = (399_960, 5_700_000), "EPSG:32633"
LATENCY_S = 0.05
BYTES_BAR, REQUESTS_BAR, SPEED_BAR = 1.1, 1.3, 1.3
REQUESTS_A_FILE = 2
GAP = 16  # bytes: a COG puts 8 between two blocks that follow each other
GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES", "VSI_CACHE": True,
    "GDAL_HTTP_MULTIPLEX": "YES", "CPL_VSIL_CURL_CACHE_SIZE": 400_000_000, "GDAL_INGESTED_BYTES_AT_OPEN": 16384,
}  # fmt: skip
SERVER = runpy.run_path(str(ROOT / "tests" / "core" / "archive_server.py"))


def serve(folder: str, pipe: Connection) -> None:
    """Answer commands of the benchmark until it ends: a number is the latency, "log" asks for the requests since."""
    server = SERVER["RangeServer"](folder)
    pipe.send(server.url)
    while (command := pipe.recv()) is not None:
        if command == "log":
            found = list(server.requests)
            server.requests.clear()
            server.seen.clear()
            pipe.send(found)
        else:
            server.latency_s = command


class Served:
    """The archive's folder over HTTP, in a process of its own, so that it takes none of the reader's time."""

    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=serve, args=(str(folder), other), daemon=True)
        self._process.start()
        self.url = self._pipe.recv()

    def latency(self, seconds: float) -> None:
        self._pipe.send(seconds)

    def requests(self) -> list[tuple[str, int, int]]:
        """(path, first, last) since the last call."""
        self._pipe.send("log")
        return self._pipe.recv()

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join()


def make_archive(folder: Path) -> None:
    """One tile; kept when it is there."""
    if (folder / "items.json").exists():
        return
    archive = SERVER["Archive"](folder, "")
    rng = np.random.default_rng(0)
    for day in DAYS:
        clouds = np.kron(rng.random((61, 61)) < 0.15, np.ones((60, 60))).astype(np.uint8) << 1
        archive.add(
            f"HLS.S30.T33UVP.{day}", "HLSS30_2.0", f"{day}T10:20:31Z", BANDS, mask=(MASK, clouds), corner=CORNER,
            size=SIZE, nodata=-9999, block=BLOCK,
        )  # fmt: skip
    (folder / "items.json").write_text(json.dumps(archive.items))


def catalog(folder: Path, url: str, target: Path) -> str:
    """An item file whose links lead to `url`."""
    items = json.loads((folder / "items.json").read_text())
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = url + asset["href"]
    target.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return str(target)


def write_points(path: Path, count: int) -> str:
    """Points spread over the tile, in two classes."""
    rng = np.random.default_rng(count)
    places = rng.integers(0, SIZE, (count, 2))
    points = [
        shapely.Point(CORNER[0] + (c + 0.5) * PIXEL_M, CORNER[1] - (r + 0.5) * PIXEL_M) for c, r in places.tolist()
    ]
    pyogrio.raw.write(
        path, geometry=np.array([shapely.to_wkb(p) for p in points], object), field_data=[np.arange(count) % 2],
        fields=["kind"], geometry_type="Point", crs=CRS, layer="labels", driver="GPKG",
    )  # fmt: skip
    return str(path)


def job_of(points: str, items: str, output: Path, chip_size: int) -> Any:
    """The job of three masked dates for every point."""
    from instageo_plugin.core.contract.jobs import ArchiveChoice, CreateChipsJob

    choice = ArchiveChoice(
        catalog=items, timesteps=len(DAYS), month_start=True, offset_days=30, max_cloud=100.0, masks=("cloud",)
    )
    return CreateChipsJob(
        output=str(output), labels=points, class_field="kind", date=LABEL_DAY, source="stac", sensors=("hls",),
        archive=choice, chip_size=chip_size,
    )  # fmt: skip


def windows_of(output: Path) -> list[Window]:
    """Where the chips of a dataset lie in the tile."""
    from instageo_plugin.core.chips.dataset import open_dataset

    corner = Affine(PIXEL_M, 0, CORNER[0], 0, -PIXEL_M, CORNER[1])
    found = []
    for chip in open_dataset(output).chips:
        column, row = ~corner * (chip.transform[2], chip.transform[5])
        found.append(Window(round(column), round(row), chip.width, chip.height))
    return found


def files(folder: Path) -> list[str]:
    """Paths of the archive's files, relative to its folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.tif"))


def least(folder: Path, windows: list[Window]) -> tuple[int, int]:
    """Bytes of the distinct blocks under the windows in all files, and the number of their contiguous ranges."""
    size, ranges = 0, 0
    for name in files(folder):
        with rasterio.open(folder / name) as raster:
            spans = sorted(_blocks(raster, windows))
        size += sum(end - first for first, end in spans)
        ranges += sum(1 for before, span in zip([(0, -GAP - 1), *spans], spans) if span[0] - before[1] > GAP)
    return size, ranges


def _blocks(raster: DatasetReader, windows: list[Window]) -> set[tuple[int, int]]:
    found = set()
    for window in windows:
        right, bottom = (min(SIZE, int(v)) for v in (window.col_off + window.width, window.row_off + window.height))
        for row in range(int(window.row_off) // BLOCK, -(-bottom // BLOCK)):
            for column in range(int(window.col_off) // BLOCK, -(-right // BLOCK)):
                first = int(raster.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", 1))
                found.add((first, first + int(raster.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", 1))))
    return found


@contextmanager
def timed(times: dict[str, float], name: str) -> Iterator[None]:
    """Seconds of the body, into `times`."""
    start = time.perf_counter()
    yield
    times[name] = time.perf_counter() - start


def by_windows(url: str, names: list[str], windows: list[Window], threads: int) -> None:
    """Bare rasterio: every window of every file is a task, with one dataset a thread and file."""
    local = threading.local()

    def read(task: tuple[str, Window]) -> None:
        name, window = task
        opened = local.__dict__.setdefault("opened", {})
        if name not in opened:
            opened[name] = rasterio.open(f"/vsicurl/{url}/{name}?by=window")  # a name of its own in GDAL's cache
        opened[name].read(1, window=window)

    with rasterio.Env(**GDAL), ThreadPoolExecutor(threads, initializer=_in_env) as pool:
        list(pool.map(read, [(name, window) for name in names for window in windows]))


def by_files(url: str, names: list[str], windows: list[Window], threads: int) -> None:
    """Bare rasterio: every file is a task, its windows come one after the other."""

    def read(name: str) -> None:
        with rasterio.open(f"/vsicurl/{url}/{name}?by=file") as raster:
            for window in windows:
                raster.read(1, window=window)

    with rasterio.Env(**GDAL), ThreadPoolExecutor(threads, initializer=_in_env) as pool:
        list(pool.map(read, names))


def _in_env() -> None:
    rasterio.Env(**GDAL).__enter__()


def by_odc_stac(items: str, windows: list[Window], threads: int) -> None:
    """Every chip loaded by itself, all dates at once."""
    import odc.stac
    import pystac
    from odc.geo.geobox import GeoBox

    found = [pystac.Item.from_dict(one) for one in json.loads(Path(items).read_text())["features"]]
    odc.stac.configure_rio(cloud_defaults=True, **GDAL)
    corner = Affine(PIXEL_M, 0, CORNER[0], 0, -PIXEL_M, CORNER[1])

    def load(window: Window) -> None:
        place = corner * Affine.translation(window.col_off, window.row_off)
        geobox = GeoBox((int(window.height), int(window.width)), place, CRS)
        odc.stac.load(found, bands=[*BANDS, MASK], geobox=geobox, pool=None)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(load, windows))


def measure_transfer(folder: Path, served: Served, work: Path, count: int, chip_size: int) -> dict[str, float]:
    """Bytes, requests and times of `count` points."""
    from instageo_plugin.core.archive.assets import FETCHING_THREADS
    from instageo_plugin.core.chips.create import create_chips
    from instageo_plugin.core.reporting import SilentReporter

    items = catalog(folder, served.url, work / "items.json")
    output = work / "chips"
    job = job_of(write_points(work / "points.gpkg", count), items, output, chip_size)
    times: dict[str, float] = {}
    served.latency(LATENCY_S)
    served.requests()
    with timed(times, "chips"):
        create_chips(job, SilentReporter())
    asked = served.requests()
    windows = windows_of(output)
    for bare in (by_windows, by_files):
        with timed(times, bare.__name__):
            bare(served.url, files(folder), windows, FETCHING_THREADS)
        served.requests()
    fastest = min(times["by_windows"], times["by_files"])
    some = windows[: max(1, len(windows) // 5)]
    with timed(times, "odc"):
        by_odc_stac(items, some, FETCHING_THREADS)
    served.latency(0.0)
    size, ranges = least(folder, windows)
    got = sum(last - first + 1 for _, first, last in asked)
    allowed = REQUESTS_BAR * ranges + REQUESTS_A_FILE * len(files(folder))
    print(f"{count} points, {len(windows)} chips of {chip_size} pixels, {len(files(folder))} files, "
          f"{FETCHING_THREADS} threads, {LATENCY_S * 1000:.0f} ms a request")  # fmt: skip
    print(f"  bytes      {got / 1e6:8.1f} MB, blocks {size / 1e6:.1f} MB: {got / size:.3f} (bar {BYTES_BAR})")
    print(
        f"  requests   {len(asked):8d}, {ranges} ranges: {len(asked) / allowed:.3f} of 1.3 x ranges + 2 a file (bar 1)"
    )
    print(f"  time       {times['chips']:8.1f} s, bare rasterio {times['by_windows']:.1f} s window by window, "
          f"{times['by_files']:.1f} s file by file: {times['chips'] / fastest:.2f} (bar {SPEED_BAR})")  # fmt: skip
    speeds = len(windows) / times["chips"], len(some) / times["odc"]
    print(
        f"  chips/s    {speeds[0]:8.1f}, odc-stac {speeds[1]:.1f} on {len(some)} chips: {speeds[0] / speeds[1]:.1f} x"
    )
    return {"bytes": got / size, "requests": len(asked) / allowed, "time": times["chips"] / fastest}


def peak_of(job: Any, work: Path) -> tuple[float, float]:
    """Peak resident memory in MB and seconds of the worker's own command line."""
    from instageo_plugin.core.contract.jobs import job_to_plain
    from instageo_plugin.core.contract.launch import worker_command
    from instageo_plugin.core.contract.serial import to_json

    path = work / "job.json"
    path.write_text(to_json(job_to_plain(job)))
    start, peak = time.perf_counter(), 0
    with open(os.devnull, "w") as nothing:
        child = subprocess.Popen(worker_command(sys.executable, "run", str(path)), stdout=nothing, stderr=nothing)
        process = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.Error:
                break
            time.sleep(0.02)
    if child.wait():
        raise SystemExit("the worker failed")
    return peak / 1e6, time.perf_counter() - start


def measure_memory(folder: Path, served: Served, work: Path) -> dict[str, float]:
    """Peak memory of 1,000 and 10,000 points."""
    items = catalog(folder, served.url, work / "items.json")
    peaks = []
    for count in (1_000, 10_000):
        points = write_points(work / f"points{count}.gpkg", count)
        peak, seconds = peak_of(job_of(points, items, work / f"chips{count}", 32), work)
        served.requests()
        peaks.append(peak)
        print(f"  memory     {count:8d} points: peak {peak:.0f} MB, {seconds:.1f} s")
    print(f"  ratio      {peaks[1] / peaks[0]:8.2f}")
    return {"memory": peaks[1] / peaks[0]}


def main() -> int:
    """Exit status 1 when a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=Path, help="keep the archive here")
    options.add_argument("--only", nargs="+", choices=("transfer", "memory"), default=("transfer", "memory"))
    options.add_argument("--points", type=int, default=200)
    options.add_argument("--chip-size", type=int, default=128)
    chosen = options.parse_args()
    runpy.run_path(str(ROOT / "core" / "start.py"))  # registers the package
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary) / "archive"
        work = Path(temporary) / "work"
        for path in (folder, work):
            path.mkdir(parents=True, exist_ok=True)
        make_archive(folder)
        served = Served(folder)
        found: dict[str, float] = {}
        try:
            if "transfer" in chosen.only:
                found.update(measure_transfer(folder, served, work, chosen.points, chosen.chip_size))
            if "memory" in chosen.only:
                found.update(measure_memory(folder, served, work))
        finally:
            served.close()
    bars = {"bytes": BYTES_BAR, "requests": 1.0, "time": SPEED_BAR}
    return int(any(found.get(name, 0.0) > bar for name, bar in bars.items()))


if __name__ == "__main__":
    sys.exit(main())
