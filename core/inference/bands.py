"""Which bands of the rasters are the model's bands, at each timestep."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..contract.dataset import InputSpec
from ..contract.errors import InstaGeoError, Problems
from ..imagery.bands import complete_names, plain_band_name

_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})\S*$")
_NO_NAME = re.compile(r"((band|layer|channel)[ _-]*)?\d*|gr[ae]y( ?index)?|undefined", re.IGNORECASE)
_REMEDY = "Choose matching imagery, or map the bands with BANDS, such as '{first}:B02' or '{first}:1'."


@dataclass(frozen=True)
class Band:
    """A band of a file: 1-based `number`, and name and ISO date out of its description, empty where it has none."""

    number: int
    name: str = ""
    date: str = ""


@dataclass(frozen=True)
class BandList:
    """The bands of one raster, or of one timestep of a stacked raster; `source` counts the files given."""

    path: str
    source: int
    bands: tuple[Band, ...]

    @property
    def named(self) -> bool:
        return any(not _NO_NAME.fullmatch(band.name) for band in self.bands)

    @property
    def date(self) -> str:
        """Of all bands, where they have one and the same."""
        dates = {band.date for band in self.bands}
        return dates.pop() if len(dates) == 1 else ""

    def listed(self) -> str:
        """For messages: names where there are any, else the count."""
        if not self.named:
            return f"{len(self.bands)} bands without names"
        return f"{len(self.bands)} bands ({', '.join(band.name or str(band.number) for band in self.bands)})"


@dataclass(frozen=True)
class StepBands:
    """One timestep: the file (counted from 0) and the 1-based bands in it, in the model's order.

    `by_order`: the bands have no names, so their order was trusted. `date` is that of the bands' descriptions.
    """

    source: int
    bands: tuple[int, ...]
    by_order: bool = False
    date: str = ""


def band_list(path: str, source: int, descriptions: Mapping[int, str | None]) -> BandList:
    """`descriptions` by band number; chips and stacks write them as "<band> <ISO date>"."""
    bands = []
    for number, description in descriptions.items():
        text = (description or "").strip()
        name = plain_band_name(text)
        date = _DATE.search(text[len(name) :])
        bands.append(Band(number, name, "-".join(date.groups()) if date else ""))
    return BandList(path, source, tuple(bands))


def map_bands(spec: InputSpec, rasters: Sequence[BandList], mapping: str = "") -> list[StepBands]:
    """The bands of each timestep of `spec`, oldest first.

    rasters: one a timestep, or one that stacks all timesteps. `mapping`: "blue:B02 green:3", a model band to a raster's
    band name or its number (counted within a timestep). Names win over order; order counts only when the bands have no
    names and are exactly as many as the model's. Raises `InstaGeoError` with what was found and expected.
    """
    chosen = parse_mapping(mapping, spec.bands)
    steps = _steps(spec, rasters)
    problems = Problems("Bands", _REMEDY.format(first=spec.bands[0]))
    found = [_map_step(spec, step, chosen, problems) for step in steps]
    problems.raise_if_any()
    return [step for step in found if step is not None]


def parse_mapping(mapping: str, model_bands: Sequence[str]) -> dict[str, str]:
    """Model band to raster band, as written; names with blanks in quotes. Raises `InstaGeoError`."""
    problems = Problems("BANDS", "Write it as 'blue:B02 green:3': the model's band, a colon, the raster's.")
    known = {name.lower(): name for name in model_bands}
    chosen: dict[str, str] = {}
    try:
        words = shlex.split(mapping.replace(",", " "))
    except ValueError as error:
        raise InstaGeoError(f"BANDS is '{mapping}' ({error}).", "Close the quotes.") from error
    for word in words:
        name, colon, target = word.rpartition(":")
        if not colon or not target:
            problems.add(f"'{word}' is no pair of bands.")
        elif name.lower() not in known:
            problems.add(f"the model has no band '{name}'; it has {', '.join(model_bands)}.")
        elif known[name.lower()] in chosen:
            problems.add(f"the model's band '{name}' stands twice.")
        else:
            chosen[known[name.lower()]] = target
    problems.raise_if_any()
    return chosen


def _steps(spec: InputSpec, rasters: Sequence[BandList]) -> list[BandList]:
    if len(rasters) == spec.timesteps:
        return list(rasters)
    if len(rasters) == 1:
        return _unstacked(spec, rasters[0])
    raise InstaGeoError(
        f"{len(rasters)} rasters are given; the model expects {spec.timesteps} timesteps, one raster each, or one "
        f"raster that stacks {spec.timesteps} x {len(spec.bands)} bands.",
        "Give one raster a date, oldest first, each with all its bands.",
    )


def _unstacked(spec: InputSpec, raster: BandList) -> list[BandList]:
    """The timesteps of a stack: by the dates in its descriptions where they say it, else in equal runs of bands."""
    dates = sorted({band.date for band in raster.bands})
    if len(dates) == spec.timesteps and "" not in dates:
        groups = [tuple(band for band in raster.bands if band.date == date) for date in dates]
    elif len(raster.bands) % spec.timesteps == 0:
        length = len(raster.bands) // spec.timesteps
        groups = [raster.bands[i : i + length] for i in range(0, len(raster.bands), length)]
    else:
        raise InstaGeoError(
            f"{raster.path} has {raster.listed()}; the model expects {spec.timesteps} timesteps of "
            f"{len(spec.bands)} bands ({', '.join(spec.bands)}), {spec.channels} in all.",
            "Give one raster a date, oldest first, or one raster that stacks them.",
        )
    return [BandList(raster.path, raster.source, group) for group in groups]


def _map_step(spec: InputSpec, step: BandList, chosen: Mapping[str, str], problems: Problems) -> StepBands | None:
    names = complete_names([band.name for band in step.bands])  # as bands are named when chips are made
    by_name: dict[str, int] = {}
    for name, band in zip(names, step.bands):
        by_name.setdefault(name.lower(), band.number)
    found = {name: _find(chosen.get(name, name), name in chosen, by_name, step) for name in spec.bands}
    missing = [name for name, number in found.items() if number is None]
    if not missing:
        numbers = tuple(number for number in found.values() if number is not None)
        return StepBands(step.source, numbers, date=step.date)
    if not chosen and not step.named and len(step.bands) == len(spec.bands):
        return StepBands(step.source, tuple(band.number for band in step.bands), True, step.date)
    wanted = [f"{name} ({chosen[name]})" if name in chosen else name for name in missing]
    problems.add(
        f"{step.path} has {step.listed()}; the model expects {len(spec.bands)} ({', '.join(spec.bands)}), "
        f"not found: {', '.join(wanted)}."
    )
    return None


def _find(target: str, is_chosen: bool, by_name: Mapping[str, int], step: BandList) -> int | None:
    if is_chosen and target.isdecimal():
        place = int(target)
        return step.bands[place - 1].number if 1 <= place <= len(step.bands) else None
    return by_name.get(target.lower())
