"""The acquisition date of a raster, from its tags or its file name."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path

from ..contract.errors import InstaGeoError

ACQUISITION_TAGS = (
    "ACQUISITIONDATETIME",  # GDAL's IMAGERY domain
    "ACQUISITION_DATE",
    "DATE_ACQUIRED",  # Landsat metadata
    "SENSING_TIME",  # Harmonized Landsat Sentinel
    "SENSING_DATE",
)
FILE_TAG = "TIFFTAG_DATETIME"  # often the time of writing, so it comes last
_LEADING_DATE = re.compile(r"\s*(\d{4})[-:/]?(\d{2})[-:/]?(\d{2})(?!\d)")
_NAMED_DATE = re.compile(r"(?<!\d)(\d{4})(-?)(\d{2})\2(\d{2})(?!\d)")
_YEARS = range(1970, 2100)


def parse_iso_date(text: str, where: str) -> str:
    """`text` as an ISO date; raises `InstaGeoError` with an example for any other form."""
    try:
        return datetime.date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise InstaGeoError(f"{where}: '{text}' is no date; expected the form 2022-06-08.") from None


def date_from_tags(tags: Mapping[str, str], names: tuple[str, ...]) -> str:
    """ISO date of the first tag in `names` that starts with one, empty when none does."""
    upper = {name.upper(): value for name, value in tags.items()}
    for name in names:
        match = _LEADING_DATE.match(upper.get(name, ""))
        date = _valid(*match.groups()) if match else ""
        if date:
            return date
    return ""


def date_from_name(path: str) -> str:
    """ISO date in the file name, as YYYY-MM-DD or YYYYMMDD; empty when there is none or more than one."""
    found = {_valid(m[1], m[3], m[4]) for m in _NAMED_DATE.finditer(Path(path).stem)} - {""}
    return found.pop() if len(found) == 1 else ""


def acquisition_date(path: str, tags: Mapping[str, str]) -> str:
    """ISO date of a raster, or empty: its acquisition tags, else its file name, else the time tag of the file."""
    return date_from_tags(tags, ACQUISITION_TAGS) or date_from_name(path) or date_from_tags(tags, (FILE_TAG,))


def _valid(year: str, month: str, day: str) -> str:
    try:
        date = datetime.date(int(year), int(month), int(day))
    except ValueError:
        return ""
    return date.isoformat() if date.year in _YEARS else ""
