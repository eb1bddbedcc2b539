"""Published weights from a hub of the test's own: revision, hash, resume, and what the user reads when it fails."""

import dataclasses
import hashlib
import json
import runpy
from pathlib import Path

import pytest
from instageo_plugin.core.contract.backbones import Published, backbone
from instageo_plugin.core.contract.errors import Cancelled, InstaGeoError
from instageo_plugin.core.models import published
from instageo_plugin.core.models.published import fetch_weights
from instageo_plugin.core.reporting import SilentReporter

SERVER = runpy.run_path(str(Path(__file__).parents[1] / "archive_server.py"))["RangeServer"]
REVISION = "0123456789abcdef0123456789abcdef01234567"
CONTENT = bytes(range(256)) * 40


class Recorder(SilentReporter):
    def __init__(self, checks=10**6):
        self.logs, self.shares, self.left = [], [], checks

    def log(self, message, level="info"):
        self.logs.append((level, message))

    def progress(self, share, message=""):
        self.shares.append(share)

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise Cancelled


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(published, "_PIECE", 1000)
    monkeypatch.setattr(published, "_PATIENCE", dataclasses.replace(published._PATIENCE, tries=2, wait_s=0.01))


@pytest.fixture
def hub(tmp_path):
    """A server with one model: its file under the revision, and what its main branch is at."""
    root = tmp_path / "hub"
    file = root / "owner" / "model" / "resolve" / REVISION / "weights.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    answer = root / "api" / "models" / "owner" / "model" / "revision" / "main"
    answer.parent.mkdir(parents=True)
    answer.write_text(json.dumps({"sha": REVISION}), encoding="utf-8")
    server = SERVER(root)
    yield server
    server.close()


@pytest.fixture
def record_of():
    def make(server, **changes):
        place = Published(f"{server.url}/{{repository}}", "owner/model", "weights.pt", **changes)
        return dataclasses.replace(backbone("prithvi_v2_tiny_tl"), weights=place)

    return make


def test_the_file_comes_whole_with_its_origin_and_is_fetched_once(hub, record_of, tmp_path):
    recorder, record = Recorder(), record_of(hub, revision=REVISION, sha256=hashlib.sha256(CONTENT).hexdigest())
    path = fetch_weights(record, recorder, tmp_path / "kept")
    assert path.read_bytes() == CONTENT
    assert recorder.shares == sorted(recorder.shares)
    assert recorder.shares[-1] == 1
    asked = len(hub.requests)
    assert asked == -(-len(CONTENT) // 1000)
    assert fetch_weights(record, Recorder(), tmp_path / "kept") == path
    assert len(hub.requests) == asked
    assert sorted(one.name for one in path.parent.iterdir()) == ["weights.pt", "weights.pt.json"]
    assert not any(level == "warning" for level, _ in recorder.logs)


def test_without_a_known_revision_the_newest_is_pinned_and_trusted_from_then_on(hub, record_of, tmp_path):
    recorder = Recorder()
    path = fetch_weights(record_of(hub), recorder, tmp_path)
    noted = json.loads(path.with_name("weights.pt.json").read_text(encoding="utf-8"))
    assert noted["revision"] == REVISION
    assert noted["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert any(level == "warning" and "is trusted" in message for level, message in recorder.logs)
    assert sorted(one.name for one in path.parent.iterdir()) == ["weights.pt", "weights.pt.json"]
    path.unlink()
    (hub.folder / "owner" / "model" / "resolve" / REVISION / "weights.pt").write_bytes(CONTENT[::-1])
    with pytest.raises(InstaGeoError, match=r"gave a file with the SHA-256 \w+; expected"):
        fetch_weights(record_of(hub), Recorder(), tmp_path)
    assert not path.exists()


def test_a_download_that_broke_off_goes_on_where_it_ended(hub, record_of, tmp_path):
    with pytest.raises(Cancelled):
        fetch_weights(record_of(hub), Recorder(checks=3), tmp_path)
    before = len(hub.requests)
    path = fetch_weights(record_of(hub), Recorder(), tmp_path)
    assert path.read_bytes() == CONTENT
    assert min(first for name, first, _ in hub.requests[before:] if name.endswith("weights.pt")) == 3000


def test_a_cut_transfer_and_a_busy_server_are_tried_again(hub, record_of, tmp_path):
    faults = [{"cut": 300}, {"status": 503}]
    hub.fault = lambda path, first: faults.pop() if faults and first == 2000 else None
    assert fetch_weights(record_of(hub), Recorder(), tmp_path).read_bytes() == CONTENT


def test_a_kept_file_that_was_changed_is_not_used(hub, record_of, tmp_path):
    path = fetch_weights(record_of(hub), Recorder(), tmp_path)
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(InstaGeoError, match="is a file with the SHA-256") as caught:
        fetch_weights(record_of(hub), Recorder(), tmp_path)
    assert "Delete it" in caught.value.hint


def test_without_a_network_the_user_reads_what_to_do(hub, record_of, tmp_path):
    record = record_of(hub, revision=REVISION)
    hub.close()
    with pytest.raises(InstaGeoError, match="could not be fetched") as caught:
        fetch_weights(record, Recorder(), tmp_path)
    assert "weights.pt" in caught.value.hint
    assert "WEIGHTS" in caught.value.hint
    assert "proxy" in caught.value.hint


def test_a_file_that_is_gone_is_told(hub, record_of, tmp_path):
    with pytest.raises(InstaGeoError, match=r"could not be fetched.*404"):
        fetch_weights(record_of(hub, revision="f" * 40), Recorder(), tmp_path)
