"""The errors a user may read: what was found, what was expected, what to do about it."""

from __future__ import annotations

INPUT = "input"
BACKEND = "backend"
MEMORY = "memory"
DISK = "disk"
CANCELLED = "cancelled"
INTERNAL = "internal"
CODES = (INPUT, BACKEND, MEMORY, DISK, CANCELLED, INTERNAL)


class InstaGeoError(Exception):
    """A failure the user can act on.

    `message` says what was found and what was expected, `hint` the remedy; `code` is one of `CODES`.
    """

    def __init__(self, message: str, hint: str = "", code: str = INPUT) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[InstaGeoError], tuple[str, str, str]]:
        """Another process gets it whole."""
        return InstaGeoError, (self.message, self.hint, self.code)


class Cancelled(InstaGeoError):
    """The user asked to stop."""

    def __init__(self, message: str = "Cancelled.") -> None:
        super().__init__(message, code=CANCELLED)


class Problems:
    """Collects every problem of an input, so that the user reads all of them at once.

    >>> problems = Problems("Chip dataset /data/maize")
    >>> problems.add("chips.gpkg is missing.")
    >>> problems.raise_if_any()
    Traceback (most recent call last):
    ...
    instageo_plugin.core.contract.errors.InstaGeoError: Chip dataset /data/maize: chips.gpkg is missing.
    """

    def __init__(self, subject: str = "", hint: str = "", code: str = INPUT) -> None:
        self._subject = subject
        self._hint = hint
        self._code = code
        self._found: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, problem: str) -> None:
        self._found.append(problem)

    def raise_if_any(self) -> None:
        """Raise one `InstaGeoError` that lists all that was added; do nothing when there is none."""
        if not self._found:
            return
        prefix = f"{self._subject}: " if self._subject else ""
        if len(self._found) == 1:
            raise InstaGeoError(prefix + self._found[0], self._hint, self._code)
        listed = "\n".join(f"- {problem}" for problem in self._found)
        raise InstaGeoError(f"{prefix}{len(self._found)} problems:\n{listed}", self._hint, self._code)
