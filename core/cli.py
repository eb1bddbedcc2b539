"""The command line: the jobs of the dialogs on a machine without QGIS."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from .archive.access import LOGIN_VARIABLES, secrets_of
from .contract.errors import CANCELLED as CANCELLED_CODE
from .contract.errors import INTERNAL, Cancelled, InstaGeoError
from .contract.events import json_values
from .contract.jobs import Job, job_from_plain
from .contract.version import SOFTWARE
from .failures import describe
from .handlers import run_job

DONE, FAILED, CANCELLED = 0, 1, 130

KeepStreams = Callable[[], "tuple[int, TextIO]"]


def run_command_line(arguments: list[str], keep_streams: KeepStreams) -> int:
    """Do what the arguments say. Returns the exit status."""
    options = _parser().parse_args(arguments)
    _, answers = keep_streams()
    failed: BaseException | None = None
    with tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed}", file=sys.stderr) as bar:
        reporter = BarReporter(bar)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, reporter.interrupt)
        try:
            outputs = run_job(read_job(options.job), reporter, secrets_of(os.environ))
        except BaseException as error:  # the one place that decides what the user reads
            bar.leave = False
            failed = Cancelled() if reporter.cancelled else error
        else:
            reporter.progress(1.0)
    return _report_failure(failed) if failed else _write_outputs(outputs, answers)


class BarReporter:
    """A `Reporter` that draws a progress bar; everything else stands above it."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar
        self.cancelled = False

    def progress(self, share: float, message: str = "") -> None:
        self.check()
        if message:
            self._bar.set_description_str(message, refresh=False)
        self._bar.update(100 * min(max(share, 0.0), 1.0) - self._bar.n)

    def log(self, message: str, level: str = "info") -> None:
        if level != "debug":
            self._bar.write(message if level == "info" else f"{level}: {message}", file=sys.stderr)

    def metric(self, name: str, value: float, **context: Any) -> None:
        where = "".join(f", {key} {item}" for key, item in context.items())
        self.log(f"{name} {value:.4g}{where}")

    def artifact(self, name: str, path: str) -> None:
        self.log(f"{name}: {path}")

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled()

    def interrupt(self, number: int, frame: Any) -> None:
        """Signal handler: the first stops the job in good order, the second at once."""
        if self.cancelled:
            raise KeyboardInterrupt
        self.cancelled = True
        self.log("Stopping; interrupt once more to stop at once.", "warning")


def read_job(path: str) -> Job:
    """The job of a job file; raises `InstaGeoError` when there is none."""
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InstaGeoError(f"The job file {path} cannot be read ({error.strerror}).", "Check the path.") from error
    except ValueError as error:
        raise InstaGeoError(
            f"{path} is not a job file ({error}).", "Write one with the JOB parameter of an algorithm."
        ) from error
    return job_from_plain(plain)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m instageo_plugin.core",
        description=f"{SOFTWARE}: run jobs without QGIS. Without arguments: the worker that QGIS starts.",
    )
    parser.add_argument("--version", action="version", version=SOFTWARE)
    commands = parser.add_subparsers(required=True, metavar="command")
    run = commands.add_parser(
        "run",
        help="run a job file",
        description="Run a job file; its outputs are printed as JSON, everything else goes to stderr.",
        epilog=f"An archive's login comes from the environment: {LOGIN_VARIABLES}. "
        "Exit status: 0 done, 1 failed, 2 wrong arguments, 130 cancelled.",
    )
    run.add_argument("job", help="job file, written by the parameter JOB of any algorithm in QGIS")
    return parser


def _write_outputs(outputs: dict[str, Any], answers: TextIO) -> int:
    answers.write(json.dumps(json_values(outputs), indent=2, ensure_ascii=False) + "\n")
    answers.flush()
    return DONE


def _report_failure(error: BaseException) -> int:
    failure = describe(error)
    if failure.code == INTERNAL:
        sys.excepthook(type(error), error, error.__traceback__)
    sys.stderr.write(f"error: {failure.message}\n")
    if failure.hint:
        sys.stderr.write(f"{failure.hint}\n")
    return CANCELLED if failure.code == CANCELLED_CODE else FAILED
