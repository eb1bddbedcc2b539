"""The foundation models that can be adapted: a table of frozen records; a new one of a known family is one record.

Parameters and multiply-accumulates are those of the encoders as published, at the input the record names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .dataset import REFLECTANCE
from .errors import InstaGeoError
from .sensors import METRES, SENSORS

PATCH, PIXEL_SERIES = "patch", "pixel-series"
PRITHVI, TERRAMIND, PRESTO, GALILEO = "prithvi", "terramind", "presto", "galileo"
DECIBEL = "dB"
HUB, GITHUB = "https://huggingface.co/{repository}", "https://github.com/{repository}"


@dataclass(frozen=True)
class Modality:
    """What a model takes from one kind of sensor: bands in order, with centre wavelengths in micrometres (0: none), the
    units it was trained with, and the mean and standard deviation of each band in these units."""

    name: str
    bands: tuple[str, ...]
    wavelengths_um: tuple[float, ...]
    units: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Published:
    """Where weights are published. `revision` and `sha256` are empty where they are not known from a source: they are
    recorded at the first download."""

    place: str
    repository: str
    file: str
    revision: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Backbone:
    """One pretrained encoder. `constants` are those of its family's size; `timesteps` the most it takes."""

    name: str
    title: str
    family: str
    kind: str
    constants: Mapping[str, Any]
    modalities: tuple[Modality, ...]
    timesteps: int
    weights: Published
    licence: str
    citation: str
    parameters: int
    macs: int = 0
    uses_time: bool = False
    uses_place: bool = False


def _wavelengths(sensor: str, bands: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(band.wavelength_um for band in SENSORS[sensor].resolve_bands(bands))


_HLS_BANDS = ("blue", "green", "red", "nir08", "swir16", "swir22")
_HLS_UM = _wavelengths("hls", _HLS_BANDS)
_HLS_V1 = Modality("hls", _HLS_BANDS, _HLS_UM, REFLECTANCE, (775.0, 1081.0, 1229.0, 2497.0, 2204.0, 1611.0),
                   (1282.0, 1270.0, 1399.0, 1368.0, 1292.0, 1155.0))  # fmt: skip
_HLS_V2 = Modality("hls", _HLS_BANDS, _HLS_UM, REFLECTANCE, (1087.0, 1342.0, 1433.0, 2734.0, 1958.0, 1363.0),
                   (2248.0, 2179.0, 2178.0, 1850.0, 1242.0, 1049.0))  # fmt: skip
_S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_S2L2A = Modality(
    "S2L2A",
    _S2_BANDS,
    _wavelengths("sentinel2", _S2_BANDS),
    REFLECTANCE,
    (1390.458, 1503.317, 1718.197, 1853.91, 2199.1, 2779.975, 2987.011, 3083.234, 3132.22, 3162.988, 2424.884,
     1857.648),
    (2106.761, 2141.107, 2038.973, 2134.138, 2085.321, 1889.926, 1820.257, 1871.918, 1753.829, 1797.379, 1434.261,
     1334.311),
)  # fmt: skip
_S1GRD = Modality("S1GRD", ("vv", "vh"), (0.0, 0.0), DECIBEL, (-12.599, -20.293), (5.195, 5.890))
_S1RTC = Modality("S1RTC", ("vv", "vh"), (0.0, 0.0), DECIBEL, (-10.93, -17.329), (4.391, 4.459))
_DEM = Modality("DEM", ("elevation",), (0.0,), METRES, (670.665,), (951.272,))

_PRITHVI_1 = "Jakubik et al., Foundation models for generalist geospatial AI, 2023, arXiv:2310.18660"
_PRITHVI_2 = "Szwarcman et al., Prithvi-EO-2.0, 2024, arXiv:2412.02732"
_TERRAMIND = "Jakubik et al., TerraMind, 2025, arXiv:2504.11171"
_PRESTO = "Tseng et al., Lightweight, pre-trained transformers for remote sensing timeseries, 2023, arXiv:2304.14065"
_GALILEO = "Tseng et al., Galileo, 2025, arXiv:2502.09356"
_APACHE, _MIT = "Apache-2.0", "MIT"


def _prithvi_2(size: str, constants: Mapping[str, Any], counts: tuple[int, float], placed: bool) -> Backbone:
    parameters, macs = counts
    suffix, title = ("_tl", " with time and location") if placed else ("", "")
    repository = f"Prithvi-EO-2.0-{size}{'-TL' if placed else ''}"
    file = repository.replace("-", "_").replace("EO_2.0", "EO_V2")
    return Backbone(
        name=f"prithvi_v2_{size.lower()}{suffix}",
        title=f"Prithvi-EO-2.0 {size}{title}",
        family=PRITHVI,
        kind=PATCH,
        constants={**constants, "coordinates": placed},
        modalities=(_HLS_V2,),
        timesteps=4,
        weights=Published(HUB, f"ibm-nasa-geospatial/{repository}", f"{file}.pt"),
        licence=_APACHE,
        citation=_PRITHVI_2,
        parameters=parameters,
        macs=round(macs * 1e9),
        uses_time=placed,
        uses_place=placed,
    )


def _terramind(size: str, constants: Mapping[str, Any], parameters: int, macs: float) -> Backbone:
    return Backbone(
        name=f"terramind_v1_{size}",
        title=f"TerraMind 1.0 {size}",
        family=TERRAMIND,
        kind=PATCH,
        constants=constants,
        modalities=(_S2L2A, _S1RTC, _S1GRD, _DEM),
        timesteps=1,
        weights=Published(HUB, f"ibm-esa-geospatial/TerraMind-1.0-{size}", f"TerraMind_v1_{size}.pt"),
        licence=_APACHE,
        citation=_TERRAMIND,
        parameters=parameters,
        macs=round(macs * 1e9),
    )


def _galileo(size: str, constants: Mapping[str, Any], parameters: int, sha256: str = "") -> Backbone:
    return Backbone(
        name=f"galileo_{size}",
        title=f"Galileo {size}",
        family=GALILEO,
        kind=PIXEL_SERIES,
        constants=constants,
        modalities=(),
        timesteps=24,
        weights=Published(
            GITHUB, "nasaharvest/galileo", f"data/models/{size}/encoder.pt",
            "0f0b5b95ac81acef4b74cf4686dc877202f4541b", sha256,
        ),
        licence=_MIT,
        citation=_GALILEO,
        parameters=parameters,
        uses_time=True,
        uses_place=True,
    )  # fmt: skip


_TINY, _BASE = {"dim": 192, "depth": 12, "heads": 3}, {"dim": 768, "depth": 12, "heads": 12}
_LARGE, _HUGE = {"dim": 1024, "depth": 24, "heads": 16}, {"dim": 1280, "depth": 32, "heads": 16, "patch": 14}

BACKBONES: tuple[Backbone, ...] = (
    Backbone(
        name="presto",
        title="Presto, up to 24 months",
        family=PRESTO,
        kind=PIXEL_SERIES,
        constants={"steps": 24},
        modalities=(),
        timesteps=24,
        weights=Published(
            GITHUB, "nasaharvest/presto", "data/default_model.pt", "13173d028f035abcbcc3b13829314323a5c15d02",
            "559c9d76f525bdf2dd3774da8b1e7f1510769b73baacac12e9e4d8d5c67fbe65",
        ),
        licence=_MIT,
        citation=_PRESTO,
        parameters=402_592,
        macs=38_400_000,
        uses_time=True,
        uses_place=True,
    ),
    Backbone(
        name="presto_dekadal",
        title="Presto of WorldCereal, up to 72 dekads",
        family=PRESTO,
        kind=PIXEL_SERIES,
        constants={"steps": 72},
        modalities=(),
        timesteps=72,
        weights=Published(
            GITHUB, "WorldCereal/prometheo", "prometheo/data/finetuned_presto_model.pt",
            "5fb39695c4a897c5a97fda782b88e139180b5793",
            "5c11407d84b7f622e415796d13e9790eb6d7c2545510041a64abf60bd4f138fc",
        ),
        licence=_MIT,
        citation=_PRESTO,
        parameters=402_592,
        uses_time=True,
        uses_place=True,
    ),
    _galileo("nano", {"dim": 128, "depth": 4, "heads": 8}, 1_040_000,
             "eab6acacf527886a508a555bc24efe4b4a2cf91b162e84cd1c4a1807e942180c"),
    _galileo("tiny", _TINY, 5_710_000),
    _galileo("base", _BASE, 86_500_000),
    Backbone(
        name="prithvi_v1_100m",
        title="Prithvi-EO-1.0 100M",
        family=PRITHVI,
        kind=PATCH,
        constants={**_BASE, "coordinates": False},
        modalities=(_HLS_V1,),
        timesteps=3,
        weights=Published(HUB, "ibm-nasa-geospatial/Prithvi-EO-1.0-100M", "Prithvi_EO_V1_100M.pt"),
        licence=_APACHE,
        citation=_PRITHVI_1,
        parameters=86_200_000,
        macs=17_700_000_000,
    ),
    _prithvi_2("tiny", _TINY, (5_600_000, 1.3), True),
    _prithvi_2("100M", _BASE, (86_200_000, 17.7), True),
    _prithvi_2("300M", _LARGE, (303_900_000, 62), False),
    _prithvi_2("300M", _LARGE, (303_900_000, 62), True),
    _prithvi_2("600M", _HUGE, (631_200_000, 167), False),
    _prithvi_2("600M", _HUGE, (631_200_000, 167), True),
    _terramind("tiny", _TINY, 5_900_000, 1.3),
    _terramind("small", {"dim": 384, "depth": 12, "heads": 6}, 22_500_000, 4.8),
    _terramind("base", {**_BASE, "gated": True}, 87_300_000, 17.8),
    _terramind("large", {**_LARGE, "gated": True}, 305_000_000, 61.7),
)  # fmt: skip


def backbone(name: str) -> Backbone:
    """The record called `name`; raises `InstaGeoError` that lists the known names."""
    for record in BACKBONES:
        if record.name == name:
            return record
    known = ", ".join(record.name for record in BACKBONES)
    raise InstaGeoError(f"There is no foundation model '{name}'; this version knows {known}.", "Choose one of these.")


def is_foundation(name: str) -> bool:
    """Whether `name` is one of these records."""
    return any(record.name == name for record in BACKBONES)
