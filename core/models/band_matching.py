"""Which trained band each of a dataset's bands is: by name, else by wavelength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..contract.backbones import Modality
from ..contract.errors import Problems
from ..contract.sensors import SENSORS

SAME_UM = 0.03  # micrometres: the same part of the spectrum; HLS's narrow NIR and Sentinel-2's B08 differ by 0.023


@dataclass(frozen=True)
class BandMatch:
    """A dataset's band and the trained band, by position, whose weights it takes. `exact`: it is the same band; else
    its weights start as those of the nearest."""

    name: str
    position: int
    exact: bool


def match_bands(sensor: str, bands: Sequence[str], modality: Modality, nearest: bool = False) -> tuple[BandMatch, ...]:
    """The trained band of each of `bands` of a dataset's input of `sensor`.

    A band without a trained counterpart is refused, or with `nearest` takes the weights of the nearest wavelength.
    Raises `InstaGeoError` that lists all such bands, and those whose wavelength is not known.
    """
    trained = {name.lower(): position for position, name in enumerate(modality.bands)}
    problems = Problems(
        f"Bands for {modality.name}", f"Its bands are {', '.join(modality.bands)}; name them alike or choose others."
    )
    found = []
    for name in bands:
        wavelength = wavelength_of(sensor, name)
        if name.lower() in trained:
            found.append(BandMatch(name, trained[name.lower()], exact=True))
            continue
        if not wavelength:
            problems.add(f"'{name}' of {sensor} is no band of it, and its wavelength is not known.")
            continue
        position, distance = _nearest(wavelength, modality)
        exact = distance <= SAME_UM
        if not exact and not nearest:
            problems.add(
                f"'{name}' ({wavelength:g} um) has no pretrained weights: the nearest band, "
                f"{modality.bands[position]}, is at {modality.wavelengths_um[position]:g} um."
            )
        found.append(BandMatch(name, position, exact))
    _check_distinct(found, modality, problems)
    problems.raise_if_any()
    return tuple(found)


def _check_distinct(found: Sequence[BandMatch], modality: Modality, problems: Problems) -> None:
    """Two bands of the dataset cannot both be one trained band."""
    taken: dict[int, str] = {}
    for match in found:
        other = taken.setdefault(match.position, match.name) if match.exact else match.name
        if other != match.name:
            problems.add(f"'{other}' and '{match.name}' are both its band {modality.bands[match.position]}.")


def wavelength_of(sensor: str, name: str) -> float:
    """Micrometres; 0 where it is not known."""
    known = SENSORS.get(sensor)
    band = known.band(name) if known else None
    return band.wavelength_um if band else 0.0


def _nearest(wavelength: float, modality: Modality) -> tuple[int, float]:
    distances = [abs(wavelength - one) if one else float("inf") for one in modality.wavelengths_um]
    position = min(range(len(distances)), key=distances.__getitem__)
    return position, distances[position]
