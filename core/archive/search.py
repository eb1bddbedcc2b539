"""`searchimagery`: which scenes an archive has, as a layer of footprints."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyogrio.raw
import shapely

from ..chips.index import GEOPACKAGE
from ..chips.vectors import Layer, area_outlines, read_layer
from ..contract.errors import InstaGeoError
from ..contract.jobs import SearchImageryJob
from ..contract.sensors import SENSORS
from ..files import written_whole
from ..imagery.dates import parse_iso_date
from ..reporting import Reporter
from .access import Credentials
from .catalog import Query, collections_by_sensor, nearest_dates, open_catalog
from .items import ArchiveItem

LAYER = "scenes"


def search_imagery(
    job: SearchImageryJob, reporter: Reporter, secrets: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Write the footprints (EPSG:4326) of the scenes found; outputs OUTPUT and COUNT.

    Raises `InstaGeoError` for a catalogue that fails and when nothing is found, with the nearest dates that exist.
    """
    area = area_4326(read_layer(job.area, "", "", "AREA"))
    first, last = (dt.date.fromisoformat(parse_iso_date(t, n)) for t, n in ((job.start, "START"), (job.end, "END")))
    reporter.progress(0, "Opening the catalogue")
    catalog = open_catalog(job.catalog, Credentials(job.catalog, secrets or {}))
    owners = collections_by_sensor(catalog, job.catalog, [SENSORS[name] for name in job.sensors], job.collections)
    query = Query(tuple(owners), area, first, last)
    reporter.progress(0.1, "Searching")
    found = catalog.search(query, reporter)
    if not found:
        raise nearest_dates(catalog, query, reporter)
    kept = _clear_enough(found, job.max_cloud, reporter)
    write_footprints(job.output, kept)
    reporter.log(f"{len(kept)} scenes, {kept[0].time.date()} to {kept[-1].time.date()}.")
    reporter.artifact("OUTPUT", job.output)
    return {"OUTPUT": job.output, "COUNT": len(kept)}


def area_4326(layer: Layer) -> shapely.Geometry:
    """The ground of a layer of polygons in EPSG:4326, cut at the antimeridian; holes count as ground.

    Raises `InstaGeoError` when it has no polygon.
    """
    return shapely.union_all(area_outlines(layer))


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
