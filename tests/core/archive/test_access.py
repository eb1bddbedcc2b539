import datetime as dt
import json

import planetary_computer.sas
import planetary_computer.settings
import pytest
from instageo_plugin.core.archive.access import Access, Credentials, Patience, ReadFailure, Session, secrets_of
from instageo_plugin.core.contract.errors import InstaGeoError

CONTENT = bytes(range(256)) * 40
LOGIN = {"username": "ada", "password": "s3cret"}
TOKEN = {"header:Authorization": "Bearer t0ken"}


@pytest.fixture
def fetch(server):
    """Fetches a range of the file `a.bin`; gives what came and the size of the whole."""
    (server.folder / "a.bin").write_bytes(CONTENT)

    def run(url=None, first=0, last=len(CONTENT) - 1, credentials=Credentials(), tries=4):  # noqa: B008
        got = bytearray(last + 1)

        def keep(offset, block):
            got[offset : offset + len(block)] = block

        access = Access(credentials, Patience(tries=tries, wait_s=0.01, timeout_s=(2.0, 0.5)))
        size = access.fetch(url or f"{server.url}/a.bin", first, last, keep)
        return bytes(got[first:size]), size

    return run


@pytest.fixture
def proxied(server, monkeypatch):
    """All hosts are the server, which sees their names."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "")


def test_a_range_and_the_size_of_the_whole(fetch, server):
    assert fetch(first=100, last=299) == (CONTENT[100:300], len(CONTENT))
    assert server.requests == [("a.bin", 100, 299)]


def test_beyond_the_end_comes_what_there_is(fetch):
    assert fetch(first=10_000, last=99_999) == (CONTENT[10_000:], len(CONTENT))


def test_a_broken_transfer_goes_on_where_it_ended(fetch, server):
    server.fault = lambda path, first: {"cut": 3000} if first < 6000 else None
    assert fetch(last=8999)[0][:9000] == CONTENT[:9000]
    assert [first for _, first, _ in server.requests] == [0, 3000, 6000]


def test_the_server_says_how_long_to_wait(fetch, server):
    busy = iter([{"status": 429, "headers": {"Retry-After": "0"}}, {"status": 503}])
    server.fault = lambda path, first: next(busy, None)
    assert fetch()[0] == CONTENT


def test_what_is_not_there_is_asked_for_once(fetch, server):
    with pytest.raises(ReadFailure, match=r"b\.bin: the server answers 404"):
        fetch(f"{server.url}/b.bin?sig=secret")
    assert len(server.seen) == 1


def test_after_all_tries_the_file_is_named_and_no_secret_is(fetch, server):
    server.fault = lambda path, first: {"status": 500}
    with pytest.raises(ReadFailure) as raised:
        fetch(f"{server.url}/a.bin?sig=s3cret", tries=3)
    assert "a.bin: the server answers 500" in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert len(server.seen) == 3


def test_a_login_is_asked_for_in_words(fetch, server):
    server.fault = lambda path, first: {"status": 401}
    with pytest.raises(InstaGeoError, match=r"wants a login \(401\)(.|\n)*AUTH"):
        fetch()


@pytest.mark.parametrize(("secrets", "sent"), [(LOGIN, "Basic YWRhOnMzY3JldA=="), (TOKEN, "Bearer t0ken")])
def test_credentials_go_to_the_catalogues_host_and_to_no_other(fetch, server, proxied, secrets, sent):
    home = Credentials("http://stac.example.org/v1", secrets)
    fetch("http://stac.example.org/a.bin", credentials=home)
    fetch("http://elsewhere.example.com/a.bin", credentials=home)
    assert [headers["Authorization"] for _, headers in server.seen] == [sent, None]


def test_credentials_do_not_follow_a_redirect_to_another_host(fetch, server, proxied):
    server.fault = lambda path, first: (
        {"status": 302, "headers": {"Location": "http://elsewhere.example.com/a.bin"}} if "stac" in path else None
    )
    fetch("http://stac.example.org/a.bin", credentials=Credentials("http://stac.example.org/", TOKEN))
    assert [headers["Authorization"] for _, headers in server.seen] == ["Bearer t0ken", None]


def test_earthdata_gets_the_password_at_its_login_page_only(fetch, server, proxied):
    def redirect(path, first):
        if "data.lpdaac" in path and "code=" not in path:
            return {"status": 302, "headers": {"Location": "http://urs.earthdata.nasa.gov/oauth/authorize"}}
        if "urs." in path:
            back = "http://data.lpdaac.earthdatacloud.nasa.gov/a.bin?code=1"
            return {"status": 302, "headers": {"Location": back}}
        return None

    server.fault = redirect
    home = Credentials("lpcloud", LOGIN)
    assert fetch("http://data.lpdaac.earthdatacloud.nasa.gov/a.bin", credentials=home)[0] == CONTENT
    assert [headers["Authorization"] is not None for _, headers in server.seen] == [False, True, False]


def test_secrets_are_in_no_representation():
    assert "s3cret" not in repr(Credentials("lpcloud", LOGIN))
    with Session(Credentials("lpcloud", LOGIN)) as session:
        assert "s3cret" not in repr(session.headers)


@pytest.fixture
def tokens(server, proxied, monkeypatch):
    """Planetary Computer's token service and storage, played by the server. Gives the signatures that are valid."""
    monkeypatch.setenv("PC_SDK_SAS_URL", "http://token.example.org/api/sas/v1/token")
    planetary_computer.settings.Settings.get.cache_clear()
    planetary_computer.sas.TOKEN_CACHE.clear()
    valid, given = {"sig=1"}, iter(range(1, 9))

    def answer(path, first):
        if "token.example.org" in path:
            expiry = (dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)).isoformat()
            token = {"msft:expiry": expiry, "token": f"st=a&se=b&sp=c&sig={next(given)}"}
            return {"status": 200, "body": json.dumps(token).encode(), "headers": {"Content-Type": "application/json"}}
        return None if any(signature in path for signature in valid) else {"status": 403}

    server.fault = answer
    yield valid
    planetary_computer.settings.Settings.get.cache_clear()
    planetary_computer.sas.TOKEN_CACHE.clear()


def test_planetary_computers_storage_is_signed_and_an_expired_signature_renewed(fetch, server, tokens):
    url = "http://account.blob.core.windows.net/container/a.bin"
    (server.folder / "container").mkdir()
    (server.folder / "container" / "a.bin").write_bytes(CONTENT)
    assert fetch(url)[0] == CONTENT
    tokens.clear()
    tokens.add("sig=2")
    assert fetch(url)[0] == CONTENT
    assert sum("token.example.org" in path for path, _ in server.seen) == 2
    tokens.clear()
    with pytest.raises(InstaGeoError, match="wants a login"):
        fetch(url)


@pytest.mark.parametrize(
    ("environment", "login", "headers"),
    [
        ({"INSTAGEO_AUTH_USERNAME": "ada", "INSTAGEO_AUTH_PASSWORD": "x y"}, ("ada", "x y"), {}),
        ({"INSTAGEO_AUTH_TOKEN": "t0ken"}, None, {"Authorization": "Bearer t0ken"}),
        ({"INSTAGEO_AUTH_USERNAME": "", "USERNAME": "ada"}, None, {}),
    ],
)
def test_without_qgis_a_login_comes_from_the_environment(environment, login, headers):
    credentials = Credentials("https://archive.example/stac", secrets_of(environment))
    assert credentials.login == login
    assert credentials.headers == headers
