"""Which scenes of an archive belong to a label: its target dates matched with items, or the reason why not."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..contract.jobs import ANY_ORBIT, LEAST_CLOUD, NEAREST
from .items import ArchiveItem

NO_SCENE = "no scene in the window"
TOO_CLOUDY = "too cloudy"
AT_NIGHT = "only scenes by night"
WRONG_ORBIT = "no scene of the orbit direction"
FEW_TIMESTEPS = "too few timesteps"


@dataclass(frozen=True)
class Rule:
    """How items are chosen.

    `selection` is `cloud` (lowest cloud cover; unknown cover comes last) or `nearest` (nearest date); ties go to the
    earlier date-time, then to the smaller id. Items lie within `tolerance_days` of their target and, where their cloud
    cover is known, at most at `max_cloud` percent. `orbit` is `any`, `ascending` or `descending`; `daytime` wants the
    sun above the horizon. At least `min_timesteps` targets must be met.
    """

    selection: str = LEAST_CLOUD
    tolerance_days: int = 5
    max_cloud: float = 10.0
    min_timesteps: int = 1
    orbit: str = ANY_ORBIT
    daytime: bool = False


@dataclass(frozen=True)
class Match:
    """An item, or None, for each target, oldest first; `reason` and `detail` say why a label gets no chip."""

    items: tuple[ArchiveItem | None, ...]
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Shortlist:
    """The items that may serve each target, oldest target first, best item first; `reason` and `detail` as in
    `Match`."""

    steps: tuple[tuple[ArchiveItem, ...], ...]
    reason: str = ""
    detail: str = ""

    @property
    def found(self) -> int:
        """Targets that are met."""
        return sum(bool(items) for items in self.steps)


@dataclass(frozen=True)
class Series:
    """The items that a chip is read from: for each input and timestep, oldest first, its candidates."""

    steps: tuple[tuple[tuple[ArchiveItem, ...], ...], ...]
    targets: tuple[dt.date, ...]


def match(targets: Sequence[dt.date], items: Sequence[ArchiveItem], rule: Rule, place: tuple[float, float]) -> Match:
    """Choose among `items`, all of which cover `place` (longitude, latitude), for the targets, oldest first.

    An item serves at most one target, the one nearest to it (of two equally near the earlier), so that no timestep
    repeats another.
    """
    found = shortlist(targets, items, rule, place)
    return Match(tuple(items[0] if items else None for items in found.steps), found.reason, found.detail)


def shortlist(
    targets: Sequence[dt.date], items: Sequence[ArchiveItem], rule: Rule, place: tuple[float, float]
) -> Shortlist:
    """As `match`, with all items that may serve a target, ranked."""
    steps: list[tuple[ArchiveItem, ...]] = []
    reasons: list[str] = []
    for number, target in enumerate(targets):
        candidates = [i for i in items if _days(i, target) <= rule.tolerance_days and _serves(i, number, targets)]
        candidates, reason = _allowed(candidates, rule, place)
        steps.append(tuple(sorted(candidates, key=lambda item: rank(item, target, rule))))
        if reason:
            reasons.append(f"{target}: {reason}")
    found = sum(bool(step) for step in steps)
    if found >= max(rule.min_timesteps, 1):
        return Shortlist(tuple(steps))
    kinds = {reason.partition(": ")[2] for reason in reasons}
    only = kinds.pop() if len(kinds) == 1 else FEW_TIMESTEPS
    return Shortlist(tuple(steps), FEW_TIMESTEPS if found else only, "; ".join(reasons))


def _serves(item: ArchiveItem, number: int, targets: Sequence[dt.date]) -> bool:
    """Whether target `number` is the first of those that the item is nearest to."""
    distances = [_days(item, target) for target in targets]
    return distances.index(min(distances)) == number


def _days(item: ArchiveItem, target: dt.date) -> int:
    return abs((item.time.date() - target).days)


def _allowed(
    candidates: Sequence[ArchiveItem], rule: Rule, place: tuple[float, float]
) -> tuple[list[ArchiveItem], str]:
    """Those that the rule allows, and the reason where none is left."""
    filters = (
        (NO_SCENE, lambda item: True),
        (WRONG_ORBIT, lambda item: rule.orbit in (ANY_ORBIT, item.orbit)),
        (AT_NIGHT, lambda item: not rule.daytime or sun_elevation(item.time, *place) > 0),
        (TOO_CLOUDY, lambda item: item.cloud_cover is None or item.cloud_cover <= rule.max_cloud),
    )
    left = list(candidates)
    for reason, allowed in filters:
        left = [item for item in left if allowed(item)]
        if not left:
            return [], reason
    return left, ""


def rank(item: ArchiveItem, target: dt.date, rule: Rule) -> tuple[float, dt.datetime, str]:
    """What the selection looks at first, then date-time, then id: the smallest is the best."""
    if rule.selection == NEAREST:
        return _days(item, target), item.time, item.id
    return math.inf if item.cloud_cover is None else item.cloud_cover, item.time, item.id


def sun_elevation(time: dt.datetime, longitude: float, latitude: float) -> float:
    """Degrees of the sun above the horizon, to about half a degree, refraction left out.

    Low-precision formulae of the Astronomical Almanac for declination and equation of time (NOAA, "General Solar
    Position Calculations").
    """
    utc = time.astimezone(dt.timezone.utc)
    hours = utc.hour + utc.minute / 60 + utc.second / 3600
    year = 2 * math.pi / 365 * (utc.timetuple().tm_yday - 1 + (hours - 12) / 24)
    declination = (
        0.006918 - 0.399912 * math.cos(year) + 0.070257 * math.sin(year) - 0.006758 * math.cos(2 * year)
        + 0.000907 * math.sin(2 * year) - 0.002697 * math.cos(3 * year) + 0.00148 * math.sin(3 * year)
    )  # fmt: skip
    equation_min = 229.18 * (
        0.000075 + 0.001868 * math.cos(year) - 0.032077 * math.sin(year) - 0.014615 * math.cos(2 * year)
        - 0.040849 * math.sin(2 * year)
    )  # fmt: skip
    hour_angle = math.radians((hours * 60 + equation_min + 4 * longitude) / 4 - 180)
    north = math.radians(latitude)
    height = math.sin(north) * math.sin(declination) + math.cos(north) * math.cos(declination) * math.cos(hour_angle)
    return math.degrees(math.asin(max(-1.0, min(1.0, height))))
