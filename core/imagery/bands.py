"""Which bands of each raster a dataset takes, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..contract.errors import InstaGeoError

_DATE_IN_NAME = re.compile(r"[\s_-]*\(?(\d{4})-?(\d{2})-?(\d{2})(T[\d:]+Z?)?\)?$")


def plain_band_name(description: str) -> str:
    """A band description without the date some programs append, so that all timesteps share one name."""
    return _DATE_IN_NAME.sub("", description).strip()


def date_of_band(description: str) -> str:
    """The ISO date at the end of a band description, empty when there is none."""
    found = _DATE_IN_NAME.search(description)
    return "-".join(found.groups()[:3]) if found else ""


def complete_names(names: Sequence[str]) -> tuple[str, ...]:
    """Every band named, and differently: b1, b2 ... where there is no name, _2, _3 ... after a repeated one."""
    complete: list[str] = []
    for i, name in enumerate(names):
        base = name or f"b{i + 1}"
        unique, n = base, 1
        while unique in complete or (unique != name and unique in names):
            n += 1
            unique = f"{base}_{n}"
        complete.append(unique)
    return tuple(complete)


def parse_bands(text: str, sensor: str) -> tuple[str, ...]:
    """BANDS to the list of wanted names or numbers: `red,nir`, `1 2 3`, or either after `sensor:`.

    Names with blanks in them are separated by commas. Raises `InstaGeoError` for another sensor's bands and repeats.
    """
    text = text.strip()
    if text.startswith(f"{sensor}:"):
        text = text[len(sensor) + 1 :]
    wanted = tuple(part.strip() for part in (text.split(",") if "," in text else text.split()) if part.strip())
    if len(set(wanted)) != len(wanted):
        raise InstaGeoError(f"BANDS names a band twice: {', '.join(wanted)}.", "Name each band once.")
    return wanted


def find_band(wanted: str, names: Sequence[str]) -> int:
    """Index of the band `wanted` (a name, else a 1-based number) among `names`; raises `KeyError` when absent."""
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    raise KeyError(wanted)
