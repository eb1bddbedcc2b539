"""The values of a run's parameters, typed, with layers exported to files on the way."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from qgis.core import QgsProcessingAlgorithm, QgsProcessingContext, QgsProcessingFeedback

from ..core.contract.classes import ClassTable
from ..core.contract.errors import InstaGeoError
from ..core.contract.jobs import RasterEntry
from .class_table import rows_of, table_from_matrix
from .export import export_extent, export_source
from .inputs import CLASS_FIELD, Inputs, is_given

DATE_FIELD = "DATE_FIELD"
TABLE_COLUMNS = ("file", "scene", "date", "band")


class Values:
    """Values of one run, as a job takes them: absolute paths, empty text for what is not given.

    Without `folder` nothing is written and output layers are not announced to QGIS: for checking values beforehand.
    """

    def __init__(
        self,
        algorithm: QgsProcessingAlgorithm,
        parameters: Mapping[str, Any],
        context: QgsProcessingContext,
        inputs: Inputs,
        folder: Optional[Path] = None,
    ) -> None:
        self._algorithm = algorithm
        self._parameters = dict(parameters)
        self._context = context
        self._inputs = inputs
        self._folder = folder or Path(os.path.abspath("exports"))
        self._for_real = folder is not None
        self._exports: dict[Path, str] = {}

    def given(self, name: str) -> bool:
        return is_given(self._parameters, name)

    def text(self, name: str) -> str:
        return self._algorithm.parameterAsString(self._parameters, name, self._context).strip()

    def choice(self, name: str) -> str:
        return self._algorithm.parameterAsEnumString(self._parameters, name, self._context)

    def choices(self, name: str) -> list[str]:
        chosen = self._algorithm.parameterAsEnumStrings(self._parameters, name, self._context)
        return [choice for choice in chosen if choice]  # QGIS gives one empty text for none

    def flag(self, name: str) -> bool:
        return self._algorithm.parameterAsBoolean(self._parameters, name, self._context)

    def integer(self, name: str, missing: Any = None) -> Any:
        """A whole number; `missing` when an optional one is not given."""
        if self._is_missing(name):
            return missing
        return self._algorithm.parameterAsInt(self._parameters, name, self._context)

    def decimal(self, name: str, missing: Any = None) -> Any:
        """A number; `missing` when an optional one is not given."""
        if self._is_missing(name):
            return missing
        return self._algorithm.parameterAsDouble(self._parameters, name, self._context)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Numbers separated by blanks or commas. Raises `InstaGeoError` for anything else."""
        text = self.text(name)
        try:
            return tuple(float(word) for word in text.replace(",", " ").split())
        except ValueError:
            raise InstaGeoError(f"{name} is '{text}'; expected numbers, such as '0.1 0.2 0.3'.") from None

    def _is_missing(self, name: str) -> bool:
        return not self.given(name) and self._algorithm.parameterDefinition(name).defaultValue() is None

    def field(self, name: str) -> str:
        return next(iter(self._algorithm.parameterAsStrings(self._parameters, name, self._context)), "")

    def day(self, name: str) -> str:
        """An ISO date, empty when it is none."""
        return self._algorithm.parameterAsDateTime(self._parameters, name, self._context).date().toString("yyyy-MM-dd")

    def path(self, name: str) -> str:
        """An input file or folder."""
        return _absolute(self._algorithm.parameterAsString(self._parameters, name, self._context))

    def files(self, name: str) -> tuple[str, ...]:
        """The files of several vector layers."""
        return self._inputs.files.get(name, ())

    def output(self, name: str) -> str:
        """A file or folder to be written, empty when it is not wanted."""
        return _absolute(self._algorithm.parameterAsFileOutput(self._parameters, name, self._context))

    def output_layer(self, name: str) -> str:
        """As `output`, and QGIS loads it in the end when the user wants that."""
        if not self._for_real:
            return self.output(name)
        return _absolute(self._algorithm.parameterAsOutputLayer(self._parameters, name, self._context))

    def rasters(self, name: str) -> tuple[str, ...]:
        return self._inputs.rasters.get(name, ())

    def raster(self, name: str) -> str:
        return next(iter(self.rasters(name)), "")

    def crs(self, name: str) -> str:
        """Authority code or WKT."""
        crs = self._inputs.crs.get(name)
        return (crs.authid() or crs.toWkt()) if crs else ""

    def features(self, name: str) -> str:
        """The file a vector input will be exported to, with its class and date fields when there are any."""
        return self._exported(name) if name in self._inputs.sources else ""

    def area(self) -> str:
        """AREA or EXTENT as a file of polygons. Raises `InstaGeoError` when both are given."""
        names = [n for n in ("AREA", "EXTENT") if n in self._inputs.sources or n in self._inputs.extents]
        if len(names) == 2:
            raise InstaGeoError("Both AREA and EXTENT are given; give one of them.")
        return self._exported(names[0]) if names else ""

    def _exported(self, name: str) -> str:
        path = self._folder / f"{name.lower()}.gpkg"
        self._exports[path] = name
        return str(path)

    def export(self, feedback: QgsProcessingFeedback) -> None:
        """Write the files that `features` and `area` named."""
        for path, name in self._exports.items():
            if name in self._inputs.extents:
                export_extent(*self._inputs.extents[name], path, self._inputs.transforms, feedback)
                continue
            fields = [] if name == "AREA" else self._wanted_fields()
            source = self._inputs.sources[name]
            count = export_source(source, path, fields, self._inputs.transforms, feedback)
            feedback.pushInfo(f"{name}: {count} features of '{source.sourceName()}'.")

    def _wanted_fields(self) -> list[str]:
        """Fields of the label layer that the backend needs, each once."""
        return list(dict.fromkeys(self.field(name) for name in (CLASS_FIELD, DATE_FIELD) if self.given(name)))

    def class_table(self, source: str) -> ClassTable:
        """CLASS_TABLE, or else the style of the vector input `source`, or else an empty table."""
        cells = self._algorithm.parameterAsMatrix(self._parameters, "CLASS_TABLE", self._context)
        given = table_from_matrix(cells) if self.given("CLASS_TABLE") else ClassTable()
        return given if given.entries else self._inputs.styles.get(source, ClassTable())

    def raster_table(self) -> tuple[RasterEntry, ...]:
        """RASTER_TABLE: rows of file, scene, date, band, or the name of a csv file that holds such rows."""
        if not self.given("RASTER_TABLE"):
            return ()
        cells = self._algorithm.parameterAsMatrix(self._parameters, "RASTER_TABLE", self._context)
        named = [str(cell) for cell in cells if cell not in (None, "")]
        if len(named) == 1 and named[0].lower().endswith(".csv"):
            return _table_from_csv(Path(_absolute(named[0])))
        try:
            rows = rows_of(cells, len(TABLE_COLUMNS))
        except InstaGeoError as error:
            raise InstaGeoError(f"RASTER_TABLE: {error.message}", "A row is file, scene, date, band.") from error
        return tuple(RasterEntry(_dataset(row[0], Path.cwd()), *row[1:]) for row in rows)


def _table_from_csv(path: Path) -> tuple[RasterEntry, ...]:
    """Rows of a csv file with a header; files are relative to the csv's folder. Raises `InstaGeoError`."""
    hint = f"It needs a header with the column file and, as wanted, {', '.join(TABLE_COLUMNS[1:])}."
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InstaGeoError(f"RASTER_TABLE: {path} cannot be read ({error}).", hint) from error
    if not rows or "file" not in rows[0]:
        raise InstaGeoError(f"RASTER_TABLE: {path} has no rows, or no column 'file'.", hint)
    cleaned = [{name: (row.get(name) or "").strip() for name in TABLE_COLUMNS} for row in rows]
    filled = [row for row in cleaned if any(row.values())]
    return tuple(RasterEntry(**{**row, "file": _dataset(row["file"], path.parent)}) for row in filled)


def _dataset(name: str, folder: Path) -> str:
    """A raster's path made absolute; what GDAL alone understands stays as it is."""
    only_gdal_knows = name.startswith("/vsi") or ":" in name[2:]  # a colon in second place follows a drive's letter
    return name if only_gdal_knows else os.path.abspath(folder / name)


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path else ""
