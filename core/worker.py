"""The worker: one job in, events out, as `contract.events` describes them."""

from __future__ import annotations

import math
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from .contract import events
from .contract.errors import BACKEND, INTERNAL, Cancelled, InstaGeoError
from .contract.jobs import job_from_plain
from .contract.version import __version__
from .failures import describe
from .handlers import run_job

PROGRESS_INTERVAL_S = 0.1
ORPHAN_GRACE_S = 3.0
DONE, FAILED = 0, 1


class Wire:
    """Writes events, one at a time, whichever thread they come from."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, event: str, **fields: Any) -> None:
        """Write one event; a runner that is gone is noticed on stdin, not here."""
        line = events.encode(event, **fields)
        with self._lock, suppress(BrokenPipeError):
            self._stream.write(line + "\n")
            self._stream.flush()


class WireReporter:
    """A `Reporter` that sends events: progress at most ten times a second, but always the last."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._cancelled = threading.Event()
        self._share = 0.0
        self._message = ""
        self._sent_at = 0.0
        self._waiting = False

    def progress(self, share: float, message: str = "") -> None:
        self.check()
        self._share = min(max(share, 0.0), 1.0)
        self._message = message
        self._waiting = True
        if time.monotonic() - self._sent_at >= PROGRESS_INTERVAL_S:
            self.send_progress()

    def log(self, message: str, level: str = "info") -> None:
        self._wire.send(events.LOG, level=level, message=message)

    def metric(self, name: str, value: float, **context: Any) -> None:
        self._wire.send(events.METRIC, name=name, value=value, context=context)

    def artifact(self, name: str, path: str) -> None:
        self._wire.send(events.ARTIFACT, name=name, path=str(path))

    def check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled()

    def cancel(self) -> None:
        """From now on `progress` and `check` raise `Cancelled`."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def send_progress(self) -> None:
        """Send where the job stands."""
        self._waiting = False
        self._sent_at = time.monotonic()
        self._wire.send(events.PROGRESS, share=self._share, message=self._message)

    def send_due_progress(self, silence_s: float = events.HEARTBEAT_S) -> None:
        """Send progress that the limit on its number held back, or the last one again after a silence."""
        if self._waiting or time.monotonic() - self._sent_at >= silence_s:
            self.send_progress()


def serve(commands: int, stream: TextIO) -> int:
    """Do the one job requested on the file descriptor `commands`; events go to `stream`. Returns the exit status."""
    wire = Wire(stream)
    wire.send(
        events.HELLO,
        protocol=events.PROTOCOL_VERSION,
        version=__version__,
        pid=os.getpid(),
        python=platform.python_version(),
    )
    lines = _lines(commands)
    request = next((c for c in map(events.decode_command, lines) if c and c["event"] == events.REQUEST), None)
    if request is None:
        return FAILED
    reporter = WireReporter(wire)
    threading.Thread(target=_obey, args=(lines, reporter), name="commands", daemon=True).start()
    return _answer(request, reporter, wire)


def _answer(request: dict[str, Any], reporter: WireReporter, wire: Wire) -> int:
    """Run the job and send its result or its error."""
    try:
        _check_protocol(request)
        job = job_from_plain(request.get("job"))
        with heartbeat(reporter):
            outputs = run_job(job, reporter, _secrets(request))
        reporter.send_due_progress(math.inf)
        wire.send(events.RESULT, outputs=outputs)
    except BaseException as error:  # whatever ends the job, the runner is to read it
        return report_failure(error, reporter.cancelled, wire)
    return DONE


def _secrets(request: Mapping[str, Any]) -> dict[str, str]:
    """Credentials of the request; they go nowhere but to the job."""
    return {str(name): str(value) for name, value in (request.get("secrets") or {}).items()}


def _check_protocol(request: dict[str, Any]) -> None:
    if request.get("protocol") != events.PROTOCOL_VERSION:
        raise InstaGeoError(
            f"The request speaks protocol {request.get('protocol')}; the worker expects {events.PROTOCOL_VERSION}.",
            "The plugin was updated while QGIS ran: restart QGIS.",
            BACKEND,
        )


def report_failure(error: BaseException, cancelled: bool, wire: Wire) -> int:
    """Send `error` in the user's words, its traceback to stderr when it is a defect. Returns the exit status."""
    failure = describe(Cancelled() if cancelled else error)
    if failure.code == INTERNAL:
        traceback.print_exception(error, file=sys.stderr)
    wire.send(events.ERROR, code=failure.code, message=failure.message, hint=failure.hint)
    return FAILED


@contextmanager
def heartbeat(reporter: WireReporter) -> Iterator[None]:
    """Repeat the last progress while the body runs, so that the runner knows the worker is alive."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(PROGRESS_INTERVAL_S):
            reporter.send_due_progress()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _lines(descriptor: int) -> Iterator[str]:
    """Lines read straight from the descriptor: a buffered reader cannot be left blocked when the interpreter ends."""
    rest = b""
    while block := os.read(descriptor, 1 << 16):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")


def _obey(lines: Iterator[str], reporter: WireReporter) -> None:
    """Cancel when told to; when the runner is gone, cancel and see to it that this process ends."""
    for line in lines:
        command = events.decode_command(line)
        if command and command["event"] == events.CANCEL:
            reporter.cancel()
    reporter.cancel()
    time.sleep(ORPHAN_GRACE_S)
    end_group()


def end_group() -> None:
    """End this process at once, and with it the processes it started, where it leads a group of its own."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(FAILED)
