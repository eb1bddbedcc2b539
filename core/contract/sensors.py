"""The sensors that archives offer, as a table of frozen records; a new sensor is one record.

Band names are those of the sensor (`B02`); HLS, which merges two instruments that number their bands differently, names
bands by the STAC common name. Wavelengths are band centres of the STAC catalogues' own `eo:bands`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .dataset import REFLECTANCE, REFLECTANCE_NODATA
from .errors import InstaGeoError, Problems

CUSTOM = "custom"  # rasters at hand, of any kind
LINEAR_POWER, METRES = "linear power", "metres"
CLOUD, ADJACENT, SHADOW, CIRRUS, SNOW, WATER = "cloud", "adjacent", "shadow", "cirrus", "snow", "water"
MASKS = (CLOUD, ADJACENT, SHADOW, CIRRUS, SNOW, WATER)
FMASK, SCL, QA_PIXEL, NO_MASK = "fmask", "scl", "qa_pixel", ""
PLANETARY_COMPUTER, EARTH_SEARCH, LPCLOUD = "planetary-computer", "earth-search", "lpcloud"

# Addresses of the catalogues that CATALOG knows by name.
CATALOGS: Mapping[str, str] = {
    PLANETARY_COMPUTER: "https://planetarycomputer.microsoft.com/api/stac/v1",
    EARTH_SEARCH: "https://earth-search.aws.element84.com/v1",
    LPCLOUD: "https://cmr.earthdata.nasa.gov/stac/LPCLOUD",
}


@dataclass(frozen=True)
class Band:
    """One band: its name, STAC common name, centre wavelength in micrometres (0 for radar) and pixel size in metres."""

    name: str
    common_name: str
    wavelength_um: float
    resolution_m: float


@dataclass(frozen=True)
class Collection:
    """A sensor's imagery in one catalogue: collection id, and the asset key of each band and of the mask.

    A band that is absent from `assets` is not offered there.
    """

    catalog: str
    id: str
    assets: Mapping[str, str]
    mask: str = ""


@dataclass(frozen=True)
class Sensor:
    """What the archive's numbers mean.

    Values of the chips = digital number x `scale` + `offset`, in `units`; `nodata` is the archive's. `mask_decoder`
    names the function of `imagery.masks` that reads the mask asset. `default_bands` are used when BANDS names none.
    `static`: without dates, one timestep; `monthly`: a target's imagery is that of its month.
    """

    name: str
    title: str
    bands: tuple[Band, ...]
    collections: tuple[Collection, ...]
    default_bands: tuple[str, ...]
    units: str = REFLECTANCE
    dtype: str = "int16"
    nodata: Optional[float] = 0.0
    chip_nodata: Any = REFLECTANCE_NODATA
    scale: float = 1.0
    offset: float = 0.0
    mask_decoder: str = NO_MASK
    has_baseline: bool = False
    static: bool = False
    monthly: bool = False

    def band(self, name: str) -> Optional[Band]:
        """The band called `name`, or with that common name where only one has it; case does not count."""
        wanted = name.strip().lower()
        named = [band for band in self.bands if band.name.lower() == wanted]
        common = [band for band in self.bands if band.common_name == wanted]
        found = named or common
        return found[0] if len(found) == 1 else None

    def resolve_bands(self, names: tuple[str, ...]) -> tuple[Band, ...]:
        """Bands in the order asked for, the default ones when none is; raises `InstaGeoError` listing the unknown."""
        found = {name: self.band(name) for name in names or self.default_bands}
        unknown = [name for name, band in found.items() if band is None]
        if unknown:
            known = ", ".join(f"{band.name} ({band.common_name})" for band in self.bands)
            raise InstaGeoError(f"{self.title} has no band {', '.join(unknown)}; its bands are {known}.")
        return tuple(band for band in found.values() if band)

    def collections_of(self, catalog: str) -> tuple[Collection, ...]:
        """The sensor's collections in a catalogue known by name, none when it has none there."""
        return tuple(collection for collection in self.collections if collection.catalog == catalog)


def _bands(*rows: tuple[str, str, float, float]) -> tuple[Band, ...]:
    return tuple(Band(*row) for row in rows)


_SENTINEL2_BANDS = _bands(
    ("B01", "coastal", 0.443, 60), ("B02", "blue", 0.490, 10), ("B03", "green", 0.560, 10), ("B04", "red", 0.665, 10),
    ("B05", "rededge071", 0.704, 20), ("B06", "rededge075", 0.740, 20), ("B07", "rededge078", 0.783, 20),
    ("B08", "nir", 0.842, 10), ("B8A", "nir08", 0.865, 20), ("B09", "nir09", 0.945, 60), ("B11", "swir16", 1.610, 20),
    ("B12", "swir22", 2.190, 20),
)  # fmt: skip
_SENTINEL2_EARTH_SEARCH = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2",
    "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
_HLS_BANDS = _bands(
    ("coastal", "coastal", 0.443, 30), ("blue", "blue", 0.482, 30), ("green", "green", 0.561, 30),
    ("red", "red", 0.655, 30), ("nir08", "nir08", 0.865, 30), ("swir16", "swir16", 1.609, 30),
    ("swir22", "swir22", 2.201, 30),
)  # fmt: skip
_HLS_L30 = {"coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "nir08": "B05", "swir16": "B06",
            "swir22": "B07"}  # fmt: skip
_HLS_S30 = {**_HLS_L30, "nir08": "B8A", "swir16": "B11", "swir22": "B12"}
_LANDSAT_BANDS = tuple(band for band in _HLS_BANDS if band.name != "coastal")
_HLS_SIX = ("blue", "green", "red", "nir08", "swir16", "swir22")

_RECORDS = (
    Sensor(
        name="hls",
        title="Harmonized Landsat Sentinel-2",
        bands=_HLS_BANDS,
        collections=(
            Collection(LPCLOUD, "HLSL30_2.0", _HLS_L30, "Fmask"),
            Collection(LPCLOUD, "HLSS30_2.0", _HLS_S30, "Fmask"),
            Collection(PLANETARY_COMPUTER, "hls2-l30", _HLS_L30, "Fmask"),
            Collection(PLANETARY_COMPUTER, "hls2-s30", _HLS_S30, "Fmask"),
        ),
        default_bands=_HLS_SIX,
        nodata=-9999.0,
        mask_decoder=FMASK,
    ),
    Sensor(
        name="sentinel2",
        title="Sentinel-2 L2A",
        bands=_SENTINEL2_BANDS,
        collections=(
            Collection(PLANETARY_COMPUTER, "sentinel-2-l2a", {b.name: b.name for b in _SENTINEL2_BANDS}, "SCL"),
            Collection(EARTH_SEARCH, "sentinel-2-l2a", _SENTINEL2_EARTH_SEARCH, "scl"),
            Collection(EARTH_SEARCH, "sentinel-2-c1-l2a", _SENTINEL2_EARTH_SEARCH, "scl"),
        ),
        default_bands=("B02", "B03", "B04", "B8A", "B11", "B12"),
        mask_decoder=SCL,
        has_baseline=True,
    ),
    Sensor(
        name="sentinel1",
        title="Sentinel-1 RTC",
        bands=_bands(("vv", "vv", 0, 10), ("vh", "vh", 0, 10), ("hh", "hh", 0, 10), ("hv", "hv", 0, 10)),
        collections=(
            Collection(PLANETARY_COMPUTER, "sentinel-1-rtc", {name: name for name in ("vv", "vh", "hh", "hv")}),
        ),
        default_bands=("vv", "vh"),
        units=LINEAR_POWER,
        dtype="float32",
        nodata=-32768.0,
        chip_nodata="nan",
    ),
    Sensor(
        name="landsat",
        title="Landsat Collection 2 Level 2",
        bands=_LANDSAT_BANDS,
        collections=(
            Collection(PLANETARY_COMPUTER, "landsat-c2-l2", {b.name: b.name for b in _LANDSAT_BANDS}, "qa_pixel"),
        ),
        default_bands=_HLS_SIX,
        # USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide: reflectance = DN x 0.0000275 - 0.2
        scale=0.275,
        offset=-2000.0,
        mask_decoder=QA_PIXEL,
    ),
    Sensor(
        name="dem",
        title="Copernicus DEM GLO-30",
        bands=_bands(("elevation", "elevation", 0, 30)),
        collections=(
            Collection(PLANETARY_COMPUTER, "cop-dem-glo-30", {"elevation": "data"}),
            Collection(EARTH_SEARCH, "cop-dem-glo-30", {"elevation": "data"}),
        ),
        default_bands=("elevation",),
        units=METRES,
        dtype="float32",
        nodata=None,
        chip_nodata="nan",
        static=True,
    ),
    Sensor(
        name="weather",
        title="NOAA nClimGrid, monthly weather of the contiguous United States",
        bands=_bands(
            ("tavg", "tavg", 0, 4600), ("tmin", "tmin", 0, 4600), ("tmax", "tmax", 0, 4600), ("prcp", "prcp", 0, 4600)
        ),
        collections=(
            Collection(
                PLANETARY_COMPUTER, "noaa-nclimgrid-monthly", {name: name for name in ("tavg", "tmin", "tmax", "prcp")}
            ),
        ),
        default_bands=("tavg", "prcp"),
        units="degrees Celsius, millimetres a month",
        dtype="float32",
        nodata=None,
        chip_nodata="nan",
        monthly=True,
    ),
)
SENSORS: Mapping[str, Sensor] = {sensor.name: sensor for sensor in _RECORDS}

# Since processing baseline 04.00 (25 January 2022) Sentinel-2 products carry 1000 added to every digital number.
BASELINE_WITH_OFFSET = 4.0
BASELINE_OFFSET = -1000.0
_APPLIED = "earthsearch:boa_offset_applied"
_BASELINES = ("s2:processing_baseline", "processing:version")


def sentinel2_offset(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> float:
    """What to add to an item's digital numbers so that scenes before and after baseline 04.00 agree.

    Earth Search says in `earthsearch:boa_offset_applied` that it is done already, even where `raster:bands` still lists
    the offset. Otherwise the processing baseline decides; where the item names none, `raster:bands` does. Raises
    `InstaGeoError` when the item says nothing, since a guess would be wrong by 1000.
    """
    if properties.get(_APPLIED) is True:
        return 0.0
    baseline = _baseline(properties)
    if baseline is not None:
        return BASELINE_OFFSET if baseline >= BASELINE_WITH_OFFSET else 0.0
    described = (asset.get("raster:bands") or [{}])[0]
    if "scale" in described:
        return float(round(float(described.get("offset", 0.0)) / float(described["scale"])))
    raise InstaGeoError(
        "The item names neither its processing baseline nor an offset, so its reflectance may be off by 0.1.",
        "Choose another catalogue, such as planetary-computer.",
    )


def _baseline(properties: Mapping[str, Any]) -> Optional[float]:
    for key in _BASELINES:
        try:
            return float(str(properties[key]))
        except (KeyError, ValueError):
            continue
    return None


def parse_sensor_bands(text: str, sensors: tuple[str, ...]) -> dict[str, tuple[Band, ...]]:
    """BANDS such as `sentinel2:B02,B03 sentinel1:vv,vh`: the bands of each of `sensors`, default ones where none are
    named. With one sensor its name may be left out. Raises `InstaGeoError` that lists everything unknown."""
    problems = Problems("BANDS", "Write them as 'sentinel2:B02,B03 sentinel1:vv,vh'.")
    named: dict[str, tuple[str, ...]] = {}
    for word in text.split():
        sensor, colon, bands = word.rpartition(":")
        if not colon and len(sensors) == 1:
            sensor = sensors[0]
        if sensor not in sensors:
            problems.add(f"'{word}' names no chosen sensor; these are chosen: {', '.join(sensors)}.")
            continue
        named[sensor] = (*named.get(sensor, ()), *(name for name in bands.split(",") if name))
    found = {}
    for sensor in sensors:
        try:
            found[sensor] = SENSORS[sensor].resolve_bands(named.get(sensor, ()))
        except InstaGeoError as error:
            problems.add(error.message)
    problems.raise_if_any()
    return found
