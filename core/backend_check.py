"""What the backend is and whether it works: versions against the lock, device, memory, disk, two small self-tests."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .contract.jobs import CheckBackendJob
from .contract.launch import PACKAGE_ROOT
from .contract.version import __version__
from .reporting import Reporter

LOCK = PACKAGE_ROOT / "resources" / "backend" / "lock-cpu.txt"
LEAST_FREE_DISK_GB = 5.0
LEAST_FREE_MEMORY_GB = 2.0
SETUP = "Run 'Set up backend' (instageo:setupbackend)."

_GB = 1e9


@dataclass(frozen=True)
class Problem:
    """What was found and its remedy; `broken`: the backend cannot do its work until it is solved."""

    message: str
    remedy: str
    broken: bool = True


@dataclass
class Findings:
    """What the checks fill in, in the order they are shown."""

    facts: dict[str, str] = field(default_factory=dict)
    packages: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    device: str = ""


def check_backend(job: CheckBackendJob, reporter: Reporter) -> dict[str, Any]:
    """Look at the backend this runs in, log a summary, write `job.report` if given.

    Outputs: `OK` (nothing found that keeps the backend from working), `DEVICE` (what jobs compute on with the device
    `auto`), `PROBLEMS` (their number, advice included), `REPORT` when asked for. The user's folder is shown as ~.
    """
    findings = Findings()
    checks: dict[str, Callable[[Findings], None]] = {
        "software": _software,
        "package versions": _packages,
        "memory": _memory,
        "disk": lambda found: _disk(found, Path(job.scratch or tempfile.gettempdir())),
        "PyTorch": _torch,
        "graphics card": _graphics,
        "GDAL and PROJ": _geodata,
    }
    for i, (name, check) in enumerate(checks.items()):
        reporter.progress(i / len(checks), f"Checking {name}")
        _run_check(name, check, findings)
    _log_summary(findings, reporter)
    outputs = {
        "OK": not any(problem.broken for problem in findings.problems),
        "DEVICE": findings.device,
        "PROBLEMS": len(findings.problems),
    }
    if job.report:
        _write_report(findings, job.report)
        outputs["REPORT"] = job.report
    reporter.progress(1.0, "Checked")
    return outputs


def redact(text: str) -> str:
    """`text` with the user's folder as ~, since reports are passed on."""
    home = os.path.expanduser("~")
    return text.replace(home, "~") if len(home) > 1 else text


def locked_versions(lock: str) -> dict[str, str]:
    """Package name to version of a lock's text.

    >>> locked_versions("# pinned\\ntorch==2.13.0+cpu\\n")
    {'torch': '2.13.0+cpu'}
    """
    lines = (line.partition("#")[0].strip() for line in lock.splitlines())
    pinned = (line.partition("==") for line in lines if "==" in line)
    return {name: version for name, _, version in pinned}


def _run_check(name: str, check: Callable[[Findings], None], findings: Findings) -> None:
    try:
        check(findings)
    except Exception as error:  # a check that fails is a finding, and the others are still to run
        findings.problems.append(Problem(f"{name}: {type(error).__name__}: {redact(str(error))}", SETUP))


def _software(findings: Findings) -> None:
    findings.facts["InstaGeo"] = __version__
    findings.facts["Python"] = f"{platform.python_version()} ({redact(sys.executable)})"
    findings.facts["System"] = platform.platform()
    if sys.prefix == sys.base_prefix:
        findings.problems.append(
            Problem("The backend is not an environment of its own; other packages may get in its way.", SETUP, False)
        )


def _packages(findings: Findings) -> None:
    if not LOCK.exists():  # installed as a library, where the installer decided
        return
    locked = locked_versions(LOCK.read_text(encoding="utf-8"))
    findings.packages = [(name, version, _installed(name)) for name, version in locked.items()]
    for name, version, installed in findings.packages:
        if not installed:
            findings.problems.append(Problem(f"{name} {version} is missing.", SETUP))
        elif _public(installed) != _public(version):
            found = f"{name} is {installed}; this version of InstaGeo was tested with {version}."
            findings.problems.append(Problem(found, SETUP, broken=False))


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _public(version: str) -> str:
    """The version without the build (+cpu, +cu130)."""
    return version.partition("+")[0]


def _memory(findings: Findings) -> None:
    import psutil

    memory = psutil.virtual_memory()
    findings.facts["Memory"] = f"{memory.total / _GB:.1f} GB, of which {memory.available / _GB:.1f} GB are free"
    if memory.available < LEAST_FREE_MEMORY_GB * _GB:
        findings.problems.append(
            Problem(
                f"Only {memory.available / _GB:.1f} GB of memory are free; jobs want {LEAST_FREE_MEMORY_GB:g} GB.",
                "Close other programs, or use small chips and batches.",
                broken=False,
            )
        )


def _disk(findings: Findings, scratch: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=scratch):
            free = shutil.disk_usage(scratch).free
    except OSError as error:
        message = f"The temporary folder {redact(str(scratch))} cannot be written ({error.strerror})."
        findings.problems.append(Problem(message, "Choose another in QGIS: Settings, Options, Processing, General."))
        return
    findings.facts["Disk"] = f"{free / _GB:.1f} GB free in {redact(str(scratch))}"
    if free < LEAST_FREE_DISK_GB * _GB:
        message = f"Only {free / _GB:.1f} GB are free in {redact(str(scratch))}; jobs want {LEAST_FREE_DISK_GB:g} GB."
        findings.problems.append(Problem(message, "Free some space there, or choose another temporary folder.", False))


def _torch(findings: Findings) -> None:
    processor = _processor()
    findings.device = processor["name"]
    findings.facts["Processor"] = f"{processor['name']}, {os.cpu_count()} cores"
    findings.facts["Instructions"] = processor["instructions"] or "not known"
    import torch

    findings.facts["Threads"] = str(torch.get_num_threads())
    findings.facts["PyTorch"] = f"{torch.__version__} ({_build(torch)})"
    left = torch.arange(64, dtype=torch.float32).reshape(8, 8) / 8
    product = float((left @ left.T).sum())
    # Sum over columns of (sum of column)^2 = sum_j ((224 + 8 j) / 8)^2 = sum_j (28 + j)^2 for j = 0..7.
    if abs(product - 7980.0) > 1e-2:
        findings.problems.append(Problem(f"PyTorch computed {product:g} in place of 7980.", SETUP))


def _build(torch: Any) -> str:
    return f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"


def _processor() -> dict[str, str]:
    """Name and the instruction sets that matter here: AVX-512, bfloat16 and AMX make bf16 fast on a CPU."""
    facts = dict(_linux_processor())
    name = facts.get("model name") or platform.processor() or platform.machine()
    flags = facts.get("flags", "").split()
    shown = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8") if flag in flags]
    return {"name": name, "instructions": " ".join(shown)}


def _linux_processor() -> Iterator[tuple[str, str]]:
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def _graphics(findings: Findings) -> None:
    import torch

    card = bool(shutil.which("nvidia-smi"))
    if torch.cuda.is_available():
        _cuda_devices(findings, torch)
    elif torch.backends.mps.is_available():
        findings.device = "Apple GPU (mps)"
        findings.facts["GPU"] = findings.device
    else:
        findings.facts["GPU"] = "an NVIDIA driver is installed, but not used" if card else "none in use"
        findings.problems.extend(_why_no_cuda(card, bool(torch.version.cuda)))


def _cuda_devices(findings: Findings, torch: Any) -> None:
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    findings.facts["GPU"] = "; ".join(f"{card.name}, {card.total_memory / _GB:.0f} GB" for card in cards)
    findings.device = cards[0].name
    square = torch.full((4, 4), 0.5, device="cuda")
    if float((square @ square).sum()) != 16.0:
        findings.problems.append(Problem("The GPU computed a wrong product.", "Update its driver, then check again."))


def _why_no_cuda(card: bool, cuda_build: bool) -> Iterator[Problem]:
    if card and not cuda_build:
        remedy = "To use the NVIDIA GPU, run 'Set up backend' (instageo:setupbackend) with COMPUTE cuda."
        yield Problem("The backend is the CPU build, although there is an NVIDIA driver.", remedy, broken=False)
    if cuda_build:
        remedy = "Update the NVIDIA driver, or run 'Set up backend' (instageo:setupbackend) with COMPUTE cpu."
        yield Problem("The backend is the CUDA build, but PyTorch sees no GPU.", remedy, broken=False)


def _geodata(findings: Findings) -> None:
    import pyproj
    import rasterio

    findings.facts["GDAL"] = f"{rasterio.__gdal_version__} in rasterio {rasterio.__version__}"
    findings.facts["PROJ"] = f"{rasterio.__proj_version__} in rasterio, {pyproj.proj_version_str} in pyproj"
    findings.facts["PROJ data"] = redact(pyproj.datadir.get_data_dir())
    for library, (east, north) in {"rasterio": _point_by_rasterio(), "pyproj": _point_by_pyproj()}.items():
        if abs(east - 500000) > 0.01 or abs(north) > 0.01:
            findings.problems.append(Problem(f"{library} projects wrongly: ({east:.2f}, {north:.2f}).", SETUP))
    if not _reprojects():
        findings.problems.append(Problem("rasterio reprojects a raster wrongly.", SETUP))


# On the central meridian of UTM zone 33 and the equator: easting 500 000 m, northing 0 by definition of the zone.
_LONGITUDE, _LATITUDE, _UTM = 15.0, 0.0, "EPSG:32633"


def _point_by_rasterio() -> tuple[float, float]:
    from rasterio.warp import transform

    (east,), (north,) = transform("EPSG:4326", _UTM, [_LONGITUDE], [_LATITUDE])
    return east, north


def _point_by_pyproj() -> tuple[float, float]:
    from pyproj import Transformer

    east, north = Transformer.from_crs("EPSG:4326", _UTM, always_xy=True).transform(_LONGITUDE, _LATITUDE)
    return east, north


def _reprojects() -> bool:
    """A raster that is 7 everywhere is 7 in the middle of another CRS too."""
    import numpy as np
    from rasterio.transform import from_origin
    from rasterio.warp import reproject

    target = np.zeros((4, 4), np.uint8)
    reproject(
        np.full((20, 20), 7, np.uint8),
        target,
        src_transform=from_origin(14.9, 0.1, 0.01, 0.01),
        src_crs="EPSG:4326",
        dst_transform=from_origin(499800, 200, 100, 100),
        dst_crs=_UTM,
    )
    return bool((target == 7).all())


def _log_summary(findings: Findings, reporter: Reporter) -> None:
    for name, fact in findings.facts.items():
        reporter.log(f"{name}: {fact}")
    for problem in findings.problems:
        reporter.log(f"{problem.message} {problem.remedy}", "error" if problem.broken else "warning")
    reporter.log(f"Jobs compute on: {findings.device or 'nothing'}")
    if not findings.problems:
        reporter.log("The backend is in order.")


def _write_report(findings: Findings, path: str) -> None:
    from .report import Page

    page = Page("InstaGeo backend")
    broken = [problem for problem in findings.problems if problem.broken]
    page.text("The backend does not work yet." if broken else f"The backend works. It computes on: {findings.device}.")
    for problem in findings.problems:
        page.warning(f"{problem.message} {problem.remedy}")
    page.facts(findings.facts)
    page.heading("Packages")
    page.table(("package", "tested with", "installed"), findings.packages)
    page.write(path)
