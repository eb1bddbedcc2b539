"""An archive for tests and benchmarks: files whose pixels say where they lie, and a server that misbehaves as told."""

import http.server
import re
import threading
import time
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer


def code(easting, northing, band, day, resolution):
    """A value from 1 to 9999 that a shift by a few pixels, another band or another day would change."""
    column, row = np.floor(easting / resolution).astype(int), np.floor(northing / resolution).astype(int)
    return ((31 * column + 17 * row + 997 * band + 4999 * day) % 9999 + 1).astype(np.int32)


def coded(transform, width, height, band, day):
    """(H, W) codes of a grid's pixels."""
    x = transform.c + (np.arange(width) + 0.5) * transform.a
    y = transform.f + (np.arange(height) + 0.5) * transform.e
    return code(x[np.newaxis, :], y[:, np.newaxis], band, day, transform.a)


def write_cog(path, pixels, transform, crs, nodata=None, block=128):
    """(H, W) pixels as a COG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape
    profile = {"driver": "COG", "dtype": pixels.dtype, "count": 1, "width": width, "height": height}
    settings = {"blocksize": block, "compress": "deflate", "overview_resampling": "nearest"}
    with rasterio.open(path, "w", **profile, **settings, crs=crs, transform=transform, nodata=nodata) as raster:
        raster.write(pixels, 1)


def outline(transform, width, height, crs):
    """The footprint of a grid as a GeoJSON geometry in degrees."""
    corners = [transform * corner for corner in ((0, 0), (width, 0), (width, height), (0, height))]
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return shapely.geometry.mapping(shapely.Polygon([to_degrees.transform(*corner) for corner in corners]))


class Archive:
    """Writes scenes below a folder, and their items with links to `url`."""

    def __init__(self, folder, url):
        self.folder = Path(folder)
        self.url = url
        self.items = []

    def add(
        self,
        name,
        collection,
        when,
        bands,
        *,
        mask=None,
        crs="EPSG:32633",
        corner=(500_010, 5_700_000),
        resolution=30,
        size=512,
        nodata=None,
        cloud=0.0,
        dtype="int16",
        proj=True,
        assets=None,
        block=128,
        **properties,
    ):
        """A scene; `bands` are asset names with their resolution as a multiple of `resolution` (a list: 1 each).

        Pixels are `code`s of position, number of the band and day of the year; or (H, W) arrays of `assets`.
        """
        factors = bands if isinstance(bands, dict) else dict.fromkeys(bands, 1)
        day = int(time.strptime(when[:10], "%Y-%m-%d").tm_yday)
        links = {}
        for number, (band, factor) in enumerate(factors.items()):
            transform = Affine(resolution * factor, 0, corner[0], 0, -resolution * factor, corner[1])
            side = size // factor
            pixels = (assets or {}).get(band)
            pixels = coded(transform, side, side, number, day).astype(dtype) if pixels is None else pixels
            links[band] = self._asset(f"{collection}/{name}/{band}.tif", pixels, transform, crs, nodata, block)
        transform = Affine(resolution, 0, corner[0], 0, -resolution, corner[1])
        if mask is not None:
            key, pixels = mask
            links[key] = self._asset(f"{collection}/{name}/{key}.tif", pixels, transform, crs, None, block)
        described = {"proj:epsg": int(crs.split(":")[1])} if proj else {}
        clouds = {} if cloud is None else {"eo:cloud_cover": cloud}
        geometry = outline(transform, size, size, crs)
        self.items.append({
            "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection, "geometry": geometry,
            "bbox": list(shapely.geometry.shape(geometry).bounds), "links": [], "assets": links,
            "properties": {"datetime": when, **clouds, **described, **properties},
        })  # fmt: skip
        return self.items[-1]

    def _asset(self, relative, pixels, transform, crs, nodata, block):
        write_cog(self.folder / relative, pixels, transform, crs, nodata, block)
        return {"href": f"{self.url}/{relative}", "type": "image/tiff; application=geotiff"}


class RangeServer:
    """Serves a folder over HTTP with ranges. `requests` are (path, first, last) as answered.

    `fault(path, first)` may return {"status", "headers", "body", "cut", "delay_s"} for another answer, or None. `seen`
    are (address, headers) of all requests.
    """

    def __init__(self, folder, latency_s=0.0):
        self.folder = Path(folder)
        self.latency_s = latency_s
        self.requests = []
        self.seen = []
        self.fault = lambda path, first: None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def do_HEAD(self):
                outer.describe(self)

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def describe(self, handler):
        """Answer HEAD, which GDAL asks and the product does not."""
        time.sleep(self.latency_s)
        file = self.folder / handler.path.partition("?")[0].lstrip("/")
        handler.send_response(200 if file.is_file() else 404)
        handler.send_header("Content-Length", str(file.stat().st_size if file.is_file() else 0))
        handler.send_header("Accept-Ranges", "bytes")
        handler.end_headers()

    def answer(self, handler):
        time.sleep(self.latency_s)
        path = re.sub(r"^https?://[^/]+", "", handler.path).partition("?")[0].lstrip("/")
        found = re.match(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        first = int(found[1]) if found else 0
        self.seen.append((handler.path, handler.headers))
        fault = self.fault(handler.path, first) or {}
        file = self.folder / path
        if fault.get("status") or not file.is_file():
            self._send(handler, fault.get("status", 404), fault.get("headers", {}), fault.get("body", b""))
            return
        size = file.stat().st_size
        last = min(int(found[2]) if found and found[2] else size - 1, size - 1)
        with file.open("rb") as stream:
            stream.seek(first)
            body = stream.read(last - first + 1)
        headers = {"Content-Range": f"bytes {first}-{last}/{size}"} if found else {}
        self.requests.append((path, first, last))
        self._send(handler, 206 if found else 200, headers, body, fault.get("cut"), fault.get("delay_s", 0))

    def _send(self, handler, status, headers, body, cut=None, delay_s=0):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        time.sleep(delay_s)
        handler.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            handler.wfile.flush()
            handler.connection.close()
            handler.close_connection = True
