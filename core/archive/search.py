"""`searchimagery`: which scenes an archive has, as a layer of footprints."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyogrio.raw
import pyproj
import shapely

from ..chips.index import GEOPACKAGE
from ..chips.vectors import Layer, read_layer
from ..contract.errors import InstaGeoError
from ..contract.jobs import SearchImageryJob
from ..contract.sensors import CATALOGS, SENSORS
from ..files import written_whole
from ..imagery.dates import parse_iso_date
from ..imagery.footprint import cut_at_antimeridian
from ..reporting import Reporter
from .catalog import Catalog, Query, open_catalog
from .items import ArchiveItem

LAYER = "scenes"
_EDGE_PIECES = 20  # a straight edge of a projected CRS is curved in degrees
_LOOK_AROUND = dt.timedelta(days=366)


def search_imagery(job: SearchImageryJob, reporter: Reporter) -> dict[str, Any]:
    """Write the footprints (EPSG:4326) of the scenes found; outputs OUTPUT and COUNT.

    Raises `InstaGeoError` for a catalogue that fails and when nothing is found, with the nearest dates that exist.
    """
    area = area_4326(read_layer(job.area, "", "", "AREA"))
    first, last = (dt.date.fromisoformat(parse_iso_date(t, n)) for t, n in ((job.start, "START"), (job.end, "END")))
    reporter.progress(0, "Opening the catalogue")
    catalog = open_catalog(job.catalog)
    query = Query(choose_collections(catalog, job), area, first, last)
    reporter.progress(0.1, "Searching")
    found = catalog.search(query, reporter)
    if not found:
        raise _nothing(catalog, query, reporter)
    kept = _clear_enough(found, job.max_cloud, reporter)
    write_footprints(job.output, kept)
    reporter.log(f"{len(kept)} scenes, {kept[0].time.date()} to {kept[-1].time.date()}.")
    reporter.artifact("OUTPUT", job.output)
    return {"OUTPUT": job.output, "COUNT": len(kept)}


def area_4326(layer: Layer) -> shapely.Geometry:
    """The ground of a layer of polygons in EPSG:4326, cut at the antimeridian; holes count as ground.

    Raises `InstaGeoError` when it has no polygon.
    """
    to_degrees = pyproj.Transformer.from_crs(layer.crs, "EPSG:4326", always_xy=True)
    parts = [p for p in shapely.get_parts(layer.geometries) if p is not None and p.geom_type == "Polygon"]
    outlines = [shapely.get_coordinates(shapely.segmentize(p.exterior, p.length / _EDGE_PIECES)) for p in parts if p]
    rings = [np.column_stack(to_degrees.transform(*outline[:-1].T)) for outline in outlines]
    whole = shapely.union_all([cut_at_antimeridian(ring) for ring in rings if np.isfinite(ring).all()])
    if whole.is_empty:
        raise InstaGeoError("AREA holds no polygon whose place is known.", "Choose a layer of polygons, or an extent.")
    return whole


def choose_collections(catalog: Catalog, job: SearchImageryJob) -> tuple[str, ...]:
    """The collections to search: COLLECTIONS, or those of the sensors that the catalogue has.

    Raises `InstaGeoError` for unknown ones, since servers answer them with no items, and the user would blame clouds.
    """
    known = catalog.collections()
    listed = f"{job.catalog} has {', '.join(known) or 'no collections'}"
    unknown = [name for name in job.collections if name not in known]
    if unknown:
        raise InstaGeoError(f"COLLECTIONS: there is no {', '.join(unknown)}; {listed}.", "Check the names.")
    if job.collections:
        return job.collections
    chosen: list[str] = []
    for name in job.sensors:
        sensor = SENSORS[name]
        offered = sensor.collections_of(job.catalog) if job.catalog in CATALOGS else sensor.collections
        ids = [collection.id for collection in offered if collection.id in known]
        if not ids:
            raise InstaGeoError(
                f"{job.catalog} has no imagery of {sensor.title}; {listed}.",
                "Choose another CATALOG, or name its collections with COLLECTIONS.",
            )
        chosen += ids
    return tuple(dict.fromkeys(chosen))


def _clear_enough(found: Sequence[ArchiveItem], max_cloud: float, reporter: Reporter) -> list[ArchiveItem]:
    unknown = sum(item.cloud_cover is None for item in found)
    kept = [item for item in found if item.cloud_cover is None or item.cloud_cover <= max_cloud]
    if not kept:
        lowest = min(item.cloud_cover or 0 for item in found)
        raise InstaGeoError(
            f"{len(found)} scenes were found, all cloudier than MAX_CLOUD {max_cloud:g} %; the clearest has "
            f"{lowest:.1f} %.",
            "Allow more clouds, or a longer span of time.",
        )
    if len(kept) < len(found):
        reporter.log(f"{len(found) - len(kept)} of {len(found)} scenes are cloudier than {max_cloud:g} %.")
    if unknown:
        reporter.log(f"{unknown} scenes say nothing of clouds; they are kept.")
    return kept


def _nothing(catalog: Catalog, query: Query, reporter: Reporter) -> InstaGeoError:
    """Nothing was found: why, and when there is something."""
    wider = replace(query, first=query.first - _LOOK_AROUND, last=query.last + _LOOK_AROUND)
    days = sorted({item.time.date() for item in catalog.search(wider, reporter)})
    before = [day for day in days if day < query.first][-1:]
    after = [day for day in days if day > query.last][:1]
    nearest = " and ".join(str(day) for day in before + after)
    remedy = f"The nearest dates with imagery are {nearest}." if nearest else (
        "There is none within a year of that time either: check the area and its CRS."
    )  # fmt: skip
    return InstaGeoError(
        f"There is no imagery of {', '.join(query.collections)} over the area from {query.first} to {query.last}.",
        remedy,
    )


def write_footprints(path: str, items: Sequence[ArchiveItem]) -> None:
    """A layer of polygons with id, collection, date, time, cloud_cover, platform, tile and orbit."""
    columns: dict[str, Any] = {
        "id": [item.id for item in items],
        "collection": [item.collection for item in items],
        "date": np.array([item.time.date() for item in items], dtype="datetime64[D]"),
        "time": [item.time.strftime("%H:%M:%S") for item in items],
        "cloud_cover": [np.nan if item.cloud_cover is None else item.cloud_cover for item in items],
        "platform": [item.platform for item in items],
        "tile": [item.tile for item in items],
        "orbit": [item.orbit for item in items],
    }
    shapes = [shapely.to_wkb(_polygons(item.footprint)) for item in items]
    with written_whole(path) as part:
        pyogrio.raw.write(
            part,
            geometry=np.array(shapes, dtype=object),
            field_data=[v if isinstance(v, np.ndarray) else _column(v) for v in columns.values()],
            fields=list(columns),
            layer=LAYER,
            driver="GPKG",
            geometry_type="MultiPolygon",
            crs="EPSG:4326",
            dataset_options=GEOPACKAGE,
        )


def _column(values: Sequence[Any]) -> np.ndarray:
    return np.array(values, dtype=object if isinstance(values[0], str) else float)


def _polygons(footprint: shapely.Geometry) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([p for p in shapely.get_parts(footprint) if p.geom_type == "Polygon"])
