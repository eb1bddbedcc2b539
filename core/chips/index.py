"""`chips.gpkg`: the index of a chip dataset, a layer that users open, edit and delete rows from in QGIS.

It has no spatial index (its triggers call functions that plain SQLite lacks), is written whole once, and afterwards
changed only inside one SQLite transaction, never by renaming a file that QGIS may hold open.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import rasterio.crs
import shapely
from affine import Affine

from ..contract.dataset import CHIPS_LAYER, SKIPPED_LAYER
from ..contract.errors import InstaGeoError
from ..imagery.grid import Grid
from ..imagery.occasion import Occasion, first_dates


@dataclass(frozen=True)
class ChipRow:
    """One chip as its row says. Paths are relative to the dataset folder; `images` and `dates` by input name.

    `transform` holds Affine's six numbers of the chip's own grid in `crs` (authority code or WKT). `class_counts` is
    labelled pixels by class value; `valid` and `clear` are percent of the chip's pixels. `split` is "" and `fold` -1
    before splitting. `footprint` is in EPSG:4326.
    """

    chip: str
    scene: str
    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int
    images: dict[str, str]
    dates: dict[str, list[str]]
    label_path: str
    class_counts: dict[int, int]
    valid: float
    clear: float
    footprint: shapely.Geometry
    group: str = ""
    label: str = ""
    split: str = ""
    fold: int = -1

    def occasion(self) -> Occasion:
        """When and where its pixels were taken."""
        crs = rasterio.crs.CRS.from_user_input(self.crs)
        return Occasion(first_dates(self.dates), Grid(crs, Affine(*self.transform), self.width, self.height))


@dataclass(frozen=True)
class SkippedRow:
    """Something that became no chip, and why: `count` labels (or cells) at `geometry` (EPSG:4326)."""

    reason: str
    detail: str
    count: int
    geometry: shapely.Geometry = field(default_factory=shapely.Point)


GEOPACKAGE = {"VERSION": "1.3"}  # the newest that GDAL 3.6, of QGIS 3.40 on Debian, reads without a warning

_TEXT = ("chip", "scene", "crs", "transform", "images", "dates", "label_path", "class_counts", "group", "label",
         "split")  # fmt: skip
_SQLITE = b"SQLite format 3\0"
_REMEDY = "Create the chips again, or restore the file from a copy."
_UPDATE_SPLIT = 'UPDATE "chips" SET split = ?, fold = ? WHERE chip = ?'
_SKIP_CHIP = 'INSERT INTO "skipped" (geom, reason, detail, count) SELECT geom, ?, ?, 1 FROM "chips" WHERE chip = ?'
_DELETE_CHIP = 'DELETE FROM "chips" WHERE chip = ?'
_JSON = ("transform", "images", "dates", "class_counts")


def write_index(path: Path, chips: Sequence[ChipRow], skipped: Sequence[SkippedRow]) -> None:
    """Write a new index to `path`, which must not exist."""
    columns: dict[str, np.ndarray] = {
        "chip": _text(c.chip for c in chips),
        "scene": _text(c.scene for c in chips),
        "split": _text(c.split for c in chips),
        "fold": np.array([c.fold for c in chips], dtype=np.int32),
        "group": _text(c.group for c in chips),
        "label": _text(c.label for c in chips),
        "class_counts": _text(json.dumps(c.class_counts) for c in chips),
        "valid": np.array([c.valid for c in chips], dtype=np.float64),
        "clear": np.array([c.clear for c in chips], dtype=np.float64),
        "dates": _text(json.dumps(c.dates) for c in chips),
        "images": _text(json.dumps(c.images) for c in chips),
        "label_path": _text(c.label_path for c in chips),
        "crs": _text(c.crs for c in chips),
        "transform": _text(json.dumps(c.transform) for c in chips),
        "width": np.array([c.width for c in chips], dtype=np.int32),
        "height": np.array([c.height for c in chips], dtype=np.int32),
    }
    footprints = [_multi(c.footprint) for c in chips]
    _write_layer(path, CHIPS_LAYER, footprints, columns, "MultiPolygon", append=False)
    _write_layer(
        path,
        SKIPPED_LAYER,
        [s.geometry for s in skipped],
        {
            "reason": _text(s.reason for s in skipped),
            "detail": _text(s.detail for s in skipped),
            "count": np.array([s.count for s in skipped], dtype=np.int64),
        },
        "Unknown",
        append=True,
    )


def _text(values: Iterable[str]) -> np.ndarray:
    return np.array(list(values), dtype=object)


def _multi(footprint: shapely.Geometry) -> shapely.MultiPolygon:
    return footprint if footprint.geom_type == "MultiPolygon" else shapely.MultiPolygon([footprint])


def _write_layer(
    path: Path,
    layer: str,
    geometries: Sequence[shapely.Geometry],
    columns: Mapping[str, np.ndarray],
    geometry_type: str,
    append: bool,
) -> None:
    pyogrio.raw.write(
        path,
        geometry=np.array([shapely.to_wkb(g) for g in geometries], dtype=object),
        field_data=list(columns.values()),
        fields=list(columns),
        layer=layer,
        driver="GPKG",
        geometry_type=geometry_type,
        crs="EPSG:4326",
        append=append,
        dataset_options=GEOPACKAGE,
        layer_options={"SPATIAL_INDEX": "NO", "FID": "fid"},
    )


def read_index(path: Path) -> list[ChipRow]:
    """The rows of the index, in the order of their `fid`.

    Raises `InstaGeoError` when the file is not an index: missing, damaged, or without the columns it must have.
    """
    _check_database(path)
    try:
        meta, _, geometry, values = pyogrio.raw.read(path, layer=CHIPS_LAYER)
    except Exception as error:
        reason = str(error).rpartition("; ")[2].rstrip(".")  # statements of SQL stand before it
        raise InstaGeoError(f"{path} is not a chip index, or damaged ({reason}).", _REMEDY) from error
    table = dict(zip(meta["fields"], values))
    missing = [name for name in (*_TEXT, "fold", "valid", "clear", "width", "height") if name not in table]
    if missing:
        raise InstaGeoError(
            f"{path} lacks the columns {', '.join(missing)}.", "Restore them: a chip index keeps all its columns."
        )
    return [_row(table, geometry, i) for i in range(len(geometry))]


def read_skipped_rows(path: Path) -> list[SkippedRow]:
    """The rows of the skipped layer."""
    meta, _, geometry, values = pyogrio.raw.read(path, layer=SKIPPED_LAYER)
    table = dict(zip(meta["fields"], values))
    return [
        SkippedRow(str(reason), str(detail), int(count), shapely.from_wkb(shape))
        for reason, detail, count, shape in zip(table["reason"], table["detail"], table["count"], geometry)
    ]


def read_column(path: Path, column: str) -> dict[str, str]:
    """Values of any column of the index as text ("" for NULL), by chip name; the user may have added it in QGIS.

    Raises `InstaGeoError` that lists the columns when there is none of that name.
    """
    known = [str(name) for name in pyogrio.read_info(path, layer=CHIPS_LAYER)["fields"]]
    if column not in known:
        raise InstaGeoError(f"{path} has no field '{column}'; its fields are: {', '.join(known)}.")
    meta, _, _, values = pyogrio.raw.read(
        path, layer=CHIPS_LAYER, columns=["chip", column], read_geometry=False, datetime_as_string=True
    )
    table = dict(zip(meta["fields"], values))
    missing = (None, "nan", "NaT", "")
    return {
        str(chip): "" if value is None or str(value) in missing else str(value)
        for chip, value in zip(table["chip"], table[column])
    }


def _check_database(path: Path) -> None:
    if not path.is_file():
        raise InstaGeoError(f"The chip index {path} is missing.", _REMEDY)
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise InstaGeoError(f"{path} is not a chip index: it is no GeoPackage.", _REMEDY)


def _row(table: Mapping[str, np.ndarray], geometry: np.ndarray, i: int) -> ChipRow:
    text: dict[str, Any] = {name: table[name][i] or "" for name in _TEXT}
    parsed = {name: json.loads(text.pop(name) or "{}") for name in _JSON}
    fold = table["fold"][i]
    return ChipRow(
        **text,
        images=parsed["images"],
        dates=parsed["dates"],
        transform=tuple(parsed["transform"]),
        class_counts={int(value): int(count) for value, count in parsed["class_counts"].items()},
        width=int(table["width"][i]),
        height=int(table["height"][i]),
        fold=-1 if fold is None or np.isnan(fold) else int(fold),
        valid=float(table["valid"][i]),
        clear=float(table["clear"][i]),
        footprint=shapely.from_wkb(geometry[i]),
    )


def update_splits(path: Path, splits: Mapping[str, tuple[str, int]]) -> None:
    """Write split and fold by chip name, in one transaction.

    Raises `InstaGeoError` when another program holds the index locked, and leaves it as it was.
    """
    with _changing(path) as connection:
        connection.executemany(_UPDATE_SPLIT, [(split, fold, chip) for chip, (split, fold) in splits.items()])


def skip_chips(path: Path, reasons: Mapping[str, tuple[str, str]]) -> None:
    """Move chips, by name, to the skipped layer with a reason and a detail, in one transaction; raises as
    `update_splits`."""
    with _changing(path) as connection:
        connection.executemany(_SKIP_CHIP, [(reason, detail, chip) for chip, (reason, detail) in reasons.items()])
        connection.executemany(_DELETE_CHIP, [(chip,) for chip in reasons])


@contextmanager
def _changing(path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction on the index."""
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection, connection:
            yield connection
    except sqlite3.OperationalError as error:
        raise InstaGeoError(
            f"{path} cannot be changed ({error}).",
            "Save or discard the edits of the chips layer in QGIS, then run this again.",
        ) from error
