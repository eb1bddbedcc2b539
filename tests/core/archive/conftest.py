"""A real STAC API with recorded items, and a server in between that misbehaves as told."""

import http.server
import json
import threading
import typing
import urllib.error
import urllib.request

import pytest


class Recorder:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def log(self, message, level="info"):
        self.lines.append((level, message))

    def progress(self, share, message=""):
        pass

    def artifact(self, name, path):
        pass

    def check(self):
        pass

    def said(self, level="info"):
        return "\n".join(text for found, text in self.lines if found == level)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture(scope="session")
def recorded(shared_data):
    """Recorded items by collection."""
    items = {}
    for name in (
        "pc_sentinel-2-l2a_33.json",
        "pc_sentinel-2-l2a_site2_35MNM_jun-jul2020.json",
        "cmr_lpcloud_HLSS30_2.0.json",
        "pc_sentinel-1-rtc.json",
    ):
        for item in json.loads((shared_data / "stac" / name).read_text())["features"]:
            items.setdefault(item["collection"], []).append(item)
    return items


@pytest.fixture(scope="session")
def stac_api(recorded, start_stac):
    """URL of `rustac serve` with the recorded items."""
    return start_stac(recorded)


@pytest.fixture
def flaky(stac_api):
    """A server before the STAC API. `faults` holds (status, headers) answers to give first; `hits` counts requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        faults: typing.ClassVar = []
        hits = 0

        def _answer(self):
            Handler.hits += 1
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length) or None
            if Handler.faults:
                status, headers = Handler.faults.pop(0)
                self._send(status, headers, b"{}")
                return
            request = urllib.request.Request(stac_api + self.path, sent, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    body = answer.read().replace(stac_api.encode(), f"http://127.0.0.1:{port}".encode())
                    self._send(answer.status, {"Content-Type": "application/json"}, body)
            except urllib.error.HTTPError as error:
                with error:
                    self._send(error.code, {}, error.read())

        do_GET = do_POST = _answer  # noqa: N815 - the library's names

        def _send(self, status, headers, body):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    Handler.url = f"http://127.0.0.1:{port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Handler
    server.shutdown()
    server.server_close()
    thread.join()
