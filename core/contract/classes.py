"""The class table: which source value of the labels becomes which class, with its name and colour."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import InstaGeoError, Problems

IGNORE_VALUE = -1
LARGEST_CLASS_VALUE = 32767  # label chips are int16
COLOR_PATTERN = re.compile(r"#[0-9a-f]{6}")

# Okabe and Ito's colour-blind safe palette (Color Universal Design, 2008), then its darker shades.
PALETTE = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999",
    "#8a5f00", "#2b7fb3", "#005f45", "#a89f1c", "#004468", "#803800", "#8a4a70", "#555555",
)  # fmt: skip


@dataclass(frozen=True)
class ClassEntry:
    """One class: `source` as text found in the label field, integer `value` in chips and maps, `#rrggbb` colour."""

    source: str
    value: int
    name: str
    color: str = ""


@dataclass(frozen=True)
class ClassTable:
    """All classes of a task, by ascending value. Two sources may share a value (they are merged into one class)."""

    entries: tuple[ClassEntry, ...] = ()

    def __post_init__(self) -> None:
        problems = Problems("Class table")
        names: dict[int, str] = {}
        sources: set[str] = set()
        for entry in self.entries:
            if not 0 <= entry.value <= LARGEST_CLASS_VALUE:
                problems.add(f"class '{entry.name}' has value {entry.value}; expected 0 to {LARGEST_CLASS_VALUE}.")
            if entry.color and not COLOR_PATTERN.fullmatch(entry.color):
                problems.add(f"class '{entry.name}' has colour '{entry.color}'; expected #rrggbb in lower case.")
            if entry.source in sources:
                problems.add(f"source value '{entry.source}' stands twice.")
            if names.setdefault(entry.value, entry.name) != entry.name:
                problems.add(f"value {entry.value} is named both '{names[entry.value]}' and '{entry.name}'.")
            sources.add(entry.source)
        problems.raise_if_any()
        coloured = tuple(_with_color(entry, self._first_color(entry.value)) for entry in self.entries)
        object.__setattr__(self, "entries", tuple(sorted(coloured, key=lambda e: (e.value, e.source))))

    def _first_color(self, value: int) -> str:
        return next((e.color for e in self.entries if e.value == value and e.color), "")

    @property
    def classes(self) -> tuple[ClassEntry, ...]:
        """One entry a class value, ascending: channel i of a model's output is `classes[i]`."""
        seen: dict[int, ClassEntry] = {}
        for entry in self.entries:
            seen.setdefault(entry.value, entry)
        return tuple(seen.values())

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(entry.value for entry in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.classes)

    def value_of(self, source: str) -> int:
        """Class value of a label's source value; raises `KeyError` for one outside the table."""
        for entry in self.entries:
            if entry.source == source:
                return entry.value
        raise KeyError(source)


def _with_color(entry: ClassEntry, shared: str) -> ClassEntry:
    color = entry.color or shared or PALETTE[entry.value % len(PALETTE)]
    return ClassEntry(entry.source, entry.value, entry.name, color)


def table_from_sources(sources: list[str], numeric: bool) -> ClassTable:
    """The table made when the user gives none: integers keep their value, text counts from 0 by code point.

    Raises `InstaGeoError` when a number is not a whole number from 0 to 32767.
    """
    distinct = sorted(set(sources))
    if not numeric:
        return ClassTable(tuple(ClassEntry(s, i, s) for i, s in enumerate(distinct)))
    wrong = [s for s in distinct if not s.isdecimal() or int(s) > LARGEST_CLASS_VALUE]
    if wrong:
        raise InstaGeoError(
            f"Class values {', '.join(wrong[:5])} are not whole numbers from 0 to {LARGEST_CLASS_VALUE}.",
            "Choose another class field, or give each value its class with CLASS_TABLE.",
        )
    return ClassTable(tuple(ClassEntry(s, int(s), s) for s in sorted(distinct, key=int)))
