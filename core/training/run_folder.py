"""The folder of an unfinished run, beside its output: what it was asked, and its last checkpoint."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ..contract.errors import InstaGeoError, Problems
from ..contract.jobs import FinetuneJob
from ..contract.version import SOFTWARE
from ..files import remove, written_whole
from ..reporting import Reporter

SUFFIX = ".run"
RUN_FILE = "run.json"
CHECKPOINT_FILE = "last.ckpt"

# Where results go, and what is noted apart, may differ between a run and its continuation.
_FREE = ("dataset", "output", "resume", "report", "history", "adapter", "device", "precision")


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What makes two runs the same: parameters of the job, and the digest of all pixels and labels.

    `precision` and `device` are those chosen, which the run keeps when it is resumed.
    """

    parameters: dict[str, Any]
    data: str
    device: str
    precision: str
    software: str = SOFTWARE

    def differences(self, other: Fingerprint) -> list[str]:
        """What `other` has that this one has not, in words."""
        names = sorted(set(self.parameters) | set(other.parameters))
        pairs = [(name.upper(), self.parameters.get(name), other.parameters.get(name)) for name in names]
        pairs += [(name, getattr(self, name), getattr(other, name)) for name in ("device", "precision", "software")]
        found = [f"{name} was {was}, now it is {now}." for name, was, now in pairs if was != now]
        if self.data != other.data:
            found.append("the chips are others than those of the run: pixels, labels or the split have changed.")
        return found


def fingerprint(job: FinetuneJob, data: str, device: str, precision: str) -> Fingerprint:
    """The fingerprint of `job` on data of that digest."""
    parameters = {field.name: getattr(job, field.name) for field in dataclasses.fields(job) if field.name not in _FREE}
    return Fingerprint(parameters, data, device, precision)


class RunFolder:
    """`<output stem>.run` beside the output, or the folder that RESUME names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT_FILE

    def begin(self, mark: Fingerprint, reporter: Reporter) -> None:
        """Make the folder anew. Raises `InstaGeoError` when something else lies there."""
        if self.path.exists():
            if not (self.path / RUN_FILE).is_file() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise InstaGeoError(
                    f"{self.path} is in the way: checkpoints go there, but it is no folder of an earlier run.",
                    "Move it away, or choose another OUTPUT.",
                )
            reporter.log(f"The unfinished run in {self.path} is discarded, since RESUME was not given.", "warning")
            remove(self.path)
        with written_whole(self.path / RUN_FILE) as part:
            part.write_text(json.dumps(dataclasses.asdict(mark), indent=1), encoding="utf-8")

    def check(self, mark: Fingerprint) -> None:
        """Raise `InstaGeoError` that names all in which the run in the folder differs from `mark`."""
        problems = Problems(
            f"The run in {self.path} cannot be resumed", "Give the parameters it was started with, or leave RESUME out."
        )
        for difference in self.begun().differences(mark):
            problems.add(difference)
        problems.raise_if_any()

    def begun(self) -> Fingerprint:
        """The fingerprint of the run in the folder. Raises `InstaGeoError` when there is none to be resumed."""
        try:
            mark = Fingerprint(**json.loads((self.path / RUN_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InstaGeoError(
                f"RESUME: {self.path} is not the folder of an unfinished run ({error}).",
                f"Choose the folder that ends in {SUFFIX} beside the output of the run, or leave RESUME out.",
            ) from error
        if not self.checkpoint.is_file():
            raise InstaGeoError(
                f"RESUME: the run in {self.path} ended before its first epoch did.", "Start it again without RESUME."
            )
        return mark

    def close(self) -> None:
        """The run is over: delete the folder."""
        remove(self.path)

    def leave(self, reporter: Reporter) -> None:
        """The run was interrupted: keep its checkpoint and say so, or delete the folder when there is none."""
        if self.checkpoint.is_file():
            reporter.log(f"The run can be continued: give RESUME {self.path}.")
        else:
            self.close()


def run_folder(job: FinetuneJob) -> RunFolder:
    """Where `job` keeps its checkpoints."""
    output = Path(job.output)
    return RunFolder(Path(job.resume) if job.resume else output.with_name(output.stem + SUFFIX))
