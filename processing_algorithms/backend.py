"""Where the backend's interpreter is: the plugin's setting, a variable, or the managed environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from qgis.core import QgsSettings

from ..core.contract.errors import BACKEND, InstaGeoError

SETTING = "instageo/python"
VARIABLE = "INSTAGEO_PYTHON"
CURRENT = "current"
COMPLETE = ".complete"
SETUP_HINT = "Run 'Set up backend' (instageo:setupbackend) in the Processing toolbox."


def find_python() -> str:
    """Path of the backend's interpreter. It is looked for, not started: cheap enough for every dialog.

    Raises `InstaGeoError` when there is none, or when the one configured is not there.
    """
    setting = str(QgsSettings().value(SETTING, "") or "")
    if setting:
        return _configured(setting, f"the setting {SETTING}")
    if os.environ.get(VARIABLE):
        return _configured(os.environ[VARIABLE], f"the variable {VARIABLE}")
    managed = installed_python(managed_folder())
    if managed:
        return str(managed)
    raise InstaGeoError("InstaGeo has no backend yet.", SETUP_HINT, BACKEND)


def backend_problem() -> str:
    """Why no job can run now, with the remedy; empty when the backend is there."""
    try:
        find_python()
    except InstaGeoError as error:
        return str(error)
    return ""


def managed_folder(
    platform: str = sys.platform, environment: Mapping[str, str] = os.environ, home: Optional[Path] = None
) -> Path:
    """Folder of the managed environment, outside the QGIS profile, so that all profiles share it."""
    home = home or Path.home()
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "InstaGeo"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "InstaGeo"
    return Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share") / "instageo" / "backend"


def installed_python(folder: Path) -> Optional[Path]:
    """Interpreter of the environment that 'Set up backend' made in `folder`, if a whole one is there."""
    try:
        name = (folder / CURRENT).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    environment = folder / name
    python = environment_python(environment)
    whole = name and (environment / COMPLETE).exists() and python.exists()
    return python if whole else None


def environment_python(environment: Path, platform: str = sys.platform) -> Path:
    """Interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if platform == "win32" else "bin/python")


def _configured(path: str, where: str) -> str:
    if os.path.isfile(path) and os.access(path, os.X_OK):
        return path
    raise InstaGeoError(
        f"The backend's interpreter {path}, named by {where}, is not there or cannot be run.",
        f"Correct or clear {where}, or run 'Set up backend' (instageo:setupbackend).",
        BACKEND,
    )
