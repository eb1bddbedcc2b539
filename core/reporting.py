"""What a job tells while it runs, as an argument: handlers take a `Reporter` and know nothing of the process."""

from __future__ import annotations

from typing import Any, Protocol


class Reporter(Protocol):
    """Receives progress, words and figures; every call may raise `Cancelled`."""

    def progress(self, share: float, message: str = "") -> None:
        """`share` of the whole job done, 0 to 1."""

    def log(self, message: str, level: str = "info") -> None:
        """A line for the user; `level` is one of `events.LOG_LEVELS`."""

    def metric(self, name: str, value: float, **context: Any) -> None:
        """A figure measured on the way, such as the loss of an epoch."""

    def artifact(self, name: str, path: str) -> None:
        """A file or folder is finished under its final name."""

    def check(self) -> None:
        """Raise `Cancelled` when the user asked to stop; cheap enough for inner loops."""


class SilentReporter:
    """Says nothing and is never cancelled: for notebooks and tests."""

    def progress(self, share: float, message: str = "") -> None:
        pass

    def log(self, message: str, level: str = "info") -> None:
        pass

    def metric(self, name: str, value: float, **context: Any) -> None:
        pass

    def artifact(self, name: str, path: str) -> None:
        pass

    def check(self) -> None:
        pass


class PhaseReporter:
    """A reporter whose 0 to 1 is the part `start` to `end` of another's."""

    def __init__(self, whole: Reporter, start: float, end: float) -> None:
        self._whole = whole
        self._start = start
        self._span = end - start

    def progress(self, share: float, message: str = "") -> None:
        self._whole.progress(self._start + self._span * share, message)

    def log(self, message: str, level: str = "info") -> None:
        self._whole.log(message, level)

    def metric(self, name: str, value: float, **context: Any) -> None:
        self._whole.metric(name, value, **context)

    def artifact(self, name: str, path: str) -> None:
        self._whole.artifact(name, path)

    def check(self) -> None:
        self._whole.check()
