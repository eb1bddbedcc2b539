"""STAC items as what the product needs of them, whichever catalogue they come from."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import shapely
import shapely.geometry

_TILE_KEYS = ("s2:mgrs_tile", "grid:code", "hls:tile")
_MGRS = re.compile(r"(?:^|[_.\-T])(\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?=[_.\-]|$)")
_LANDSAT_TILE = ("landsat:wrs_path", "landsat:wrs_row")


@dataclass(frozen=True)
class ArchiveItem:
    """One scene of an archive.

    `time` is in UTC; `cloud_cover` in percent, None where the catalogue gives none; `tile` is the MGRS tile or the
    Landsat path and row, empty where it has none; `footprint` is in EPSG:4326. `assets` and `properties` are the
    item's own.
    """

    id: str
    collection: str
    time: dt.datetime
    footprint: shapely.Geometry
    assets: Mapping[str, Any]
    properties: Mapping[str, Any]

    @property
    def cloud_cover(self) -> float | None:
        found = self.properties.get("eo:cloud_cover")
        return None if found is None else float(found)

    @property
    def platform(self) -> str:
        return str(self.properties.get("platform") or "")

    @property
    def orbit(self) -> str:
        return str(self.properties.get("sat:orbit_state") or "")

    @property
    def projection(self) -> str:
        """The code of the CRS of its files, such as EPSG:32633; empty where the item does not say."""
        for properties in (self.properties, *(asset for asset in self.assets.values() if isinstance(asset, Mapping))):
            code, number = properties.get("proj:code"), properties.get("proj:epsg")
            if code or number:
                return str(code or f"EPSG:{number}")
        return ""

    @property
    def tile(self) -> str:
        """
        >>> ArchiveItem("HLS.S30.T36NXF.2024006T075321.v2.0", "", None, None, {}, {}).tile
        '36NXF'
        """
        if all(key in self.properties for key in _LANDSAT_TILE):
            path, row = (str(self.properties[key]).zfill(3) for key in _LANDSAT_TILE)
            return f"{path}{row}"
        for text in (*(str(self.properties.get(key, "")) for key in _TILE_KEYS), self.id):
            found = _MGRS.search(text)
            if found:
                return found[1]
        return ""


def is_mgrs_tile(tile: str) -> bool:
    """
    >>> is_mgrs_tile("36NXF"), is_mgrs_tile("013032")
    (True, False)
    """
    return bool(_MGRS.fullmatch(tile))


def plain_item(item: ArchiveItem) -> dict[str, Any]:
    """The item as a GeoJSON feature, from which `item_from_plain` makes it again."""
    return {
        "id": item.id,
        "collection": item.collection,
        "geometry": shapely.geometry.mapping(item.footprint),
        "properties": {**item.properties, "datetime": item.time.isoformat()},
        "assets": {name: dict(asset) for name, asset in item.assets.items()},
    }


def item_from_plain(plain: Mapping[str, Any]) -> ArchiveItem:
    """The item of a GeoJSON feature; raises `ValueError` that says what a whole item would have."""
    missing = [key for key in ("id", "geometry", "properties", "assets") if not plain.get(key)]
    if missing:
        raise ValueError(f"item {plain.get('id', '')!r} lacks {', '.join(missing)}")
    properties = plain["properties"]
    moment = properties.get("datetime") or properties.get("start_datetime")
    if not moment:
        raise ValueError(f"item {plain['id']!r} has no datetime")
    time = dt.datetime.fromisoformat(str(moment))
    return ArchiveItem(
        id=str(plain["id"]),
        collection=str(plain.get("collection") or ""),
        time=time.astimezone(dt.timezone.utc) if time.tzinfo else time.replace(tzinfo=dt.timezone.utc),
        footprint=shapely.make_valid(shapely.geometry.shape(plain["geometry"])),
        assets=plain["assets"],
        properties=properties,
    )
