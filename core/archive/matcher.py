"""The scenes of several sensors that belong to a place and its target dates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..contract.jobs import CLEAREST, LEAST_CLOUD, MEDIAN, NEAREST, ArchiveChoice
from ..contract.sensors import NO_MASK
from .items import ArchiveItem, is_mgrs_tile
from .matching import Rule, Series, Shortlist, rank, shortlist
from .reading import Input

Place = tuple[float, float]


@dataclass(frozen=True)
class Found:
    """The series of a place with the item whose grid its chips lie on, or the reason why there is none."""

    series: Series | None = None
    reference: ArchiveItem | None = None
    reason: str = ""
    detail: str = ""


class Matcher:
    """Applies ArchiveChoice to places. The anchor is the dated input with the finest band: its scenes are matched with
    the target dates, those of the other inputs with the anchor's, and its grid is the chips'."""

    def __init__(self, choice: ArchiveChoice, inputs: Sequence[Input]) -> None:
        self._inputs = inputs
        self._selection = choice.selection
        self.anchor = anchor_of(inputs)
        clouds = choice.max_cloud if choice.selection in (LEAST_CLOUD, NEAREST) else 100.0
        self._rule = Rule(
            NEAREST if choice.selection == NEAREST else LEAST_CLOUD,
            choice.tolerance_days,
            clouds,
            choice.fewest_timesteps,
            choice.orbit,
            choice.daytime,
        )
        self._known: dict[tuple[object, ...], Found] = {}
        self._distinct: dict[tuple[object, ...], Found] = {}

    def find(
        self, targets: Sequence[dt.date], items: Sequence[Sequence[ArchiveItem]], place: Place, zone: str | None = None
    ) -> Found:
        """The series for `items` (one sequence an input), all of which cover `place` (longitude, latitude).

        With `zone` the anchor's scenes are of that zone; else the zone that meets most targets is chosen, then the one
        whose scenes are best.
        """
        at = place if self._rule.daytime else None
        key = (tuple(targets), tuple(tuple(map(id, each)) for each in items), at, zone)
        if key not in self._known:
            self._known[key] = self._find(tuple(targets), items, place, zone)
        return self._known[key]

    def _find(
        self, targets: tuple[dt.date, ...], items: Sequence[Sequence[ArchiveItem]], place: Place, zone: str | None
    ) -> Found:
        best = self._best_zone(targets, items[self.anchor], place, zone)
        if best.reason:
            return Found(reason=best.reason, detail=best.detail)
        newest = next(step for step in reversed(best.steps) if step)
        dates = [
            step[0].time.date() if step and self._is_single else target for step, target in zip(best.steps, targets)
        ]
        steps: list[tuple[tuple[ArchiveItem, ...], ...]] = []
        for number, one in enumerate(self._inputs):
            found = best if number == self.anchor else self._follow(one, targets, dates, items[number], place)
            if found.reason:
                return Found(reason=found.reason, detail=f"{one.sensor.title}: {found.detail}")
            steps.append(tuple(self._candidates(one, step) for step in found.steps))
        return self._once(Found(Series(tuple(steps), targets), newest[0]))

    def _once(self, found: Found) -> Found:
        """The same object for the same scenes, however many labels they were found for."""
        if found.series is None or found.reference is None:
            return found
        steps = tuple(tuple(tuple(map(id, step)) for step in each) for each in found.series.steps)
        dates = found.series.targets if self._selection == MEDIAN else None
        return self._distinct.setdefault((steps, id(found.reference), dates), found)

    @property
    def _is_single(self) -> bool:
        return self._selection in (LEAST_CLOUD, NEAREST)

    def _best_zone(
        self, targets: Sequence[dt.date], items: Sequence[ArchiveItem], place: Place, zone: str | None
    ) -> Shortlist:
        zones: dict[str, list[ArchiveItem]] = {}
        for item in items:
            zones.setdefault(zone_of(item), []).append(item)
        chosen = {name: group for name, group in zones.items() if zone in (None, name)}
        lists = [shortlist(targets, group, self._rule, place) for _, group in sorted(chosen.items())]
        if not lists:
            return shortlist(targets, [], self._rule, place)
        return min(lists, key=lambda found: (bool(found.reason), -found.found, self._merit(found, targets)))

    def _merit(self, found: Shortlist, targets: Sequence[dt.date]) -> tuple[float, ...]:
        """Sum of what the selection looks at over the targets: less is better."""
        best = [rank(step[0], target, self._rule)[0] for step, target in zip(found.steps, targets) if step]
        return (sum(best),)

    def _follow(
        self,
        one: Input,
        targets: Sequence[dt.date],
        dates: Sequence[dt.date],
        items: Sequence[ArchiveItem],
        place: Place,
    ) -> Shortlist:
        """The items of an input beside the anchor."""
        if one.sensor.static:
            return Shortlist((tuple(items),))
        if one.sensor.monthly:
            months = [[i for i in items if (i.time.year, i.time.month) == (t.year, t.month)] for t in targets]
            return Shortlist(tuple(tuple(found[:1]) for found in months))
        rule = replace(self._rule, daytime=False) if one.sensor.mask_decoder == NO_MASK else self._rule
        return shortlist(dates, items, replace(rule, selection=NEAREST), place)

    def _candidates(self, one: Input, step: tuple[ArchiveItem, ...]) -> tuple[ArchiveItem, ...]:
        """Only the best where the selection takes one, else all, by time and id."""
        if one.sensor.static or one.selection in (CLEAREST, MEDIAN):
            return tuple(sorted(step, key=lambda item: (item.time, item.id)))
        return step[:1]


def anchor_of(inputs: Sequence[Input]) -> int:
    """The dated input with the finest band, the first of several."""
    dated = [n for n, one in enumerate(inputs) if not (one.sensor.static or one.sensor.monthly)]
    return min(dated, key=lambda n: inputs[n].finest.resolution_m)


def zone_of(item: ArchiveItem) -> str:
    """Items of one zone share their pixel grid: the MGRS tile, else the projection, "" where neither is known."""
    return item.tile if is_mgrs_tile(item.tile) else item.projection
