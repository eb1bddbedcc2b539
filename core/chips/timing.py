"""When a label was observed, and which dates of imagery that asks for."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..contract.errors import InstaGeoError
from ..contract.jobs import DAYS, MONTH

_DEKAD_STARTS = (1, 11, 21)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?$|\d{8}$")
# QGIS's own date patterns, longest first, as `strptime` writes them.
_PATTERNS = (("yyyy", "%Y"), ("yy", "%y"), ("MMMM", "%B"), ("MMM", "%b"), ("MM", "%m"), ("M", "%m"), ("dd", "%d"),
             ("d", "%d"), ("HH", "%H"), ("hh", "%H"), ("mm", "%M"), ("ss", "%S"))  # fmt: skip
_SHOWN = 3


@dataclass(frozen=True)
class Steps:
    """Which dates a label date asks for: `count` of them, `step` units apart, counted back from the label date, or
    from its month's first day, less `offset_days`."""

    count: int = 1
    step: int = 30
    unit: str = DAYS
    offset_days: int = 0
    month_start: bool = False

    def targets(self, label: dt.date) -> list[dt.date]:
        """The dates, oldest first.

        A month back keeps the day, or takes the month's last where it has no such day. A dekad back is the start (day
        1, 11 or 21) of an earlier dekad than the one the date lies in.

        >>> [str(d) for d in Steps(3, 30, month_start=True, offset_days=30).targets(dt.date(2022, 6, 8))]
        ['2022-03-03', '2022-04-02', '2022-05-02']
        """
        origin = (label.replace(day=1) if self.month_start else label) - dt.timedelta(days=self.offset_days)
        return [self._back(origin, i * self.step) for i in reversed(range(self.count))]

    def _back(self, origin: dt.date, steps: int) -> dt.date:
        if self.unit == DAYS:
            return origin - dt.timedelta(days=steps)
        if self.unit == MONTH:
            return _months_back(origin, steps)
        return _dekads_back(origin, steps)


def _months_back(date: dt.date, months: int) -> dt.date:
    year, month = divmod(date.year * 12 + date.month - 1 - months, 12)
    return dt.date(year, month + 1, min(date.day, calendar.monthrange(year, month + 1)[1]))


def _dekads_back(date: dt.date, dekads: int) -> dt.date:
    number = (date.year * 12 + date.month - 1) * 3 + min((date.day - 1) // 10, 2) - dekads
    months, dekad = divmod(number, 3)
    year, month = divmod(months, 12)
    return dt.date(year, month + 1, _DEKAD_STARTS[dekad])


def parse_label_dates(texts: Sequence[str], date_format: str, where: str) -> list[dt.date | None]:
    """The UTC day of each label; None where the text is empty.

    Without `date_format` only ISO 8601 is read, since 03/04/2022 is one day in one country and another in the next. A
    format is written as in QGIS (`dd/MM/yyyy`) or as in Python (`%d/%m/%Y`). A time with a zone is moved to UTC; one
    without is UTC. Raises `InstaGeoError` that shows examples of what cannot be read.
    """
    pattern = _strptime_pattern(date_format)
    dates: list[dt.date | None] = []
    wrong: list[str] = []
    for text in texts:
        try:
            dates.append(_utc_day(_parsed(text.strip(), pattern)) if text.strip() else None)
        except ValueError:
            wrong.append(text)
    if wrong:
        distinct = list(dict.fromkeys(wrong))
        shown = ", ".join(f"'{text}'" for text in distinct[:_SHOWN]) + (" ..." if len(distinct) > _SHOWN else "")
        expected = f"the form {date_format}" if date_format else "the form 2022-06-08"
        raise InstaGeoError(
            f"{where}: {len(wrong)} of {len(texts)} dates cannot be read, such as {shown}; expected {expected}.",
            "Say how the dates are written with DATE_FORMAT, such as dd/MM/yyyy for 31/12/2022.",
        )
    return dates


def _strptime_pattern(date_format: str) -> str:
    """`date_format` for `strptime`, empty for none."""
    if "%" in date_format:
        return date_format
    tokens = dict(_PATTERNS)
    return re.sub("|".join(token for token, _ in _PATTERNS), lambda found: tokens[found[0]], date_format)


def _parsed(text: str, pattern: str) -> dt.datetime:
    if pattern:
        return dt.datetime.strptime(text, pattern)
    if not _ISO.match(text):
        raise ValueError(text)
    return dt.datetime.fromisoformat(text)


def _utc_day(moment: dt.datetime) -> dt.date:
    return (moment.astimezone(dt.timezone.utc) if moment.tzinfo else moment).date()
