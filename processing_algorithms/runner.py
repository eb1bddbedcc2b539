"""Runs a job in a worker process and passes what it tells to QGIS's feedback."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from qgis.core import QgsProcessingException, QgsProcessingFeedback

from ..core.contract import events
from ..core.contract.errors import CANCELLED, INTERNAL, InstaGeoError
from ..core.contract.jobs import Job, job_to_plain
from ..core.contract.launch import process_environment, worker_command
from ..core.contract.serial import to_json
from .backend import SETUP_HINT, find_python
from .process import STDERR, ChildProcess, Line
from .progress import LiveProgress
from .proxy import proxy_environment

POLL_S = 0.1
KEPT_STDERR_LINES = 200
SHOWN_STDERR_LINES = 15
WINDOWS_NO_MEMORY = (0xC0000017, 0xC000012D)  # STATUS_NO_MEMORY, STATUS_COMMITMENT_LIMIT
MEMORY_HINT = "Use a smaller batch size or chip size, or a smaller model, or close other programs."


@dataclass(frozen=True)
class Patience:
    """Seconds to wait: for a cancelled worker to stop by itself, for one that has answered to end, and for a silent
    one before the user is warned and before it is ended (a worker at work tells so every second)."""

    cancel_s: float = 5.0
    exit_s: float = 5.0
    warn_s: float = 60.0
    give_up_s: float = 600.0


def run_job(
    job: Job,
    feedback: QgsProcessingFeedback,
    *,
    secrets: Optional[Mapping[str, str]] = None,
    python: Optional[str] = None,
    patience: Patience = Patience(),
) -> dict[str, Any]:
    """Do `job` in the backend and return its outputs by their public names.

    `python` is another interpreter than the one configured; `secrets` go to the worker by its stdin only. Raises
    `QgsProcessingException` with the worker's message and hint for every failure, and when the user cancels. When it
    returns or raises, the worker, what it started and the threads that read from it are gone.
    """
    request = events.encode(
        events.REQUEST, protocol=events.PROTOCOL_VERSION, job=job_to_plain(job), secrets=dict(secrets or {})
    )
    try:
        command = worker_command(python or find_python())
        with ChildProcess(command, process_environment(proxy_environment())) as child:
            child.send(request)
            return _Conversation(child, feedback, patience).outputs()
    except OSError as error:
        raise QgsProcessingException(f"The backend cannot be started: {error}\n{SETUP_HINT}") from error
    except InstaGeoError as error:
        raise QgsProcessingException(str(error)) from error


def write_job(job: Job, path: str) -> None:
    """Write the job file for `python -m instageo_plugin.core run`; raises `QgsProcessingException` if that fails."""
    final = Path(path)
    part = final.with_name(f".{final.name}.part")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(to_json(job_to_plain(job), indent=2) + "\n", encoding="utf-8")
        os.replace(part, final)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise QgsProcessingException(f"The job file {path} cannot be written ({error.strerror}).") from error


class _Conversation:
    """Listens to one worker until it has answered."""

    def __init__(self, child: ChildProcess, feedback: QgsProcessingFeedback, patience: Patience) -> None:
        self._child = child
        self._feedback = feedback
        self._patience = patience
        self._stderr: deque[str] = deque(maxlen=KEPT_STDERR_LINES)
        self._heard_at = time.monotonic()
        self._cancelled_at: Optional[float] = None
        self._warned = False
        self._progress = LiveProgress(feedback)
        self._text = ""

    def outputs(self) -> dict[str, Any]:
        """Outputs of the job; raises `QgsProcessingException` when there are none."""
        answer = self._answer()
        if self._cancelled_at is not None or self._feedback.isCanceled():
            self._child.wait(self._patience.cancel_s if answer else 0)
            raise QgsProcessingException("Cancelled.")
        if answer is None:
            raise QgsProcessingException(self._death())
        self._child.wait(self._patience.exit_s)
        if answer["event"] == events.RESULT:
            return dict(answer.get("outputs") or {})
        raise QgsProcessingException(self._failure(answer))

    def _answer(self) -> Optional[dict[str, Any]]:
        """The result or error event, or None when the worker ended, or was ended, without one."""
        while True:
            running = self._child.running  # asked before reading: what it wrote before its end is read
            line = self._child.read(POLL_S)
            answer = self._take(line) if line else None
            if answer or (line is None and not running):
                return answer
            if self._must_end():
                self._child.end()
                return None

    def _must_end(self) -> bool:
        """Pass a cancel on, warn of silence; whether the worker has used up the patience."""
        now = time.monotonic()
        if self._feedback.isCanceled() and self._cancelled_at is None:
            self._cancelled_at = now
            self._child.send(events.encode(events.CANCEL))
        if self._cancelled_at is not None:
            return now - self._cancelled_at > self._patience.cancel_s
        silence = now - self._heard_at
        if silence > self._patience.warn_s and not self._warned:
            self._warned = True
            self._feedback.pushWarning(
                f"The worker has said nothing for {silence:.0f} s. It is ended after {self._patience.give_up_s:.0f} s."
            )
        return silence > self._patience.give_up_s

    def _take(self, line: Line) -> Optional[dict[str, Any]]:
        """Pass a line on to the feedback; returns it when it is the answer."""
        self._heard_at = time.monotonic()
        self._warned = False
        if line.stream == STDERR:
            self._stderr.append(line.text)
            return None
        event = events.decode(line.text)
        if event is None:
            self._feedback.pushDebugInfo(line.text)
            return None
        if event["event"] in (events.RESULT, events.ERROR):
            return event
        self._show(event)
        return None

    def _show(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == events.PROGRESS:
            self._show_progress(event)
        elif kind == events.LOG:
            self._show_log(str(event.get("message")), event.get("level"))
        elif kind == events.METRIC:
            context = "".join(f", {name} {value}" for name, value in (event.get("context") or {}).items())
            self._feedback.pushDebugInfo(f"{event.get('name')} {event.get('value')}{context}")
        elif kind == events.ARTIFACT:
            self._feedback.pushDebugInfo(f"{event.get('name')}: {event.get('path')}")
        else:
            self._feedback.pushDebugInfo(f"Worker: InstaGeo {event.get('version')}, Python {event.get('python')}")

    def _show_progress(self, event: dict[str, Any]) -> None:
        self._progress.set(100.0 * float(event.get("share") or 0.0))
        text = str(event.get("message") or "")
        if text and text != self._text:
            self._text = text
            self._feedback.setProgressText(text)

    def _show_log(self, message: str, level: Any) -> None:
        if level == "error":
            self._feedback.reportError(message)
        elif level == "warning":
            self._feedback.pushWarning(message)
        elif level == "debug":
            self._feedback.pushDebugInfo(message)
        else:
            self._feedback.pushInfo(message)

    def _failure(self, answer: dict[str, Any]) -> str:
        if answer.get("code") == CANCELLED:
            return "Cancelled."
        if answer.get("code") == INTERNAL:
            self._read_rest()
            self._feedback.pushDebugInfo("\n".join(self._stderr))
        hint = answer.get("hint")
        return f"{answer.get('message')}\n{hint}" if hint else str(answer.get("message"))

    def _death(self) -> str:
        """Why a worker gave no answer, in the user's words."""
        status = self._child.exit_status or 0
        silence = time.monotonic() - self._heard_at
        if silence > self._patience.give_up_s:
            return f"The worker hung: it said nothing for {silence:.0f} s and was ended.{self._last_words()}"
        if out_of_memory(status):
            return f"The worker ran out of memory and the system ended it.\n{MEMORY_HINT}"
        return f"The worker ended without an answer ({_named_status(status)}).{self._last_words()}"

    def _last_words(self) -> str:
        self._read_rest()
        lines = list(self._stderr)[-SHOWN_STDERR_LINES:]
        return "\nIts last words:\n" + "\n".join(lines) if lines else f"\nIt left no message. {SETUP_HINT}"

    def _read_rest(self) -> None:
        while line := self._child.read(POLL_S):
            if line.stream == STDERR:
                self._stderr.append(line.text)


def out_of_memory(status: int) -> bool:
    """Whether an exit status is that of a process ended for want of memory.

    Linux ends one by signal 9: -9 from a direct child, 137 from a shell in between.
    """
    killed = getattr(signal, "SIGKILL", 9)
    return status in (-killed, 128 + killed) or status & 0xFFFFFFFF in WINDOWS_NO_MEMORY


def _named_status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status}, {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
