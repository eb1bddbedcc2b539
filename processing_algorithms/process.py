"""Child processes: the one place that starts them, and the one that ends them with all that they started."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess  # nosec B404
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Optional

from .windows_job import WindowsJob

STDOUT = "stdout"
STDERR = "stderr"
END_PATIENCE_S = 3.0
CREATE_NO_WINDOW = 0x08000000


@dataclass(frozen=True)
class Line:
    """A line a child wrote, without its newline; `stream` is STDOUT or STDERR."""

    stream: str
    text: str


class ChildProcess:
    """A child in a process group (Windows: a job object) of its own. Use it in a `with` block: at its end nobody of the
    group and no thread is left, whatever happened.

    Raises `OSError` when `command` cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._group = WindowsJob() if sys.platform == "win32" else None
        # No shell; the command is a list made by this package.
        self._process = subprocess.Popen(  # nosec B603
            list(command),
            env=for_platform(environment, command[0]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=self._group is None,
            creationflags=CREATE_NO_WINDOW if self._group else 0,
        )
        if self._group:
            self._group.add(self._process)
        self._readers = [
            self._start_reader(self._process.stdout, STDOUT),
            self._start_reader(self._process.stderr, STDERR),
        ]

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.end(0)

    def send(self, line: str) -> None:
        """Write a line to the child's stdin; a child that is gone is noticed by `running`."""
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line.encode("utf-8") + b"\n")
            self._process.stdin.flush()

    def close_stdin(self) -> None:
        """Let the child read the end of its stdin."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def read(self, timeout_s: float) -> Optional[Line]:
        """The next line of either stream, or None when none came in time."""
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_status(self) -> Optional[int]:
        """None while it runs; on POSIX the negative number of the signal that ended it."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> bool:
        """Whether the child ended by itself in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return not self.running

    def end(self, patience_s: float = END_PATIENCE_S) -> None:
        """End the whole group: asked first, for `patience_s` seconds, then by force. Harmless when it has ended."""
        if self.running and patience_s:
            self._signal_group(by_force=False)
            self.wait(patience_s)
        self._signal_group(by_force=True)  # also what a child that has ended left behind
        self.wait(END_PATIENCE_S)
        for reader in self._readers:
            reader.join(END_PATIENCE_S)
        self.close_stdin()
        self._process.stdout.close()
        self._process.stderr.close()
        if self._group:
            self._group.close()

    def _signal_group(self, by_force: bool) -> None:
        if self._group:
            self._group.end()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL if by_force else signal.SIGTERM)

    def _start_reader(self, stream: IO[bytes], name: str) -> threading.Thread:
        thread = threading.Thread(target=self._read_stream, args=(stream, name), name=f"instageo-{name}", daemon=True)
        thread.start()
        return thread

    def _read_stream(self, stream: IO[bytes], name: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in stream:
                self._lines.put(Line(name, line.decode("utf-8", "replace").rstrip("\r\n")))


def output_of(command: Sequence[str], environment: Mapping[str, str], timeout_s: float = 20.0) -> Optional[str]:
    """What a short command writes to stdout, or None when it cannot be started, fails, or takes too long."""
    try:
        with ChildProcess(command, environment) as child:
            child.close_stdin()
            if not child.wait(timeout_s) or child.exit_status:
                return None
            return "\n".join(_remaining(child, STDOUT))
    except OSError:
        return None


def _remaining(child: ChildProcess, stream: str) -> list[str]:
    """Lines still in the pipes of a child that has ended."""
    lines = []
    while line := child.read(0.2):
        if line.stream == stream:
            lines.append(line.text)
    return lines


def for_platform(environment: Mapping[str, str], program: str, platform: str = sys.platform) -> dict[str, Any]:
    """`environment` with, on Windows, a PATH that keeps QGIS's own GDAL and PROJ libraries out of the child."""
    if platform != "win32":
        return dict(environment)
    system = environment.get("SYSTEMROOT") or environment.get("SystemRoot") or "C:\\Windows"
    own = Path(program).parent
    folders = [str(own), str(own / "Scripts"), f"{system}\\System32", system, f"{system}\\System32\\Wbem"]
    kept = {name: value for name, value in environment.items() if name.upper() != "PATH"}
    return {**kept, "PATH": ";".join(folders)}
