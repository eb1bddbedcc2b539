"""Where exported layers lie while a job runs, or for good beside a job file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qgis.core import QgsProcessingContext, QgsProcessingUtils


@contextmanager
def scratch_folder(job_file: str, context: QgsProcessingContext) -> Iterator[Path]:
    """A folder for exports. Without a job file it is in QGIS's temporary folder and deleted at the end; with one it
    stands beside that file, to travel with it, and is made when something is exported."""
    if job_file:
        path = Path(job_file).absolute()
        yield path.with_name(f"{path.stem}_layers")
        return
    folder = Path(QgsProcessingUtils.generateTempFilename("instageo", context)).parent
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
