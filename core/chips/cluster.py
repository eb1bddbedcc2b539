"""Making chips from an archive on a Dask cluster: the same work as on one machine, a batch of chips a task.

The workers see the dataset's folder, have the same version of this package, and write the chips' files themselves; what
became of each chip comes back. They take an archive's login from their own environment: none travels to them.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from distributed import Client, Future, KilledWorker, wait

from ..archive.access import LOGIN_VARIABLES, Credentials, secrets_of
from ..contract.errors import BACKEND, MEMORY, InstaGeoError, Problems
from ..contract.version import SOFTWARE
from ..reporting import Reporter, SilentReporter
from .archive_chips import ArchiveScene, ArchiveWork, Batch, Workplace, make_batches, waiting_batches
from .ledger import Outcome

BATCH = 32  # chips a task: some seconds of work, and few enough to be done again when a worker dies
_TASKS_A_WORKER = 3  # sent ahead, so that no worker waits
_CONNECT_S, _WORKERS_S = 15.0, 30.0
_LOOK_S = 0.2  # between two looks whether the user has cancelled


@dataclass(frozen=True)
class ClusterProduction:
    """Makes the chips on the cluster of the job's scheduler."""

    work: ArchiveWork
    scenes: Sequence[ArchiveScene]
    credentials: Credentials

    def produce(self, folder: Path, is_done: Callable[[str], bool], reporter: Reporter) -> Iterator[Outcome]:
        """See `Production`. A batch whose worker dies is done again by another.

        Raises `InstaGeoError` when there is no scheduler or no worker, when workers cannot do the work, and when a
        batch ends every worker that tries it.
        """
        address = self.work.job.scheduler
        batches = _cut(waiting_batches(self.scenes, is_done))
        with _connected(address) as client:
            workers = _check_workers(client, address, folder, bool(self.credentials.secrets))
            reporter.log(f"{workers} Dask workers make the chips.")
            yield from _Run(self.work, batches, (client, folder), _TASKS_A_WORKER * workers, reporter)


def _cut(batches: Sequence[Batch]) -> deque[Batch]:
    return deque(
        Batch(batch.scene, batch.candidates[first : first + BATCH])
        for batch in batches
        for first in range(0, len(batch.candidates), BATCH)
    )


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False, name="instageo")
    except (OSError, ValueError, TimeoutError) as error:
        raise InstaGeoError(
            f"SCHEDULER: no Dask scheduler answers at '{address}' ({str(error).partition(chr(10))[0]}).",
            "Start one with 'dask scheduler' and give its address (tcp://cluster:8786), or leave SCHEDULER empty.",
        ) from error
    with client:
        yield client


def _check_workers(client: Client, address: str, folder: Path, with_login: bool) -> int:
    """How many workers there are; raises `InstaGeoError` that lists those that cannot do the work."""
    try:
        client.wait_for_workers(1, timeout=_WORKERS_S)
    except TimeoutError as error:
        raise InstaGeoError(
            f"SCHEDULER: the Dask scheduler at {address} has no workers.", f"Start some with 'dask worker {address}'."
        ) from error
    try:
        states = client.run(_state, str(folder))
    except Exception as error:  # Dask tells most of what goes wrong on a worker as no more than that
        raise InstaGeoError(
            f"SCHEDULER: the workers of {address} cannot import this package ({error}).",
            "Put the folder instageo_plugin, of this version, on their PYTHONPATH, with the backend's packages.",
            BACKEND,
        ) from error
    problems = Problems("SCHEDULER", "All workers need this version, and the same folders as this computer.", BACKEND)
    for worker, (software, writable, login) in sorted(states.items()):
        if software != SOFTWARE:
            problems.add(f"worker {worker} has {software}; expected {SOFTWARE}.")
        if not writable:
            problems.add(f"worker {worker} cannot write to {folder}.")
        if with_login and not login:
            problems.add(f"worker {worker} has no login of its own; start it with {LOGIN_VARIABLES}, or a ~/.netrc.")
    problems.raise_if_any()
    return len(states)


def _state(folder: str) -> tuple[str, bool, bool]:
    """On a worker: the version it has, whether it can write to `folder`, whether it has a login for an archive."""
    login = bool(secrets_of(os.environ)) or Path(os.environ.get("NETRC", "~/.netrc")).expanduser().is_file()
    return SOFTWARE, os.access(folder, os.W_OK), login


class _Run:
    """Sends batches, a bounded number at a time, and gives what became of their chips."""

    def __init__(
        self,
        work: ArchiveWork,
        batches: deque[Batch],
        cluster: tuple[Client, Path],
        most: int,
        reporter: Reporter,
    ) -> None:
        self._work = work
        self._batches = batches
        self._client, self._folder = cluster
        self._most = most
        self._reporter = reporter
        self._sent: dict[Future, Batch] = {}

    def __iter__(self) -> Iterator[Outcome]:
        try:
            while self._batches or self._sent:
                self._send()
                for future in self._finished():
                    yield from self._result(future)
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(self._sent))

    def _send(self) -> None:
        while self._batches and len(self._sent) < self._most:
            batch = self._batches.popleft()
            key = f"chips-{uuid.uuid4().hex}"
            future = self._client.submit(make_batch, self._work, batch, str(self._folder), pure=False, key=key)
            self._sent[future] = batch

    def _finished(self) -> list[Future]:
        while True:
            self._reporter.check()
            with suppress(TimeoutError), self._client.as_current():
                return list(wait(list(self._sent), timeout=_LOOK_S, return_when="FIRST_COMPLETED").done)

    def _result(self, future: Future) -> list[Outcome]:
        batch = self._sent.pop(future)
        try:
            outcomes: list[Outcome] = future.result()
        except KilledWorker as error:
            raise InstaGeoError(
                f"SCHEDULER: every worker that made the chips {batch.candidates[0].name} and following died.",
                "Give the workers more memory, or fewer threads each; the run then goes on where it ended.",
                MEMORY,
            ) from error
        except CancelledError as error:
            raise InstaGeoError(
                f"SCHEDULER: the Dask scheduler at {self._work.job.scheduler} is gone.",
                "Start it again, then run this again: it goes on where it ended.",
            ) from error
        return outcomes


def make_batch(work: ArchiveWork, batch: Batch, folder: str) -> list[Outcome]:
    """On a worker: make the chips of one batch."""
    credentials = Credentials(work.job.archive.catalog, secrets_of(os.environ))
    with tempfile.TemporaryDirectory(prefix="instageo-") as spool:
        place = Workplace(Path(folder), Path(spool) / "spool", credentials)
        return list(make_batches(work, [batch], place, SilentReporter()))
