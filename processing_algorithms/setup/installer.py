"""Makes the managed environment: whole or not at all, and never in place of a working one before it works itself.

A folder holds one environment a set of requirements, and the file `current`, which names the one in use.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...core.contract.errors import BACKEND, DISK, Cancelled, InstaGeoError
from ..backend import COMPLETE, CURRENT, environment_python, installed_python
from .console import Console, StepFailed
from .interpreters import UV_PYTHON, find_base_python, no_base_python
from .requirements import CPU_BUILD, CUDA

PREFIX = "backend-"
NEEDED_GB = {"cpu": 2.5, "cuda": 9.0}  # the environment and, for a while, the downloads

PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")

Verify = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What to install and where; `wheels` is a folder to install from without a network, or empty.

    `torch_backend` is the value of uv's option of that name, or empty.
    """

    folder: Path
    requirements: tuple[str, ...]
    compute: str
    wheels: str = ""
    torch_backend: str = ""

    @property
    def name(self) -> str:
        """Folder name of the environment: other requirements make another environment."""
        text = "\n".join((*self.requirements, self.compute))
        return PREFIX + hashlib.sha256(text.encode()).hexdigest()[:12]


def install(order: Order, console: Console, verify: Verify) -> str:
    """Path of the interpreter of an environment that fulfils `order`, made if need be.

    `verify` is called with the interpreter and raises `InstaGeoError` when it does not work. Raises `InstaGeoError`
    with what to do when the environment cannot be made; an earlier one then stays in use.
    """
    present = _working(order, console, verify)
    if present:
        return present
    _prepare_folder(order)
    target = _free_folder(order)
    try:
        _build(order, target, console)
        console.feedback.setProgressText("Checking the new backend")
        verify(str(environment_python(target)))
        (target / COMPLETE).touch()
        _write_current(order.folder, target.name)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    _remove_others(order.folder, target.name, console)
    return str(environment_python(target))


def _working(order: Order, console: Console, verify: Verify) -> str:
    """Interpreter of the environment in use when it fulfils the order and works, else empty."""
    python = installed_python(order.folder)
    if python is None or not _current_name(order.folder).startswith(order.name):
        return ""
    try:
        verify(str(python))
    except Cancelled:
        raise
    except InstaGeoError as error:
        console.feedback.pushWarning(f"The backend in {order.folder} is damaged and is made anew: {error.message}")
        return ""
    console.feedback.pushInfo(f"The backend in {order.folder} is up to date; nothing was installed.")
    return str(python)


def _prepare_folder(order: Order) -> None:
    try:
        order.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(order.folder).free / 1e9
    except OSError as error:
        raise InstaGeoError(
            f"The folder {order.folder} cannot be made ({error.strerror}).", "Choose another LOCATION.", DISK
        ) from error
    if not os.access(order.folder, os.W_OK):
        raise InstaGeoError(f"The folder {order.folder} cannot be written.", "Choose another LOCATION.", DISK)
    if free < NEEDED_GB[order.compute]:
        raise InstaGeoError(
            f"{free:.1f} GB are free in {order.folder}; the backend needs {NEEDED_GB[order.compute]:g} GB.",
            "Free some space, or choose another LOCATION.",
            DISK,
        )


def _free_folder(order: Order) -> Path:
    """A folder for a new environment; what an interrupted installation left there is removed."""
    names = (order.name, *(f"{order.name}-{i}" for i in range(2, 100)))
    current = _current_name(order.folder)
    for name in names:
        folder = order.folder / name
        if name != current:
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return folder
    raise InstaGeoError(f"{order.folder} is full of environments in use.", "Restart QGIS, then try again.", BACKEND)


def _build(order: Order, target: Path, console: Console) -> None:
    """Make the environment with the first installer that can; raises `InstaGeoError` when none can."""
    console.feedback.setProgressText("Making the environment")
    failures = []
    for name, installer in (("uv", _with_uv), ("pip", _with_pip)):
        try:
            if installer(order, target, console):
                return
        except StepFailed as failure:
            failures.append(f"- {name}: {failure.reason}")
            console.feedback.pushWarning(f"Installing with {name} failed.")
            shutil.rmtree(target, ignore_errors=True)
    raise InstaGeoError("The backend could not be installed:\n" + "\n".join(failures), _remedy(order), BACKEND)


def _with_uv(order: Order, target: Path, console: Console) -> bool:
    """Install with uv; False where there is no uv."""
    uv = find_uv()
    if not uv:
        return False
    console.run([uv, "venv", "--python", _uv_python(order, console), str(target)])
    _uv_install([uv], order, target, console)
    return True


def find_uv() -> str:
    """Path of the program uv, or empty."""
    return shutil.which("uv") or ""


def _uv_python(order: Order, console: Console) -> str:
    """An interpreter at hand, else a version that uv fetches by itself."""
    return find_base_python(order.wheels, console.environment) or UV_PYTHON


def _with_pip(order: Order, target: Path, console: Console) -> bool:
    """Install with venv and pip; where pip's indexes lack the CPU build of PyTorch, with a uv that pip installs."""
    base = find_base_python(order.wheels, console.environment)
    if not base:
        raise StepFailed([no_base_python(order.wheels)])
    console.run([base, "-I", "-m", "venv", str(target)])
    python = str(environment_python(target))
    if order.torch_backend == "auto":
        _with_installed_uv(order, target, console)
        return True
    try:
        pins = ["--only-binary", ":all:", *_offline(order), "-r", str(_write_pins(order, target))]
        console.run([python, "-I", *PIP, *pins], len(order.requirements))
    except StepFailed as failure:
        if order.wheels or not order.torch_backend or "torch" not in str(failure):
            raise
        console.feedback.pushInfo("pip finds no CPU build of PyTorch; trying uv, which knows where it is published.")
        _with_installed_uv(order, target, console, failure)
    return True


def _with_installed_uv(order: Order, target: Path, console: Console, cause: StepFailed | None = None) -> None:
    python = str(environment_python(target))
    try:
        console.run([python, "-I", *PIP, "--only-binary", ":all:", "uv"])
        _uv_install([python, "-I", "-m", "uv"], order, target, console)
    except StepFailed as failure:
        lines = [f"{cause.reason} (and uv: {failure.reason})"] if cause else failure.lines
        raise StepFailed(lines) from failure


def _uv_install(uv: list[str], order: Order, target: Path, console: Console) -> None:
    backend = ["--torch-backend", order.torch_backend] if order.torch_backend and not order.wheels else []
    options = [*backend, "--only-binary", ":all:", *_offline(order), "--python", str(environment_python(target))]
    pins = str(_write_pins(order, target))
    console.run([*uv, "pip", "install", *options, "-r", pins], len(order.requirements))


def _offline(order: Order) -> list[str]:
    return ["--no-index", "--find-links", order.wheels] if order.wheels else []


def _write_pins(order: Order, target: Path) -> Path:
    path = target / "requirements.txt"
    path.write_text("\n".join(order.requirements) + "\n", encoding="utf-8")
    return path


def _remedy(order: Order) -> str:
    if order.wheels:
        return f"Put the wheel of every package of resources/backend/lock-cpu.txt into {order.wheels}."
    lines = ["Check the network, and the proxy in QGIS's options; or give a folder of wheels in WHEELS."]
    if any(CPU_BUILD in requirement for requirement in order.requirements):
        lines.append("The +cpu build of torch comes from an index or find-links folder in pip's own configuration.")
    if order.compute == CUDA:
        lines.append("Or choose COMPUTE cpu.")
    return "\n".join(lines)


def _current_name(folder: Path) -> str:
    path = folder / CURRENT
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _write_current(folder: Path, name: str) -> None:
    part = folder / f"{CURRENT}.part"
    part.write_text(name + "\n", encoding="utf-8")
    os.replace(part, folder / CURRENT)


def _remove_others(folder: Path, kept: str, console: Console) -> None:
    """Delete environments that are out of date; one that is in use on Windows stays until the next time."""
    for other in folder.glob(f"{PREFIX}*"):
        if other.name != kept and (other / "pyvenv.cfg").exists():
            console.feedback.pushInfo(f"Removing the earlier environment {other.name}.")
            shutil.rmtree(other, ignore_errors=True)
