"""Runs an installer's commands and shows what they say."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from qgis.core import QgsProcessingFeedback

from ...core.contract.errors import Cancelled
from ..process import ChildProcess
from ..progress import LiveProgress

KEPT_LINES = 30
POLL_S = 0.1
REPEAT_S = 1.0
STEP_MARKS = ("Collecting ", "Processing ", " + ")  # the line of pip, of pip for a wheel at hand, of uv for one package


class StepFailed(Exception):
    """A command ended with an error; `lines` are the last it wrote."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)

    @property
    def reason(self) -> str:
        """The first line that says error, else the last one."""
        errors = [line for line in self.lines if line.lower().startswith(("error", "×", "fatal"))]
        return (errors[0] if errors else self.lines[-1] if self.lines else "no message").strip()


class Console:
    """Runs commands one after the other; raises `Cancelled` as soon as the user asks to stop."""

    def __init__(self, feedback: QgsProcessingFeedback, environment: Mapping[str, str]) -> None:
        self.feedback = feedback
        self.environment = environment
        self._progress = LiveProgress(feedback)

    def run(self, command: Sequence[str], packages: int = 0) -> None:
        """Run `command` to its end; `packages` is how many it installs, for the progress from 5 to 90 percent.

        Raises `StepFailed` when it fails or cannot be started.
        """
        counted = _Counter(packages, self._progress.set)
        last: deque[str] = deque(maxlen=KEPT_LINES)
        try:
            with ChildProcess(command, self.environment) as child:
                child.close_stdin()
                self._follow(child, last, counted)
                child.wait(REPEAT_S)
                failed = child.exit_status != 0
        except OSError as error:
            raise StepFailed([f"error: {command[0]}: {error.strerror}"]) from error
        if failed:
            raise StepFailed(last)

    def _follow(self, child: ChildProcess, last: deque[str], counted: _Counter) -> None:
        repeated_at = time.monotonic()
        while True:
            running = child.running
            line = child.read(POLL_S)
            if self.feedback.isCanceled():
                child.end()
                raise Cancelled()
            if line is None and not running:
                return
            if line and line.text.strip():
                last.append(line.text)
                self.feedback.pushConsoleInfo(line.text)
                counted.see(line.text)
            if time.monotonic() - repeated_at > REPEAT_S:
                repeated_at = time.monotonic()
                self._progress.repeat()


class _Counter:
    """Counts packages as the installer names them."""

    def __init__(self, packages: int, show: Callable[[float], None]) -> None:
        self._packages = packages
        self._show = show
        self._seen = 0

    def see(self, line: str) -> None:
        if self._packages and line.startswith(STEP_MARKS):
            self._seen += 1
            self._show(5.0 + 85.0 * min(self._seen / self._packages, 1.0))
