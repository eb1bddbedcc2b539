"""What the user reads for the exceptions of libraries."""

import errno
import importlib
import pickle

import numpy as np
import pytest
import rasterio
from instageo_plugin.core.contract.errors import CODES, DISK, Cancelled, InstaGeoError
from instageo_plugin.core.failures import describe


class OutOfMemoryError(RuntimeError):
    """Named as PyTorch's."""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InstaGeoError("Raster has 3 bands.", "Choose another.", "input"), "input", "Raster has 3 bands."),
        (Cancelled(), "cancelled", "Cancelled"),
        (KeyboardInterrupt(), "cancelled", "Cancelled"),
        (MemoryError(), "memory", "ran out of memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory", "ran out of memory"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory", "The GPU"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory", "The computer"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "memory", "memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/map.tif"), "disk", "/data/map.tif"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk", "full"),
        (OSError(errno.EROFS, "Read-only file system", "/cd/map.tif"), "disk", "/cd/map.tif"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/map.tif"), "disk", "/root/map.tif"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk", "full"),
        (rasterio.errors.RasterioIOError("Free disk space available is 10 bytes"), "disk", "full"),
        (rasterio.errors.RasterioIOError("x.tif: not recognized as being in a supported format"), "input", "x.tif"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/in.tif"), "input", "/data/in.tif"),
        (ModuleNotFoundError("No module named 'timm'", name="timm"), "backend", "timm"),
        (ImportError("DLL load failed while importing _base", name="rasterio._base"), "backend", "DLL load failed"),
        (ModuleNotFoundError("No module", name="instageo_plugin.core.x"), "internal", "ModuleNotFoundError"),
        (KeyError("x"), "internal", "KeyError: 'x'"),
    ],
)
def test_each_kind_of_exception_has_its_words(error, code, words):
    failure = describe(error)
    assert code in CODES
    assert (failure.code, words in failure.message) == (code, True), failure
    assert failure.hint or code == "cancelled"


def test_the_cause_counts_where_a_library_wraps_it():
    error = ValueError("saving failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert describe(error).code == "disk"


def test_a_defect_asks_for_a_report():
    assert "defect" in describe(ZeroDivisionError()).hint


def test_numpy_and_the_import_system_raise_what_is_expected_here():
    with pytest.raises(MemoryError) as memory:
        np.empty(1 << 60, np.uint8)
    assert describe(memory.value).code == "memory"
    with pytest.raises(ImportError) as missing:
        importlib.import_module("a_library_that_is_not_there")
    assert "a_library_that_is_not_there" in describe(missing.value).message


def test_an_error_crosses_to_another_process_whole():
    error = pickle.loads(pickle.dumps(InstaGeoError("found", "remedy", DISK)))
    assert (error.message, error.hint, error.code) == ("found", "remedy", DISK)
