"""Which image and label files of another program belong together."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..contract.classes import ClassEntry, ClassTable
from ..contract.dataset import TEST, TRAIN, VAL
from ..contract.errors import InstaGeoError, Problems
from ..contract.jobs import INSTAGEO, ImportChipsJob
from .export import CHIP_PREFIX, CLASS_COLUMNS, CLASSES_FILE, CSV_COLUMNS
from .index import SkippedRow
from .merge import free_name

NO_IMAGE, NO_LABEL = "label without an image", "image without a label"
_SPLITS = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST}
_TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class FilePair:
    """An image and its label file (None: it has none) of the chip `name`; `split` as far as the files tell."""

    name: str
    image: Path
    label: Path | None
    split: str = ""


def find_pairs(job: ImportChipsJob) -> tuple[list[FilePair], list[SkippedRow]]:
    """The pairs of INPUT, and what stands alone. Raises `InstaGeoError` when there is nothing to import."""
    return _listed_pairs(job) if job.format == INSTAGEO else _named_pairs(job)


def files_folder(job: ImportChipsJob) -> Path:
    """The folder that INPUT is, or lies in."""
    path = Path(job.input)
    return path if path.is_dir() else path.parent


def read_classes(folder: Path) -> ClassTable:
    """The classes of `classes.csv`, none where there is no such file. Raises `InstaGeoError` for a damaged one."""
    path = folder / CLASSES_FILE
    if not path.is_file():
        return ClassTable()
    try:
        rows = [[row[column] for column in CLASS_COLUMNS] for row in _rows(path)]
        return ClassTable(tuple(ClassEntry(value, int(value), name, color) for value, name, color in rows))
    except (KeyError, ValueError) as error:
        raise InstaGeoError(
            f"{path} is not a table of classes; expected the columns {', '.join(CLASS_COLUMNS)}.", "Give CLASS_TABLE."
        ) from error


def _listed_pairs(job: ImportChipsJob) -> tuple[list[FilePair], list[SkippedRow]]:
    """The rows of one csv file, or of all in a folder; a file called train, val or test gives the split."""
    root = Path(job.root) if job.root else files_folder(job)
    found: dict[Path, tuple[Path | None, str]] = {}
    problems = Problems("Import chips", "Take the file out of all but one csv file.")
    for path in _csv_files(Path(job.input)):
        split = _SPLITS.get(path.stem.lower(), "")
        for row in _rows(path):
            # Windows writes paths with backslashes, which are no separators elsewhere.
            image, label = (row.get(column, "").strip().replace("\\", "/") for column in CSV_COLUMNS)
            if not image:
                continue
            before = found.get(root / image, (None, ""))[1]
            if before and split and before != split:
                problems.add(f"{image} is listed both for {before} and for {split}.")
            found[root / image] = (root / label if label else None, split or before)
    problems.raise_if_any()
    missing = [image for image in found if not image.is_file()]
    if found and len(missing) == len(found):
        raise InstaGeoError(
            f"None of the {len(found)} images exists; the first was looked for at {missing[0]}.",
            "Give ROOT, the folder that the paths in the csv file start at.",
        )
    taken: set[str] = set()
    pairs = [FilePair(_name(image, taken), image, label, split) for image, (label, split) in found.items()]
    return _checked(job, pairs), []


def _csv_files(path: Path) -> list[Path]:
    """Csv files with a column Input; raises `InstaGeoError` when there is none."""
    if not path.exists():
        raise InstaGeoError(f"INPUT: {path} does not exist.")
    candidates = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    headers = {candidate: _header(candidate) for candidate in candidates}
    found = [candidate for candidate, header in headers.items() if CSV_COLUMNS[0] in header]
    if found:
        return found
    listed = "; ".join(f"{one.name} has {', '.join(header) or 'none'}" for one, header in headers.items())
    raise InstaGeoError(
        f"INPUT: {path} holds no csv file with the columns {', '.join(CSV_COLUMNS)}{f' ({listed})' if listed else ''}.",
        "Choose the csv file that lists the chips, or the folder it lies in.",
    )


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [_column(name) for name in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InstaGeoError(f"INPUT: {path} cannot be read as csv ({error}).") from error


def _rows(path: Path) -> Iterator[Mapping[str, str]]:
    names = _header(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        next(lines, None)
        for line in lines:
            yield dict(zip(names, line))


def _column(name: str) -> str:
    """A column's name as this module knows it, whatever its case."""
    known = {column.lower(): column for column in (*CSV_COLUMNS, *CLASS_COLUMNS)}
    return known.get(name.strip().lower(), name.strip())


def _named_pairs(job: ImportChipsJob) -> tuple[list[FilePair], list[SkippedRow]]:
    """Files of two folders that have one name; a text file called train, val or test lists names of that split."""
    folder = Path(job.input)
    images, labels = (_tiffs(folder / name) for name in (job.images, job.labels))
    if not images:
        raise InstaGeoError(
            f"INPUT: {folder / job.images} holds no .tif files.",
            "Name the folders of both kinds with IMAGES and LABELS.",
        )
    splits = _listed_splits(folder)
    taken: set[str] = set()
    pairs = [
        FilePair(_name(image, taken), image, labels.get(stem), splits.get(stem, "")) for stem, image in images.items()
    ]
    alone = [SkippedRow(NO_IMAGE, str(path), 1) for stem, path in labels.items() if stem not in images]
    return _checked(job, pairs), alone


def _tiffs(folder: Path) -> dict[str, Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.stem: path for path in files if path.suffix.lower() in _TIFF and not path.name.startswith(".")}


def _listed_splits(folder: Path) -> dict[str, str]:
    """Split by file name without its ending."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.txt")):
        split = _SPLITS.get(path.stem.lower(), "")
        names = path.read_text(encoding="utf-8-sig").split("\n") if split else []
        found.update(
            {Path(name.strip()).stem if name.strip().endswith(_TIFF) else name.strip(): split for name in names}
        )
    return found


def _name(image: Path, taken: set[str]) -> str:
    return free_name(image.stem.removeprefix(CHIP_PREFIX), taken)


def _checked(job: ImportChipsJob, pairs: Sequence[FilePair]) -> list[FilePair]:
    if not pairs:
        raise InstaGeoError(f"INPUT: {job.input} lists no images.")
    return list(pairs)


def file_records(pairs: Iterable[FilePair]) -> list[tuple[str, int, int]]:
    """Path, size and time of change of every file that exists: what tells whether they are still the same."""
    paths = (path for pair in pairs for path in (pair.image, pair.label) if path is not None and path.is_file())
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
