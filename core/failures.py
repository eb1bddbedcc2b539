"""Any exception of a job in the user's words: what happened and what to do about it. The one place that decides."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from .contract.errors import BACKEND, DISK, INPUT, INTERNAL, MEMORY, Cancelled, InstaGeoError

PACKAGE = __name__.partition(".")[0]

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
# Libraries hand the system's words on in exceptions of their own.
_FULL_TEXTS = (
    "no space left on device", "disk quota exceeded", "disk is full", "not enough space on the disk",
    "free disk space available",
)  # fmt: skip
_NOT_WRITABLE_TEXTS = ("read-only file system", "permission denied", "readonly database")
_MEMORY_TEXTS = (
    "out of memory", "not enough memory", "cannot allocate memory", "can't allocate memory", "unable to allocate",
    "killed by signal: killed",
)  # fmt: skip
_UNREADABLE_NAMES = ("RasterioIOError", "DataSourceError", "DataLayerError")

_MEMORY_HINT = "Use a smaller batch size or chip size, or a smaller model, or close other programs."
_FULL_HINT = "Free some space, or choose an output and a temporary folder on another disk."
_NOT_WRITABLE_HINT = "Choose an output in a folder you may write to, and close the file in other programs."
_SETUP_HINT = "Run 'Set up backend' (instageo:setupbackend)."


@dataclass(frozen=True)
class Failure:
    """As in the `error` event; `code` is one of `contract.errors.CODES`."""

    code: str
    message: str
    hint: str = ""


def describe(error: BaseException) -> Failure:
    """The failure that `error`, or what caused it, stands for; what is not known is a defect of the program."""
    if isinstance(error, KeyboardInterrupt):
        error = Cancelled()
    for cause in _causes(error):
        failure = _known(cause)
        if failure:
            return failure
    return Failure(
        INTERNAL,
        f"{type(error).__name__}: {error}",
        "This is a defect of InstaGeo. Please report it together with the log.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _known(error: BaseException) -> Failure | None:
    if isinstance(error, InstaGeoError):
        return Failure(error.code, error.message, error.hint)
    if isinstance(error, ImportError):
        return _import_failure(error)
    return _memory_failure(error) or _disk_failure(error) or _input_failure(error)


def _import_failure(error: ImportError) -> Failure | None:
    if (error.name or "").partition(".")[0] == PACKAGE:
        return None
    if isinstance(error, ModuleNotFoundError):
        return Failure(BACKEND, f"The backend lacks the library '{error.name}'.", _SETUP_HINT)
    return Failure(BACKEND, f"A library of the backend cannot be loaded: {error}", _SETUP_HINT)


def _memory_failure(error: BaseException) -> Failure | None:
    text = str(error).lower()
    short = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    short = short or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    short = short or (isinstance(error, (RuntimeError, OSError)) and any(t in text for t in _MEMORY_TEXTS))
    if not short:
        return None
    device = "The GPU" if "cuda" in text else "The computer"
    detail = f" ({_first_line(error)})" if str(error) else ""
    return Failure(MEMORY, f"{device} ran out of memory{detail}.", _MEMORY_HINT)


def _disk_failure(error: BaseException) -> Failure | None:
    text = str(error).lower()
    number = error.errno if isinstance(error, OSError) else None
    where = _place(error)
    if number in _FULL or any(t in text for t in _FULL_TEXTS):
        return Failure(DISK, f"The disk is full{where} ({_first_line(error)}).", _FULL_HINT)
    if number in _NOT_WRITABLE or any(t in text for t in _NOT_WRITABLE_TEXTS):
        return Failure(DISK, f"No permission to read or write{where} ({_first_line(error)}).", _NOT_WRITABLE_HINT)
    return None


def _input_failure(error: BaseException) -> Failure | None:
    if isinstance(error, FileNotFoundError):
        return Failure(INPUT, f"A file is missing{_place(error)} ({_first_line(error)}).", "Check the path.")
    if type(error).__name__ in _UNREADABLE_NAMES:
        return Failure(INPUT, f"A file cannot be read: {_first_line(error)}", "Check that the file is whole.")
    return None


def _place(error: BaseException) -> str:
    path = getattr(error, "filename", None)
    return f": {path}" if path else ""


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
