"""The record of an unfinished dataset: which candidates are done, so that a broken run goes on where it ended."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

import shapely

from ..contract.version import SOFTWARE
from .index import ChipRow, SkippedRow

LEDGER_FILE = "ledger.jsonl"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one candidate: a chip, a skipped cell, or (both None) nothing worth a row.

    `conflicts`: pixels with labels of several classes. `clamped`: values outside the range of the chip's type.
    """

    name: str
    chip: Optional[ChipRow] = None
    skipped: Optional[SkippedRow] = None
    conflicts: int = 0
    clamped: int = 0


class Ledger:
    """Outcomes by candidate name, one JSON line each after its files are complete. Used in a `with` block."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        self.folder = folder
        self.parameters = parameters
        self._path = folder / LEDGER_FILE
        self._header = {"software": SOFTWARE, "parameters": parameters}
        self.outcomes: dict[str, Outcome] = {}

    def matches(self) -> bool:
        """Whether the folder holds a ledger of the same parameters and software."""
        try:
            with self._path.open(encoding="utf-8") as lines:
                return bool(json.loads(lines.readline()) == json.loads(json.dumps(self._header)))
        except (OSError, ValueError):
            return False

    def __enter__(self) -> Ledger:
        if self.matches():
            self.outcomes = {outcome.name: outcome for outcome in self._read()}
        lines = [self._header, *(_plain(outcome) for outcome in self.outcomes.values())]
        beside = self._path.with_suffix(".new")
        beside.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.replace(beside, self._path)
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._file.close()

    def add(self, outcome: Outcome) -> None:
        self.outcomes[outcome.name] = outcome
        self._file.write(json.dumps(_plain(outcome)) + "\n")
        self._file.flush()

    def _read(self) -> list[Outcome]:
        """Outcomes up to the first damaged line: the line a crash cut off."""
        outcomes: list[Outcome] = []
        with self._path.open(encoding="utf-8") as lines:
            next(lines)
            for line in lines:
                try:
                    outcomes.append(_outcome(json.loads(line)))
                except ValueError:
                    break
        return outcomes


def _plain(outcome: Outcome) -> dict[str, Any]:
    record: dict[str, Any] = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome)}
    record["chip"] = _row_plain(outcome.chip, "footprint")
    record["skipped"] = _row_plain(outcome.skipped, "geometry")
    return record


def _row_plain(row: Any, geometry: str) -> Any:
    if row is None:
        return None
    values = {f.name: getattr(row, f.name) for f in dataclasses.fields(row)}
    return {**values, geometry: shapely.to_wkb(values[geometry], hex=True)}


def _outcome(record: dict[str, Any]) -> Outcome:
    chip, skipped = record.pop("chip"), record.pop("skipped")
    if chip is not None:
        chip = ChipRow(
            **{
                **chip,
                "transform": tuple(chip["transform"]),
                "class_counts": {int(value): count for value, count in chip["class_counts"].items()},
                "footprint": shapely.from_wkb(chip["footprint"]),
            }
        )
    if skipped is not None:
        skipped = SkippedRow(**{**skipped, "geometry": shapely.from_wkb(skipped["geometry"])})
    return Outcome(**record, chip=chip, skipped=skipped)
