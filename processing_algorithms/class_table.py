"""Class tables from what the user has: a matrix typed in the dialog, or the style of the label layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Optional

from qgis.core import QgsCategorizedSymbolRenderer, QgsExpression, QgsRendererCategory, QgsVectorLayer
from qgis.PyQt.QtCore import QMetaType, QVariant
from qgis.PyQt.QtGui import QColor

from ..core.contract.classes import ClassEntry, ClassTable
from ..core.contract.errors import InstaGeoError, Problems

COLUMNS = ("source value", "value", "name", "colour")


def rows_of(cells: Sequence[Any], columns: int) -> list[list[str]]:
    """A matrix parameter's flat list as rows of text; rows without any text are left out.

    Raises `InstaGeoError` when the cells do not fill whole rows.
    """
    if len(cells) % columns:
        raise InstaGeoError(f"the table has {len(cells)} cells; expected a multiple of {columns}, row by row.")
    written = [_cell(cell) for cell in cells]
    rows = [written[i : i + columns] for i in range(0, len(written), columns)]
    return [row for row in rows if any(row)]


def _cell(value: Any) -> str:
    """Text of a cell; numbers that QGIS parsed as 1.0 were typed as 1."""
    if value is None or (isinstance(value, QVariant) and value.isNull()):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def table_from_matrix(cells: Sequence[Any]) -> ClassTable:
    """CLASS_TABLE: rows of source value, value, name, colour. Without a name the source value names the class.

    Raises `InstaGeoError` that lists every row at fault.
    """
    problems = Problems("CLASS_TABLE", "A row is source value, value, name, colour, such as: maize, 1, Maize, #ffcc00.")
    entries = []
    try:
        rows = rows_of(cells, len(COLUMNS))
    except InstaGeoError as error:
        problems.add(error.message)
        rows = []
    for number, (source, value, name, color) in enumerate(rows, 1):
        try:
            entries.append(ClassEntry(source, int(value), name or source, _color(color)))
        except ValueError as error:
            problems.add(f"row {number}: {error}.")
    problems.raise_if_any()
    return ClassTable(tuple(entries))


def _color(text: str) -> str:
    """`text` as #rrggbb, empty for none; raises `ValueError` when it is no colour."""
    if not text:
        return ""
    color = QColor(text)
    if not color.isValid():
        raise ValueError(f"'{text}' is no colour; expected a form such as #ffcc00")
    return color.name()


def table_from_renderer(layer: QgsVectorLayer, field: str) -> Optional[ClassTable]:
    """The class table of a layer styled by categories of `field`; None when it is not.

    Whole numbers keep their value; text counts from 0 by code point. Values that one category lists together are one
    class, with the smallest value of the list. The category for all other values is left out. None also when the
    categories are no classes (decimals, negative numbers), so that the backend says what is wrong with the field.
    """
    renderer = layer.renderer()
    if not isinstance(renderer, QgsCategorizedSymbolRenderer) or not _is_field(renderer.classAttribute(), field):
        return None
    index = layer.fields().lookupField(field)
    if index < 0:
        return None
    definition = layer.fields().at(index)
    boolean = definition.type() == QMetaType.Type.Bool
    categories = [(c, _sources(c, boolean)) for c in renderer.categories()]
    categories = [(category, sources) for category, sources in categories if sources]
    numeric = boolean or definition.isNumeric()
    numbers = _numbers((s for _, sources in categories for s in sources), numeric)
    if not categories or numbers is None:
        return None
    return ClassTable(tuple(entry for c, sources in categories for entry in _entries(c, sources, numbers)))


def _is_field(attribute: str, field: str) -> bool:
    if attribute == field:
        return True
    expression = QgsExpression(attribute)
    return expression.isField() and expression.referencedColumns() == {field}


def _sources(category: QgsRendererCategory, boolean: bool) -> list[str]:
    """The category's values as the backend reads them, without repeats; none for 'all other values'."""
    value = category.value()
    values = value if isinstance(value, (list, tuple)) else [value]
    written = [_boolean(v) if boolean else _cell(v) for v in values]
    return sorted({text for text in written if text})


def _boolean(value: Any) -> str:
    text = _cell(value).lower()
    return {"true": "1", "false": "0"}.get(text, text)


def _numbers(sources: Iterable[str], numeric: bool) -> Optional[dict[str, int]]:
    """Class value by source value."""
    distinct = sorted(set(sources))
    if not numeric:
        return {source: i for i, source in enumerate(distinct)}
    return {s: int(s) for s in distinct} if all(s.isdecimal() for s in distinct) else None


def _entries(category: QgsRendererCategory, sources: Sequence[str], numbers: dict[str, int]) -> list[ClassEntry]:
    value = min(numbers[source] for source in sources)
    name = category.label() or sources[0]
    color = category.symbol().color().name() if category.symbol() else ""
    return [ClassEntry(source, value, name, color) for source in sources]
