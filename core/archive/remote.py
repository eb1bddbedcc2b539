"""Files of an archive, read in parts: each byte is fetched once and kept on disk while it is needed."""

from __future__ import annotations

import io
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from .access import Access, ReadFailure

HEADER_BYTES = 16 * 1024  # the directory of a COG of a Sentinel-2 tile, overviews included, is smaller
_GAP = 4096  # bytes: two parts less than this apart are fetched as one
_PATIENCE_S = 1.0  # between two looks whether the run has ended
CLOSED = "the run has ended"
Span = tuple[int, int]


class Spans:
    """Disjoint half-open ranges of whole numbers.

    >>> spans = Spans()
    >>> spans.add(0, 4); spans.add(8, 10); spans.add(4, 6)
    >>> spans.missing(2, 12)
    [(6, 8), (10, 12)]
    """

    def __init__(self) -> None:
        self._spans: list[Span] = []

    def add(self, first: int, end: int) -> None:
        """Join what touches."""
        if end <= first:
            return
        low = bisect_left(self._spans, first, key=lambda span: span[1])
        high = bisect_right(self._spans, end, key=lambda span: span[0])
        touched = self._spans[low:high]
        joined = (min([first, *(s for s, _ in touched)]), max([end, *(e for _, e in touched)]))
        self._spans[low:high] = [joined]

    def remove(self, first: int, end: int) -> None:
        """Take a range out."""
        kept: list[Span] = []
        for start, stop in self._spans:
            kept += [span for span in ((start, min(stop, first)), (max(start, end), stop)) if span[0] < span[1]]
        self._spans = kept

    def missing(self, first: int, end: int) -> list[Span]:
        """The parts of a range that are not in."""
        found: list[Span] = []
        at = first
        low = bisect_right(self._spans, first, key=lambda span: span[1])
        for start, stop in self._spans[low:]:
            if start >= end:
                break
            if start > at:
                found.append((at, start))
            at = max(at, stop)
        return [*found, (at, end)] if at < end else found

    def touches(self, first: int, end: int) -> bool:
        return self.missing(first, end) != [(first, end)] if first < end else False


def joined(spans: Iterable[Span], gap: int = _GAP) -> list[Span]:
    """Spans in order, those nearer than `gap` as one."""
    found: list[Span] = []
    for first, end in sorted(spans):
        if found and first - found[-1][1] <= gap:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((first, end))
    return found


class RemoteFile:
    """One file of an archive; may be read by many threads. `spool` is a file of its own that keeps what was fetched."""

    def __init__(self, url: str, access: Access, spool: Path) -> None:
        self.url = url
        self._access = access
        self._changed = threading.Condition()
        self._present, self._coming = Spans(), Spans()
        self._failures: list[tuple[Span, Exception]] = []
        self._size = -1
        self._spool = spool
        self._file = spool.open("w+b")

    def close(self) -> None:
        """Forget everything."""
        with self._changed:
            self._file.close()
            self._changed.notify_all()
        self._spool.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        if self._size < 0:
            self.read(0, 1)
        return self._size

    def prefetch(self, spans: Sequence[Span], pool: Executor) -> None:
        """Begin to fetch what is missing of `spans`; who reads it meanwhile waits for it."""
        with self._changed:
            wanted = [gap for span in joined(spans) for gap in self._missing(*span)]
            for first, end in wanted:
                self._coming.add(first, end)
        for first, end in wanted:
            pool.submit(self._fetch_quietly, first, end)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset`, fewer where the file ends. Raises `ReadFailure` and `InstaGeoError`."""
        end = offset + length
        while True:
            with self._changed:
                if self._file.closed:
                    raise ReadFailure(CLOSED)
                if self._size >= 0:
                    end = min(end, self._size)
                if offset >= end or not self._present.missing(offset, end):
                    return self._kept(offset, end)
                self._raise_failure(offset, end)
                wanted = self._missing(offset, end)
                if not wanted:
                    self._changed.wait(_PATIENCE_S)
                    continue
                first = wanted[0][0]
                stop = self._missing(first, max(wanted[0][1], first + HEADER_BYTES))[0][1]
                stop = stop if self._size < 0 else min(stop, self._size)
                self._coming.add(first, stop)
            self._fetch_quietly(first, stop)

    def _missing(self, first: int, end: int) -> list[Span]:
        """What is neither here nor on its way."""
        return [gap for part in self._present.missing(first, end) for gap in self._coming.missing(*part)]

    def _kept(self, offset: int, end: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(max(0, end - offset))

    def _raise_failure(self, offset: int, end: int) -> None:
        for (first, stop), error in self._failures:
            if first < end and offset < stop:
                raise error

    def _fetch_quietly(self, first: int, end: int) -> None:
        """Fetch a span; a failure is kept for those who read it."""
        failure: Exception | None = None
        size = -1
        try:
            size = self._access.fetch(self.url, first, end - 1, self._keep)
        except Exception as error:  # told to whoever reads this span
            failure = error
        with self._changed:
            self._coming.remove(first, end)
            if size >= 0:
                self._size = size
                self._present.add(first, end)  # beyond the end of the file there is nothing to wait for
            if failure is not None:
                self._failures.append(((first, end), failure))
            self._changed.notify_all()

    def _keep(self, offset: int, block: bytes) -> None:
        with self._changed:
            if self._file.closed:
                raise ReadFailure(CLOSED)
            self._file.seek(offset)
            self._file.write(block)
            self._present.add(offset, offset + len(block))
            self._changed.notify_all()


class RemoteStream(io.RawIOBase):
    """A `RemoteFile` as GDAL reads it. The last failure is kept in `error`: GDAL only sees an early end."""

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self._remote = file
        self._at = 0
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence)
        self._at = offset + (self._remote.size if base is None else base)
        return self._at

    def read(self, size: int = -1) -> bytes:
        length = size if size >= 0 else self._remote.size - self._at
        try:
            found = self._remote.read(self._at, length)
        except Exception as error:
            self.error = error
            return b""
        self._at += len(found)
        return found
