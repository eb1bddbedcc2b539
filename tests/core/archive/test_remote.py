"""Files fetched in parts: every byte once, whoever asks."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from instageo_plugin.core.archive.access import Access, Patience, ReadFailure
from instageo_plugin.core.archive.remote import RemoteFile, RemoteStream, Spans, joined

CONTENT = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8).tobytes()


@pytest.fixture
def remote(server, tmp_path):
    """A file on the server."""
    (server.folder / "a.bin").write_bytes(CONTENT)
    file = RemoteFile(f"{server.url}/a.bin", Access(patience=Patience(tries=2, wait_s=0.01)), tmp_path / "spool")
    yield file
    file.close()


def test_spans_say_what_is_missing_like_a_set_of_numbers():
    rng = np.random.default_rng(1)
    spans, there = Spans(), set()
    for _ in range(400):
        first = int(rng.integers(0, 90))
        end = first + int(rng.integers(0, 12))
        if rng.random() < 0.7:
            spans.add(first, end)
            there |= set(range(first, end))
        else:
            spans.remove(first, end)
            there -= set(range(first, end))
        first, end = sorted(rng.integers(0, 100, 2).tolist())
        missing = spans.missing(first, end)
        assert {n for a, b in missing for n in range(a, b)} == set(range(first, end)) - there
        assert all(a < b for a, b in missing)
        assert spans.touches(first, end) == bool(there & set(range(first, end)))


def test_near_spans_are_one_request():
    assert joined([(50, 60), (0, 10), (11, 20), (65, 70)], gap=4) == [(0, 20), (50, 60), (65, 70)]


def test_what_many_threads_read_is_fetched_once(remote, server):
    rng = np.random.default_rng(2)
    parts = [(int(a), int(b)) for a, b in zip(rng.integers(0, 190_000, 60), rng.integers(1, 9_000, 60))]
    with ThreadPoolExecutor(8) as pool:
        remote.prefetch([(a, a + b) for a, b in parts[:20]], pool)
        found = list(pool.map(lambda part: remote.read(*part), parts))
    assert found == [CONTENT[a : a + b] for a, b in parts]
    asked = sorted((first, last) for _, first, last in server.requests)
    assert all(before[1] < after[0] for before, after in zip(asked, asked[1:]))


def test_a_stream_reads_as_a_file_does(remote):
    stream, file = RemoteStream(remote), io.BytesIO(CONTENT)
    for offset, whence, length in [(10, 0, 5), (-7, 2, -1), (3, 0, 100_000), (-50, 1, 60), (199_990, 0, 100)]:
        assert stream.seek(offset, whence) == file.seek(offset, whence)
        assert stream.read(length) == file.read(length)
        assert stream.tell() == file.tell()


def test_a_failure_is_told_to_who_reads_that_part_and_to_nobody_else(remote, server):
    server.fault = lambda path, first: {"status": 500} if first >= 100_000 else None
    assert remote.read(0, 1000) == CONTENT[:1000]
    with pytest.raises(ReadFailure, match=r"a\.bin: the server answers 500"):
        remote.read(120_000, 10)
    assert remote.read(50_000, 1000) == CONTENT[50_000:51_000]
    stream = RemoteStream(remote)
    stream.seek(120_000)
    assert stream.read(10) == b""
    assert isinstance(stream.error, ReadFailure)


def test_a_closed_file_leaves_nothing_and_says_so(remote, tmp_path):
    remote.read(0, 10)
    assert (tmp_path / "spool").exists()
    remote.close()
    assert not (tmp_path / "spool").exists()
    with pytest.raises(ReadFailure, match="the run has ended"):
        remote.read(0, 10)
