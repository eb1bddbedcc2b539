"""Artefacts appear under their final name whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .contract.errors import DISK, InstaGeoError

PART = ".part"


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it on success, delete it on any failure.

    The yielded name keeps the suffix, since drivers choose the format by it. Raises `InstaGeoError` when the folder
    cannot be written.
    """
    final = Path(path)
    part = final.with_name(f".{final.stem}{PART}{final.suffix}")
    check_writable(final)
    try:
        with failures_named(final):
            yield part
        os.replace(part, final)
    finally:
        remove(part)


@contextmanager
def failures_named(path: str | Path) -> Iterator[None]:
    """The system does not say which file it failed to write: a failure inside that names none names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def check_writable(path: str | Path) -> None:
    """Raise `InstaGeoError` unless a file can be made at `path`; missing folders are made."""
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InstaGeoError(
            f"The folder {folder} cannot be made: a file has that name.", "Choose another place for the output.", DISK
        ) from error
    except OSError as error:
        raise InstaGeoError(
            f"The folder {folder} cannot be made ({error.strerror}).", "Choose another place for the output.", DISK
        ) from error
    probe = folder / f".{Path(path).name}.probe{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InstaGeoError(
            f"The folder {folder} cannot be written ({error.strerror}).", "Choose another place for the output.", DISK
        ) from error


def cache_folder() -> Path:
    """Where files are kept that can be had again: `INSTAGEO_CACHE`, else the system's place for them."""
    if given := os.environ.get("INSTAGEO_CACHE"):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "instageo" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "instageo"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "instageo"


def remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
