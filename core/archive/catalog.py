"""Catalogues of imagery: STAC APIs, static catalogues, item files and folders of them, searched in the same way."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pystac
import requests
import shapely
import shapely.geometry
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from urllib3.util import Retry

from ..contract.errors import InstaGeoError
from ..contract.sensors import CATALOGS, Sensor
from ..reporting import Reporter
from .access import NOBODY, RETRIED, Credentials
from .items import ArchiveItem, item_from_plain

TIMEOUT_S = (10.0, 60.0)  # to connect, to answer
PAGE = 250  # items a page
_LOOK_AROUND = dt.timedelta(days=366)
_MOST_VERTICES = 200  # of a search geometry: servers refuse long requests


@dataclass(frozen=True)
class Query:
    """What to search for: collection ids (none: all), a geometry in EPSG:4326, first and last UTC day."""

    collections: tuple[str, ...]
    geometry: shapely.Geometry
    first: dt.date
    last: dt.date

    def matches(self, item: ArchiveItem) -> bool:
        """Whether an item is inside; catalogues answer by envelopes, some not by time at all."""
        return (
            (not self.collections or item.collection in self.collections)
            and self.first <= item.time.date() <= self.last
            and bool(self.geometry.intersects(item.footprint))
        )


class Catalog(Protocol):
    """Somewhere to search."""

    def collections(self) -> list[str]:
        """Ids of all its collections, sorted."""
        ...

    def search(self, query: Query, reporter: Reporter) -> list[ArchiveItem]:
        """The items of `query`, by time and id. Raises `InstaGeoError` when the catalogue fails."""
        ...


def open_catalog(address: str, credentials: Credentials = NOBODY, retries: int = 6) -> Catalog:
    """The catalogue at `address`: one of the names in `CATALOGS`, a URL, a file of items or catalogue, or a folder.

    Raises `InstaGeoError` when there is none.
    """
    path = Path(address)
    if path.is_dir():
        return Items(_items_of_folder(path), address)
    if path.is_file():
        return _from_plain(_read_json(path), address)
    if not address.startswith(("http://", "https://")) and address not in CATALOGS:
        raise InstaGeoError(
            f"CATALOG is '{address}', which is no file, folder or URL; expected one, or {', '.join(CATALOGS)}.",
            "Check the path.",
        )
    return _open_url(CATALOGS.get(address, address), credentials, retries)


def _open_url(url: str, credentials: Credentials, retries: int) -> Catalog:
    session_io = StacApiIO(max_retries=_retry(retries), timeout=TIMEOUT_S, request_modifier=_identified(credentials))
    try:
        plain = json.loads(session_io.read_text(url))
    except APIError as error:
        raise _failure(url, error) from error
    except ValueError as error:
        raise _not_stac(url, "its answer is not JSON") from error
    if isinstance(plain, dict) and "conformsTo" in plain:
        return Api(Client.open(url, stac_io=session_io), url)
    return _from_plain(plain, url)


def _identified(credentials: Credentials) -> Callable[[requests.Request], requests.Request]:
    """Gives credentials to the catalogue they are for."""

    def modify(request: requests.Request) -> requests.Request:
        if credentials.may_know(str(request.url)):
            request.headers = {**(request.headers or {}), **credentials.headers}
            request.auth = credentials.login or request.auth
        return request

    return modify


def _retry(count: int) -> Retry:
    """Waits 0.5 s, 1 s, 2 s ... with jitter, or what the server asks for in Retry-After."""
    return Retry(
        total=count,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        backoff_max=60,
        status_forcelist=RETRIED,
        allowed_methods=None,  # a search by POST changes nothing
        respect_retry_after_header=True,
        raise_on_status=False,
    )


class Api:
    """A STAC API."""

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._url = url

    def search(self, query: Query, reporter: Reporter) -> list[ArchiveItem]:
        """See `Catalog`. Items that are damaged are left out, and the log says so."""
        search = self._client.search(
            collections=list(query.collections) or None,
            intersects=shapely.geometry.mapping(_simple(query.geometry)),
            datetime=f"{query.first}T00:00:00Z/{query.last}T23:59:59.999Z",
            limit=PAGE,
        )
        try:
            return _matching(_checked(search.items_as_dicts(), reporter), query, self._url, reporter)
        except (APIError, requests.RequestException, pystac.STACError) as error:
            raise _failure(self._url, error) from error

    def collections(self) -> list[str]:
        """See `Catalog`."""
        try:
            return sorted(collection.id for collection in self._client.get_collections())
        except (APIError, requests.RequestException, pystac.STACError) as error:
            raise _failure(self._url, error) from error


class Items:
    """Items at hand."""

    def __init__(self, items: Iterable[Mapping[str, Any]], address: str) -> None:
        self._items = items
        self._address = address

    def collections(self) -> list[str]:
        """See `Catalog`."""
        return sorted({str(item.get("collection")) for item in self._items if item.get("collection")})

    def search(self, query: Query, reporter: Reporter) -> list[ArchiveItem]:
        """See `Catalog`."""
        return _matching(_checked(self._items, reporter), query, self._address, reporter)


def _matching(items: Iterable[Mapping[str, Any]], query: Query, address: str, reporter: Reporter) -> list[ArchiveItem]:
    """Every matching item once: pages may overlap when the archive grows in mid-search."""
    found: dict[tuple[str, str], ArchiveItem] = {}
    damaged: list[str] = []
    for plain in items:
        try:
            item = item_from_plain(plain)
        except (ValueError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
            damaged.append(str(error))
            continue
        if query.matches(item):
            found[item.collection, item.id] = item
    if damaged:
        reporter.log(f"{address}: {len(damaged)} damaged items are left out, the first: {damaged[0]}.", "warning")
    return sorted(found.values(), key=lambda item: (item.time, item.id))


def _checked(items: Iterable[Mapping[str, Any]], reporter: Reporter) -> Iterator[Mapping[str, Any]]:
    for item in items:
        reporter.check()
        yield item


def _simple(geometry: shapely.Geometry) -> shapely.Geometry:
    """`geometry`, or where it is long something simpler around it."""
    if shapely.get_num_coordinates(geometry) <= _MOST_VERTICES:
        return geometry
    hull = geometry.convex_hull
    return hull if shapely.get_num_coordinates(hull) <= _MOST_VERTICES else geometry.envelope


def _items_of_folder(folder: Path) -> list[Mapping[str, Any]]:
    """Items of all JSON files below `folder`; raises `InstaGeoError` when there are none."""
    found = [item for path in sorted(folder.rglob("*.json")) for item in _features(_read_json(path))]
    if not found:
        raise InstaGeoError(f"{folder} holds no STAC items.", "Choose the folder with the items' .json files.")
    return found


def _from_plain(plain: Any, address: str) -> Catalog:
    items = _features(plain)
    if items:
        return Items(items, address)
    if isinstance(plain, dict) and plain.get("type") in ("Catalog", "Collection"):
        return Items(_StaticItems(address), address)
    raise _not_stac(address, "it is neither a catalogue nor items")


class _StaticItems:
    """Items below a static catalogue, read as they are asked for."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        try:
            catalog = pystac.Catalog.from_file(self._address)
            for item in catalog.get_items(recursive=True):
                item.make_asset_hrefs_absolute()
                yield item.to_dict(include_self_link=False, transform_hrefs=False)
        except (OSError, ValueError, pystac.STACError) as error:
            raise InstaGeoError(f"The catalogue {self._address} cannot be read ({error}).") from error


def _features(plain: Any) -> list[Mapping[str, Any]]:
    if not isinstance(plain, dict):
        return []
    if plain.get("type") == "FeatureCollection":
        return list(plain.get("features", []))
    return [plain] if plain.get("type") == "Feature" and "stac_version" in plain else []


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InstaGeoError(f"{path} cannot be read as JSON ({error}).") from error


def collections_by_sensor(
    catalog: Catalog, address: str, sensors: Sequence[Sensor], given: Sequence[str]
) -> dict[str, str]:
    """The sensor's name by collection id: `given`, or those of the sensors that the catalogue has.

    A given collection that no sensor knows is taken for the first sensor's. Raises `InstaGeoError` for unknown ones,
    since servers answer them with no items, and the user would blame clouds.
    """
    known = catalog.collections()
    listed = f"{address} has {', '.join(known) or 'no collections'}"
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InstaGeoError(f"COLLECTIONS: there is no {', '.join(unknown)}; {listed}.", "Check the names.")
    owners: dict[str, str] = {}
    for sensor in sensors:
        offered = sensor.collections_of(address) if address in CATALOGS else sensor.collections
        for collection in offered:
            if collection.id in known and (not given or collection.id in given):
                owners.setdefault(collection.id, sensor.name)
    owners.update({name: sensors[0].name for name in given if name not in owners})
    missing = [sensor.title for sensor in sensors if sensor.name not in owners.values()]
    if missing:
        raise InstaGeoError(
            f"{address} has no imagery of {', '.join(missing)}; {listed}.",
            "Choose another CATALOG, or name its collections with COLLECTIONS.",
        )
    return owners


def nearest_dates(catalog: Catalog, query: Query, reporter: Reporter) -> InstaGeoError:
    """The error for a search that found nothing: what was asked for, and the nearest dates that have something."""
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


def _not_stac(address: str, why: str) -> InstaGeoError:
    return InstaGeoError(
        f"CATALOG {address} is not STAC: {why}.", "Give the root of a STAC API, a static catalogue, or a file of items."
    )


def _failure(url: str, error: Exception) -> InstaGeoError:
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return InstaGeoError(f"{url} wants a login ({status}).", "Choose an authentication configuration with AUTH.")
    if status == 404:
        return _not_stac(url, "nothing is there (404)")
    if status == 429:
        return InstaGeoError(f"{url} still refuses requests for their number (429).", "Run this again later.")
    detail = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
    return InstaGeoError(
        f"The catalogue {url} does not answer ({detail}).",
        "Check the network and QGIS's proxy settings, or run this again later.",
    )
