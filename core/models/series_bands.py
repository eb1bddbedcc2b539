"""A dataset's inputs as the bands that pixel-series models know: Sentinel-1, Sentinel-2, weather and terrain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..contract.backbones import DECIBEL
from ..contract.dataset import REFLECTANCE, InputSpec
from ..contract.errors import InstaGeoError, Problems
from ..contract.sensors import LINEAR_POWER, METRES, SENSORS
from ..imagery.grid import pixel_metres
from ..imagery.occasion import Occasion
from .band_matching import SAME_UM, wavelength_of
from .presto import BANDS as PRESTO_BANDS
from .presto import GROUPS

BANDS = PRESTO_BANDS[:-1]  # NDVI is computed
_NDVI = len(BANDS)
_RADAR = {"vv": "VV", "vh": "VH"}
_OPTICAL = {"B02": "B2", "B03": "B3", "B04": "B4", "B05": "B5", "B06": "B6", "B07": "B7", "B08": "B8", "B8A": "B8A",
            "B11": "B11", "B12": "B12"}  # fmt: skip
_TERRAIN = {"elevation": "elevation", "slope": "slope"}
_WEATHER = {"tavg": ("temperature_2m", 1.0, 273.15), "prcp": ("total_precipitation", 1e-3, 0.0)}  # to kelvin and metres
_UNITS = {
    "sentinel1": (LINEAR_POWER, DECIBEL),
    "dem": (METRES,),
    "weather": (SENSORS["weather"].units,),
}  # of all others: reflectance
_ELEVATION, _SLOPE = BANDS.index("elevation"), BANDS.index("slope")
_LEAST_POWER = 1e-10  # -100 dB


@dataclass(frozen=True)
class SourceBand:
    """Band number `band` of input number `input` is the model's band number `position`: value x `gain` + `offset`, of
    ten times the decimal logarithm where it is `power`."""

    input: int
    band: int
    position: int
    gain: float = 1.0
    offset: float = 0.0
    power: bool = False


@dataclass(frozen=True)
class SeriesBands:
    """What of a dataset a pixel-series model sees: `sources`, over `timesteps`; `ignored` names the rest."""

    sources: tuple[SourceBand, ...]
    timesteps: int
    ignored: tuple[str, ...]

    @property
    def positions(self) -> frozenset[int]:
        """The model's bands that there are, the slope included that comes from elevation."""
        found = {source.position for source in self.sources}
        return frozenset(found | {_SLOPE} if _ELEVATION in found else found)

    @property
    def derives_slope(self) -> bool:
        return _SLOPE in self.positions - {source.position for source in self.sources}

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the model's groups of bands of which all are there."""
        optical = {BANDS.index("B4"), BANDS.index("B8")} <= self.positions
        there = self.positions | ({_NDVI} if optical else set())
        return tuple(name for name, bands in GROUPS.items() if set(bands) <= there)


def series_bands(inputs: Sequence[InputSpec], title: str, longest: int) -> SeriesBands:
    """How the model `title`, which takes up to `longest` timesteps, sees `inputs`.

    Raises `InstaGeoError` that lists units it was not trained with, timesteps that do not go together or are too many,
    a band that comes twice, and that no group of bands is complete.
    """
    problems = Problems(title, "Create the chips with other sensors, bands or timesteps.")
    sources, ignored = [], []
    for number, spec in enumerate(inputs):
        units = _UNITS.get(spec.sensor, (REFLECTANCE,))
        if spec.units not in units:
            problems.add(f"input '{spec.sensor}' is in '{spec.units}'; expected {' or '.join(units)}.")
        for band, name in enumerate(spec.bands):
            source = _source(spec, number, band)
            sources.append(source) if source else ignored.append(f"{spec.sensor} {name}")
    _check_once(sources, inputs, problems)
    dated = {spec.timesteps for spec in inputs} - {1} or {1}
    if len(dated) > 1:
        problems.add(f"the inputs have {' and '.join(map(str, sorted(dated)))} timesteps; expected one number.")
    if max(dated) > longest:
        problems.add(f"the inputs have {max(dated)} timesteps; it takes up to {longest}.")
    found = SeriesBands(tuple(sources), max(dated), tuple(ignored))
    if not found.groups:
        listed = "; ".join(f"{name}: {', '.join(_name(band) for band in bands)}" for name, bands in GROUPS.items())
        problems.add(f"none of its groups of bands is complete ({listed}).")
    problems.raise_if_any()
    return found


def _source(spec: InputSpec, number: int, band: int) -> SourceBand | None:
    name = spec.bands[band]
    if spec.sensor == "sentinel1":
        radar = _RADAR.get(name.lower())
        return SourceBand(number, band, BANDS.index(radar), power=spec.units == LINEAR_POWER) if radar else None
    if spec.sensor == "dem":
        return SourceBand(number, band, BANDS.index(_TERRAIN[name])) if name in _TERRAIN else None
    if spec.sensor == "weather":
        known, gain, offset = _WEATHER.get(name, ("", 1.0, 0.0))
        return SourceBand(number, band, BANDS.index(known), gain, offset) if known else None
    optical = _optical_band(spec.sensor, name)
    return SourceBand(number, band, BANDS.index(_OPTICAL[optical])) if optical in _OPTICAL else None


def _optical_band(sensor: str, name: str) -> str:
    """Sentinel-2's band of the same wavelength, or of that name or common name; empty where there is none."""
    sentinel2 = SENSORS["sentinel2"]
    wavelength = wavelength_of(sensor, name)
    if sensor == sentinel2.name or not wavelength:
        found = sentinel2.band(name) or sentinel2.band(name.upper().replace("B", "B0", 1))
        return found.name if found else ""
    nearest = min(sentinel2.bands, key=lambda band: abs(band.wavelength_um - wavelength))
    return nearest.name if abs(nearest.wavelength_um - wavelength) <= SAME_UM else ""


def _check_once(sources: Sequence[SourceBand], inputs: Sequence[InputSpec], problems: Problems) -> None:
    taken: dict[int, str] = {}
    for source in sources:
        name = f"{inputs[source.input].sensor} {inputs[source.input].bands[source.band]}"
        other = taken.setdefault(source.position, name)
        if other != name:
            problems.add(f"'{other}' and '{name}' are both its band {BANDS[source.position]}; leave one out.")


def _name(band: int) -> str:
    return PRESTO_BANDS[band]


def series_of(images: Sequence[np.ndarray], bands: SeriesBands, occasion: Occasion) -> np.ndarray:
    """(T, 16, H, W) float32 of `BANDS` in dB, reflectance x 10000, kelvin, metres and degrees; NaN = missing.

    images: one (T, C, H, W) an input, NaN = no data; a static one goes with every timestep. Backscatter that is not
    positive is missing. Slope is that of elevation where there is no band of it.
    """
    height, width = images[0].shape[-2:]
    found = np.full((bands.timesteps, len(BANDS), height, width), np.nan, dtype=np.float32)
    for source in bands.sources:
        values = images[source.input][:, source.band].astype(np.float64)
        if source.power:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(values > 0, 10 * np.log10(np.maximum(values, _LEAST_POWER)), np.nan)
        found[:, source.position] = values * source.gain + source.offset
    if bands.derives_slope:
        found[:, _SLOPE] = slope_degrees(found[0, _ELEVATION], pixel_metres(occasion.grid))
    return found


def slope_degrees(elevation: np.ndarray, pixel_m: tuple[float, float]) -> np.ndarray:
    """(H, W) degrees, by central differences, one-sided at the edges; 0 along a side of one pixel."""
    width, height = pixel_m
    down = np.gradient(elevation, height, axis=0) if elevation.shape[0] > 1 else np.zeros_like(elevation)
    right = np.gradient(elevation, width, axis=1) if elevation.shape[1] > 1 else np.zeros_like(elevation)
    slope: np.ndarray = np.degrees(np.arctan(np.hypot(down, right)))
    return slope


def months_of(occasion: Occasion, series: np.ndarray, subject: str) -> np.ndarray:
    """(T,) int64 months from 0 of a series (T, 16, ...); 0 where a timestep has no data but terrain.

    Raises `InstaGeoError`, which `subject` begins, where data has no date.
    """
    steps = len(series)
    dates = occasion.dates or ("",) * steps
    dated = np.isfinite(series[:, :_ELEVATION]).reshape(steps, -1).any(axis=1)
    if any(there and not date for there, date in zip(dated, dates)):
        listed = ", ".join(date or "none" for date in dates)
        raise InstaGeoError(
            f"{subject}: the dates of its {steps} timesteps are {listed}; this model needs them all.",
            "Give the dates of the rasters (DATES, or RASTER_TABLE of Create chips), or choose another backbone.",
        )
    return np.array([int(date[5:7]) - 1 if date else 0 for date in dates], dtype=np.int64)
