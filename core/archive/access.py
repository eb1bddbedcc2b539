"""Reaching an archive's files over HTTP: login, signing, patience with servers that fail."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests
import urllib3

from ..contract.errors import InstaGeoError
from ..contract.sensors import CATALOGS

Sink = Callable[[int, bytes], None]
EARTHDATA_LOGIN = "urs.earthdata.nasa.gov"
_EARTHDATA = ("earthdata.nasa.gov", "earthdatacloud.nasa.gov")
_SIGNED_STORAGE = ".blob.core.windows.net"
_HEADER = "header:"
RETRIED = (408, 425, 429, 500, 502, 503, 504)
_NO_ENTRY = (401, 403)
_BLOCK = 1 << 18  # bytes handed on at a time
_HOPELESS = 24  # files given up in a row: the archive is down, not one file


class ReadFailure(Exception):
    """A file, or a part of it, could not be had after all tries."""


@dataclass(frozen=True)
class Patience:
    """How often a request is tried, and how long is waited in between: `wait_s`, doubled each time, with jitter."""

    tries: int = 7
    wait_s: float = 0.5
    longest_wait_s: float = 60.0
    timeout_s: tuple[float, float] = (10.0, 60.0)  # to connect, between two packets


PATIENCE = Patience()


@dataclass(frozen=True)
class Credentials:
    """Who the user is, for the catalogue at `home` and the archive behind it; nobody else gets to know.

    `secrets` holds `username` and `password`, or HTTP headers as `header:NAME`.
    """

    home: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def login(self) -> tuple[str, str] | None:
        if "username" not in self.secrets:
            return None
        return self.secrets["username"], self.secrets.get("password", "")

    @property
    def headers(self) -> dict[str, str]:
        return {name[len(_HEADER) :]: value for name, value in self.secrets.items() if name.startswith(_HEADER)}

    def may_know(self, url: str) -> bool:
        """Whether the host of `url` is the catalogue's own, or both are NASA Earthdata's."""
        host, home = (urlsplit(text).hostname or "" for text in (url, CATALOGS.get(self.home, self.home)))
        return bool(host) and (host == home or all(_below(name, _EARTHDATA) for name in (host, home)))


NOBODY = Credentials()
_VARIABLE = "INSTAGEO_AUTH_"
LOGIN_VARIABLES = f"{_VARIABLE}USERNAME and {_VARIABLE}PASSWORD, or {_VARIABLE}TOKEN"


def secrets_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The archive login that the environment holds, since no job file does."""
    named = {"username": f"{_VARIABLE}USERNAME", "password": f"{_VARIABLE}PASSWORD"}
    secrets = {name: environment[variable] for name, variable in named.items() if environment.get(variable)}
    token = environment.get(f"{_VARIABLE}TOKEN")
    return {**secrets, f"{_HEADER}Authorization": f"Bearer {token}"} if token else secrets


def _below(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


class Session(requests.Session):
    """Gives credentials to whom they belong, on redirects too.

    NASA's archive redirects to its login page, which wants the password and redirects back.
    """

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials
        self.headers["Accept-Encoding"] = "identity"  # ranges are of the file as it is

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        prepared = super().prepare_request(request)
        self._identify(prepared)
        return prepared

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        super().rebuild_auth(prepared_request, response)
        for name in self._credentials.headers:
            prepared_request.headers.pop(name, None)
        self._identify(prepared_request)

    def _identify(self, prepared: requests.PreparedRequest) -> None:
        url, login = prepared.url or "", self._credentials.login
        if not self._credentials.may_know(url):
            return
        prepared.headers.update(self._credentials.headers)
        earthdata = _below(urlsplit(url).hostname or "", _EARTHDATA)
        if login and (not earthdata or urlsplit(url).hostname == EARTHDATA_LOGIN):
            prepared.prepare_auth(login, url)


class Access:
    """Fetches ranges of files; may be used by many threads.

    Raises `ReadFailure` for what one file is to blame for, `InstaGeoError` when the archive as a whole refuses.
    """

    def __init__(self, credentials: Credentials = NOBODY, patience: Patience = PATIENCE) -> None:
        self._credentials = credentials
        self._patience = patience
        self._local = threading.local()
        self._lock = threading.Lock()
        self._not_before: dict[str, float] = {}
        self._given_up = 0

    def fetch(self, url: str, first: int, last: int, sink: Sink) -> int:
        """Bytes `first` to `last` of `url` (less where the file ends before) to `sink`, as (offset, block), in order.

        Returns the size of the whole file. A transfer that breaks goes on where it ended. A server that knows no
        ranges sends the whole file.
        """
        progress = _Progress(first, sink)
        failures = 0
        renewed = False
        while True:
            before = progress.offset
            try:
                return self._try(url, progress, last, renewed)
            except _Refused as refusal:
                if renewed or not _is_signed_storage(url):
                    raise self._give_up(url, refusal) from refusal
                renewed = True
            except (_Busy, requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failures = 1 if progress.offset > before else failures + 1
                if failures >= self._patience.tries:
                    raise self._give_up(url, error) from error
                self._pause(url, failures, error)

    def _try(self, url: str, progress: _Progress, last: int, renew: bool) -> int:
        time.sleep(max(0.0, self._not_before.get(_host(url), 0.0) - time.monotonic()))
        asked = progress.offset
        with self._session().get(
            signed(url, renew),
            headers={"Range": f"bytes={asked}-{last}"},
            stream=True,
            timeout=self._patience.timeout_s,
        ) as answer:
            _check(answer)
            start, size = _extent(answer)
            if start != asked:
                progress.offset = start
            while block := answer.raw.read1(_BLOCK):  # what has come is kept, even if nothing follows
                progress.take(block)
        expected = size if answer.status_code == requests.codes.ok else min(last + 1, size)
        if progress.offset < expected:
            raise requests.ConnectionError(f"the transfer ended {expected - progress.offset} bytes early")
        self._given_up = 0
        return size

    def _session(self) -> Session:
        if not hasattr(self._local, "session"):
            self._local.session = Session(self._credentials)
        session: Session = self._local.session
        return session

    def _pause(self, url: str, failures: int, error: Exception) -> None:
        """Wait before the next try; where the server says how long, everybody waits."""
        patience = self._patience
        wait = min(patience.wait_s * 2 ** (failures - 1), patience.longest_wait_s) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter  # nosec
        asked = error.retry_after_s if isinstance(error, _Busy) else None
        if asked is not None:
            wait = min(max(asked, 0.0), 10 * patience.longest_wait_s)
            with self._lock:
                self._not_before[_host(url)] = time.monotonic() + wait
        time.sleep(wait)

    def _give_up(self, url: str, error: Exception) -> Exception:
        with self._lock:
            self._given_up += 1
            hopeless = self._given_up >= _HOPELESS
        if isinstance(error, _Refused) and error.status in _NO_ENTRY:
            return InstaGeoError(
                f"{_host(url)} wants a login ({error.status}) for {plain(url)}.",
                "Choose an authentication configuration with AUTH, or check the one you chose.",
            )
        failure = ReadFailure(f"{plain(url)}: {_detail(error)}")
        if not hopeless:
            return failure
        return InstaGeoError(
            f"{_HOPELESS} files in a row could not be read from the archive, the last {failure}.",
            "Check the network, or run this again later: it goes on where it ended.",
        )


@dataclass
class _Progress:
    offset: int
    sink: Sink

    def take(self, block: bytes) -> None:
        self.sink(self.offset, block)
        self.offset += len(block)


class _Busy(Exception):
    """The server asks to come again."""

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        super().__init__(f"the server answers {status}")
        self.retry_after_s = retry_after_s


class _Refused(Exception):
    """The server will not give the file, however often it is asked."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answers {status}")
        self.status = status


def _check(answer: requests.Response) -> None:
    if answer.status_code in RETRIED:
        raise _Busy(answer.status_code, _retry_after(answer.headers.get("Retry-After", "")))
    if answer.status_code not in (requests.codes.ok, requests.codes.partial_content):
        raise _Refused(answer.status_code)


def _retry_after(text: str) -> float | None:
    """Seconds to wait: the header holds a number, or a date."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None


def _extent(answer: requests.Response) -> tuple[int, int]:
    """Where the body begins in the file, and the file's size."""
    if answer.status_code == requests.codes.ok:
        return 0, int(answer.headers.get("Content-Length") or 0)
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    span, _, size = rest.partition("/")
    first = span.partition("-")[0]
    if unit != "bytes" or not first.isdecimal() or not size.isdecimal():
        raise requests.ConnectionError(f"the server's range is '{answer.headers.get('Content-Range', '')}'")
    return int(first), int(size)


def signed(url: str, renew: bool = False) -> str:
    """`url` as the archive wants it: Planetary Computer's storage wants a signature that lasts for an hour or so.

    `renew`: the last signature was refused, so a new one is asked for.
    """
    if not _is_signed_storage(url):
        return url
    import planetary_computer.sas

    if renew:
        planetary_computer.sas.TOKEN_CACHE.clear()
    try:
        return str(planetary_computer.sas.sign_url(url))
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status == requests.codes.not_found:
            return url  # storage of somebody else
        raise


def _is_signed_storage(url: str) -> bool:
    return _host(url).endswith(_SIGNED_STORAGE)


def plain(url: str) -> str:
    """`url` without its query, where signatures and keys stand."""
    return url.partition("?")[0]


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _detail(error: Exception) -> str:
    """The kind of failure; a library's own words may hold the signed address."""
    if isinstance(error, (_Busy, _Refused)):
        return str(error)
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "the server is too slow"
    text = str(error)
    return text if text.startswith("the ") else "the connection breaks"
