"""A Python to make the backend with, each candidate tried before it is trusted."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..process import output_of

MINORS = (12, 13, 11, 14)  # of Python 3, best first: the versions that the lock's packages are built for
UV_PYTHON = f"3.{MINORS[0]}"
PROBE = "import sys, venv, ensurepip, ssl; print('%d.%d' % sys.version_info[:2])"
TORCH_WHEEL = re.compile(r"torch-.*-cp3(\d+)-")
EXTRA_FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")


def find_base_python(wheels: str, environment: Mapping[str, str]) -> str:
    """An interpreter that can make virtual environments, or empty; the wheels of the folder `wheels` may decide which.

    `sys.executable` is no candidate: inside QGIS it may be QGIS itself.
    """
    minors = wanted_minors(wheels)
    versions = {f"3.{minor}" for minor in minors}
    for candidate in dict.fromkeys(candidates(minors)):
        version = output_of([candidate, "-I", "-c", PROBE], environment)
        if version and version.strip() in versions:
            return candidate
    return ""


def no_base_python(wheels: str) -> str:
    """What to tell the user when there is none."""
    versions = ", ".join(f"3.{minor}" for minor in sorted(wanted_minors(wheels)))
    return (
        f"no Python {versions} with venv and ensurepip was found; install one (on Debian and Ubuntu together with "
        "python3-venv), or the program uv"
    )


def wanted_minors(wheels: str) -> tuple[int, ...]:
    """Minors of Python 3 to look for."""
    return wheel_minors(wheels) or MINORS


def candidates(minors: tuple[int, ...]) -> Iterator[str]:
    """Interpreters that are there, QGIS's own version first, then in the order of `minors`."""
    own = sys.version_info[1]
    names = [f"python3.{minor}" for minor in sorted(minors, key=lambda minor: minor != own)]
    prefix = Path(sys.base_prefix)
    for path in (prefix / "python.exe", prefix / "python3.exe"):
        if path.exists():
            yield str(path)
    for name in (*names, "python3"):
        for folder in (str(prefix / "bin"), *EXTRA_FOLDERS, None):
            found = shutil.which(name, path=folder)
            if found:
                yield found


def wheel_minors(wheels: str) -> tuple[int, ...]:
    """The Python 3 minors that the PyTorch wheels of a folder are for; empty when it holds none."""
    names = [path.name for path in Path(wheels).glob("torch-*.whl")] if wheels else []
    found = (TORCH_WHEEL.match(name) for name in names)
    return tuple(sorted({int(match.group(1)) for match in found if match}))
