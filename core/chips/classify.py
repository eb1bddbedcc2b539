"""From class values as they stand in the labels to the class table and its integer values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from ..contract.classes import ClassEntry, ClassTable, table_from_sources
from ..contract.errors import InstaGeoError

BACKGROUND_NAME = "background"
_WHOLE = re.compile(r"([+-]?\d+)(\.0*)?")
_SHOWN = 10


def vector_table(sources: np.ndarray, numeric: bool, given: ClassTable) -> ClassTable:
    """The class table of vector labels: `given`, else made from the values present.

    Raises `InstaGeoError` that lists the values outside `given` with their counts.
    """
    if not given.entries:
        return table_from_sources(list(sources), numeric)
    table = whole_sources(given) if numeric else given
    check_covered(Counter(sources), table, "CLASS_FIELD")
    return table


def whole_sources(table: ClassTable) -> ClassTable:
    """Source values such as `1.0` as `1`: a renderer on a field of doubles writes them so."""
    matches = [_WHOLE.fullmatch(entry.source.strip()) for entry in table.entries]
    entries = (replace(e, source=str(int(m[1]))) if m else e for e, m in zip(table.entries, matches))
    return ClassTable(tuple(entries))


def check_covered(counts: Mapping[str, int], table: ClassTable, where: str) -> None:
    """Raise `InstaGeoError` that lists the source values, with counts, that the table lacks."""
    known = {entry.source for entry in table.entries}
    outside = {source: count for source, count in counts.items() if source not in known}
    if not outside:
        return
    found = ", ".join(f"'{source}' ({count} times)" for source, count in sorted(outside.items())[:_SHOWN])
    more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
    raise InstaGeoError(
        f"{where} has {len(outside)} values outside the class table: {found}{more}; expected one of "
        f"{', '.join(sorted(known))}.",
        "Add them to CLASS_TABLE, or take those labels out with a filter or a selection.",
    )


def with_background(table: ClassTable, background: int | None, numbered: bool) -> ClassTable:
    """`table` with a class for `background` when it has none.

    `numbered`: the table's values were counted from text, so that sharing one with the background is an accident and
    raises `InstaGeoError`.
    """
    if background is None:
        return table
    if background in table.values:
        if numbered:
            name = table.names[table.values.index(background)]
            raise InstaGeoError(
                f"BACKGROUND is {background}, the value that class '{name}' got by its place in the alphabet.",
                f"Choose another value, such as {max(table.values) + 1}, or give each class its value in CLASS_TABLE.",
            )
        return table
    source = BACKGROUND_NAME if any(e.source == "" for e in table.entries) else ""
    return ClassTable((*table.entries, ClassEntry(source, background, BACKGROUND_NAME)))


def class_values(sources: Iterable[str], table: ClassTable) -> np.ndarray:
    """int16 class value of each source value."""
    value = {entry.source: entry.value for entry in table.entries}
    return np.array([value[source] for source in sources], dtype=np.int16)


def parse_label_values(text: str) -> dict[int, int]:
    """LABEL_VALUES: `1 2` keeps, `1:0 2:1` renumbers; raster value to class value, empty for all as they are.

    Raises `InstaGeoError` for any other form and for a value that stands twice.
    """
    mapping: dict[int, int] = {}
    for part in text.replace(",", " ").split():
        match = re.fullmatch(r"(-?\d+)(?::(\d+))?", part)
        if not match or int(match[1]) in mapping:
            fault = "stands twice" if match else "is not of the form 3 or 3:1"
            raise InstaGeoError(f"LABEL_VALUES: '{part}' {fault}.", "Examples: '1 2' keeps, '1:0 2:1' renumbers.")
        mapping[int(match[1])] = int(match[2] if match[2] is not None else match[1])
    return mapping


def raster_table(present: Iterable[int], mapping: dict[int, int], given: ClassTable, style: ClassTable) -> ClassTable:
    """The class table of raster labels.

    `present`: values found in the rasters (only needed without `mapping`). Names and colours come from `given`, by
    raster value, else from `style` (the rasters' own colour table and names). Raises `InstaGeoError` for values
    outside `given` and for classes that are not 0 to 32767.
    """
    given = whole_sources(given)
    if not mapping:
        counts = {str(value): 1 for value in sorted(present)}
        if given.entries:
            check_covered(counts, given, "LABEL_RASTERS")
            return given
        mapping = {int(e.source): e.value for e in table_from_sources(list(counts), numeric=True).entries}
    known = {e.source: e for e in (*style.entries, *given.entries)}
    names: dict[int, str] = {}
    entries = []
    for source, value in mapping.items():
        entry = known.get(str(source))
        name = names.setdefault(value, entry.name if entry else str(source))
        entries.append(ClassEntry(str(source), value, name, entry.color if entry else ""))
    return ClassTable(tuple(entries))
