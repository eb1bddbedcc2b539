"""How the worker process is started, wherever the checkout lies and whatever its folder is called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
STARTER = PACKAGE_ROOT / "core" / "start.py"

# What QGIS or another program may have set and what would mislead the backend's own libraries.
_REMOVED = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "GDAL_DATA", "GDAL_DRIVER_PATH", "LD_LIBRARY_PATH",
            "LD_PRELOAD", "VIRTUAL_ENV", "QT_PLUGIN_PATH", "__PYVENV_LAUNCHER__")  # fmt: skip
_REMOVED_PREFIXES = ("PROJ_", "QGIS_", "DYLD_")


def worker_command(python: str, *arguments: str) -> list[str]:
    """Command line that runs `core` with the interpreter `python`; `arguments` are those of `core.__main__`.

    `-I` keeps other plugins' folders, the user's own packages and the current folder off the search path.
    """
    return [python, "-I", "-X", "utf8", str(STARTER), *arguments]


def clean_environment(environment: Mapping[str, str], added: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for the worker: QGIS's own library settings out, `added` (proxy settings, say) in.

    >>> clean_environment({"PROJ_LIB": "/x", "HOME": "/h"}, {"https_proxy": "p"})
    {'HOME': '/h', 'https_proxy': 'p', 'PYTHONUNBUFFERED': '1'}
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name.upper() not in _REMOVED and not name.upper().startswith(_REMOVED_PREFIXES)
    }
    return {**kept, **(added or {}), "PYTHONUNBUFFERED": "1"}


def process_environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """`clean_environment` of this process."""
    return clean_environment(os.environ, added)
