"""Label features from a vector file: geometries, class values as text, and what had to be left out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyogrio.raw
import pyproj
import shapely

from ..contract.errors import InstaGeoError
from ..imagery.footprint import cut_at_antimeridian
from .index import SkippedRow

POINT_TYPES = ("Point", "MultiPoint")
POLYGON_TYPES = ("Polygon", "MultiPolygon")
_POLYGON_IDS = (3, 6)  # of shapely.get_type_id
_EDGE_PIECES = 20  # a straight edge of a projected CRS is curved in degrees
NO_CLASS = "no class (NULL)"
NO_GEOMETRY = "no valid geometry"


@dataclass(frozen=True)
class LabelFeatures:
    """Usable labels: `geometries` (shapely, in `crs`), `sources` (class values as text), `fids`; one a feature.

    `numeric`: the class field holds whole numbers. `skipped` lists the features left out, `repaired` counts invalid
    polygons made valid. `unclassed` holds polygons without a class: their ground is not background.
    """

    geometries: np.ndarray
    sources: np.ndarray
    fids: np.ndarray
    crs: pyproj.CRS
    numeric: bool
    unclassed: np.ndarray
    skipped: tuple[SkippedRow, ...] = ()
    repaired: int = 0

    def __len__(self) -> int:
        return len(self.geometries)

    def subset(self, numbers: np.ndarray) -> LabelFeatures:
        """Only the features `numbers`; what was left out before stays with the whole."""
        chosen = (self.geometries[numbers], self.sources[numbers], self.fids[numbers])
        return LabelFeatures(*chosen, self.crs, self.numeric, self.unclassed, (), 0)


@dataclass(frozen=True)
class Layer:
    """A layer as read: `values` is the class field, None without one; `dates` the date field as text by fid, "" for
    NULL, empty without one."""

    geometries: np.ndarray
    values: Any
    fids: np.ndarray
    crs: pyproj.CRS
    dates: Mapping[int, str] = dataclasses.field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 of CRS, geometries and values, so that the same content is the same under any file name."""
        summary = hashlib.sha256(self.crs.to_wkt().encode())
        for geometry in shapely.to_wkb(self.geometries, include_srid=False):
            summary.update(b"-" if geometry is None else geometry)
        for value in [] if self.values is None else self.values:
            summary.update(repr(value.item() if isinstance(value, np.generic) else value).encode())
        for fid, date in self.dates.items():
            summary.update(f"{fid} {date}".encode())
        return f"sha256:{summary.hexdigest()}"


def read_layer(path: str, layer: str, field: str, parameter: str, date_field: str = "") -> Layer:
    """Read a vector layer (2D) with its class field, or with none when `field` is empty, and its date field, if any.

    `parameter` names it in messages. Raises `InstaGeoError` for a file that is no vector layer, an unknown layer or
    field, and a layer without geometries or CRS.
    """
    known = _layers(path, parameter)
    if layer and layer not in known:
        raise InstaGeoError(f"{parameter}: {path} has no layer '{layer}'; it has {', '.join(known)}.")
    name = layer or known[0]
    fields = list(pyogrio.read_info(path, layer=name)["fields"])
    listed = ", ".join(map(str, fields)) or "none"
    for public, wanted in (("CLASS_FIELD", field), ("DATE_FIELD", date_field)):
        if wanted and wanted not in fields:
            raise InstaGeoError(f"{public}: {path} has no field '{wanted}'; its fields are: {listed}.")
    try:
        meta, fids, wkb, values = pyogrio.raw.read(
            path, layer=name, columns=[field] if field else [], force_2d=True, return_fids=True
        )
    except Exception as error:
        raise InstaGeoError(f"{parameter}: {path} cannot be read ({error}).") from error
    if wkb is None:
        raise InstaGeoError(f"{parameter}: layer '{name}' of {path} is a table without geometries.")
    if not meta["crs"]:
        raise InstaGeoError(
            f"{parameter}: layer '{name}' of {path} has no CRS, so its place on the imagery is unknown.",
            "Set the layer's CRS with 'Assign projection'.",
        )
    crs = pyproj.CRS.from_user_input(meta["crs"])
    dates = _dates(path, name, date_field) if date_field else {}
    return Layer(shapely.from_wkb(wkb, on_invalid="ignore"), values[0] if field else None, fids, crs, dates)


def _dates(path: str, layer: str, field: str) -> dict[int, str]:
    """A field as text by fid, dates in ISO form, "" for NULL; whole numbers such as 20220608 without a fraction."""
    _, fids, _, values = pyogrio.raw.read(
        path, layer=layer, columns=[field], read_geometry=False, return_fids=True, datetime_as_string=True
    )
    return {int(fid): _date_text(value) for fid, value in zip(fids, values[0])}


def _date_text(value: Any) -> str:
    if value is None or str(value) in ("nan", "NaT", "None"):
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _layers(path: str, parameter: str) -> list[str]:
    try:
        known = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
    except Exception as error:
        raise InstaGeoError(f"{parameter}: {Path(path)} cannot be read as a vector file ({error}).") from error
    if not known:
        raise InstaGeoError(f"{parameter}: {path} holds no layers.")
    return known


def label_features(layer: Layer, field: str, parameter: str = "INPUT") -> LabelFeatures:
    """Labels that can be used: points and polygons with a class; `parameter` names the layer in messages.

    Features without geometry or class are listed as skipped, invalid polygons repaired. Raises `InstaGeoError` for an
    empty layer, lines, decimals as classes, and when no feature has a class.
    """
    if not len(layer.geometries):
        raise InstaGeoError(f"{parameter} holds no labels.", "Check the layer's filter and the selected features.")
    sources, numeric = class_sources(layer.values, field)
    _check_types(layer.geometries, parameter)
    geometries, mended = repaired(layer.geometries)
    reasons = _reasons(geometries, sources)
    usable = reasons == ""
    if not usable.any():
        found = ", ".join(f"{np.count_nonzero(reasons == r)} with {r}" for r in np.unique(reasons))
        raise InstaGeoError(
            f"{parameter} has no usable label in {len(reasons)} features: {found}.",
            f"Fill the field '{field}' or choose another CLASS_FIELD.",
        )
    skipped = skipped_labels(geometries[~usable], layer.fids[~usable], reasons[~usable], layer.crs)
    unclassed = geometries[(reasons == NO_CLASS) & np.isin(shapely.get_type_id(geometries), _POLYGON_IDS)]
    return LabelFeatures(
        geometries[usable], sources[usable], layer.fids[usable], layer.crs, numeric, unclassed, tuple(skipped), mended
    )


def class_sources(values: np.ndarray, field: str) -> tuple[np.ndarray, bool]:
    """Class values as text ("" for NULL and empty text), and whether they are whole numbers.

    Raises `InstaGeoError` for decimals and for types that are neither number nor text.
    """
    if values.dtype.kind in "iub":
        return np.array([str(int(v)) for v in values], dtype=object), True
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        wrong = values[~missing & (values != np.rint(values))]
        if len(wrong):
            raise InstaGeoError(
                f"CLASS_FIELD '{field}' holds decimals such as {wrong[0]:g}; expected whole numbers or text.",
                "Choose the field that holds the class.",
            )
        return np.array(["" if m else str(int(v)) for v, m in zip(values, missing)], dtype=object), True
    if values.dtype.kind != "O":
        raise InstaGeoError(
            f"CLASS_FIELD '{field}' has type {values.dtype}; expected whole numbers or text.",
            "Choose the field that holds the class.",
        )
    return np.array(["" if v is None else str(v) for v in values], dtype=object), False


def _check_types(geometries: np.ndarray, parameter: str) -> None:
    wrong = sorted({g.geom_type for g in geometries if g is not None} - {*POINT_TYPES, *POLYGON_TYPES})
    if wrong:
        raise InstaGeoError(
            f"{parameter} holds geometries of type {', '.join(wrong)}; expected points or polygons.",
            "Choose a layer of points or polygons, or buffer the lines first.",
        )


def repaired(geometries: np.ndarray) -> tuple[np.ndarray, int]:
    """Invalid polygons made valid (their polygonal part), and how many of them still cover ground."""
    invalid = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    invalid &= np.isin(shapely.get_type_id(geometries), _POLYGON_IDS)
    if not invalid.any():
        return geometries, 0
    mended = geometries.copy()
    mended[invalid] = [_polygonal(g) for g in shapely.make_valid(geometries[invalid])]
    return mended, int(np.count_nonzero(invalid & ~shapely.is_empty(mended)))


def _polygonal(geometry: shapely.Geometry) -> shapely.Geometry:
    parts = [p for p in shapely.get_parts(shapely.get_parts([geometry])) if p.geom_type in POLYGON_TYPES]
    return shapely.MultiPolygon([q for p in parts for q in shapely.get_parts(p)])


def _reasons(geometries: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Why each feature cannot be used, "" where it can."""
    reasons = np.full(len(geometries), "", dtype=object)
    reasons[sources == ""] = NO_CLASS
    reasons[~np.isfinite(shapely.bounds(geometries)).all(axis=1)] = NO_GEOMETRY
    return reasons


def skipped_labels(geometries: np.ndarray, fids: np.ndarray, reasons: Any, crs: pyproj.CRS) -> list[SkippedRow]:
    """One row a label, its geometry in EPSG:4326; `reasons` is one text for all or one a label."""
    reasons = np.broadcast_to(np.asarray(reasons, dtype=object), len(geometries))
    return [
        SkippedRow(reason, f"label {fid}", 1, geometry)
        for reason, fid, geometry in zip(reasons, fids, to_4326(geometries, crs))
    ]


def to_4326(geometries: np.ndarray, crs: pyproj.CRS) -> list[shapely.Geometry]:
    """Geometries in degrees; an empty point for one that has no place there."""
    moved = transform(geometries, crs, pyproj.CRS("EPSG:4326"))
    placed = np.isfinite(shapely.bounds(moved)).all(axis=1)
    return [g if ok else shapely.Point() for g, ok in zip(moved, placed)]


def transform(geometries: np.ndarray, source: pyproj.CRS, target: pyproj.CRS) -> np.ndarray:
    """Geometries with their vertices in another CRS; coordinates outside its domain become infinite."""
    if source == target:
        return geometries
    transformer = _transformer(source, target)
    moved: np.ndarray = shapely.transform(
        geometries, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
    )
    return moved


@lru_cache(maxsize=64)
def _transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def area_outlines(layer: Layer) -> list[shapely.Geometry]:
    """The polygons of a layer in EPSG:4326, cut at the antimeridian; holes count as ground.

    Raises `InstaGeoError` when there is none.
    """
    to_degrees = _transformer(layer.crs, pyproj.CRS("EPSG:4326"))
    parts = [p for p in shapely.get_parts(layer.geometries) if p is not None and p.geom_type == "Polygon"]
    edges = [shapely.get_coordinates(shapely.segmentize(p.exterior, p.length / _EDGE_PIECES)) for p in parts if p]
    rings = [np.column_stack(to_degrees.transform(*edge[:-1].T)) for edge in edges]
    outlines = [cut_at_antimeridian(ring) for ring in rings if np.isfinite(ring).all()]
    found = [outline for outline in outlines if not outline.is_empty]
    if not found:
        raise InstaGeoError("AREA holds no polygon whose place is known.", "Choose a layer of polygons, or an extent.")
    return found


def extent_text(bounds: np.ndarray, crs: pyproj.CRS) -> str:
    """West, south, east, north of (n, 4) bounds in EPSG:4326, as text for messages."""
    boxes = np.atleast_1d(shapely.box(*np.asarray(bounds).T))
    edges = shapely.total_bounds(np.array(to_4326(boxes, crs), dtype=object))
    return " ".join(f"{edge:.5f}" for edge in edges)
