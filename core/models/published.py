"""Published weights, fetched when the user asks: by pinned revision, checked by hash, resumed where they broke off."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..archive.access import Access, Patience, ReadFailure, Sink
from ..contract.backbones import GITHUB, Backbone, Published
from ..contract.errors import DISK, InstaGeoError
from ..files import cache_folder, check_writable, written_whole
from ..reporting import Reporter
from .checkpoints import sha256_of

_PIECE = 8 << 20  # bytes asked for at a time: what a broken connection may cost, and how often progress shows
_PATIENCE = Patience(tries=5)
_LARGEST_ANSWER = 1 << 22
_RAW = "https://raw.githubusercontent.com/{repository}"
_MEGABYTE = 1e6


@dataclass(frozen=True)
class Origin:
    """Where a file came from; it stands beside the file."""

    url: str
    revision: str
    sha256: str
    size: int


def fetch_weights(record: Backbone, reporter: Reporter, folder: Path | None = None) -> Path:
    """The published weights of `record` in `folder` (the user's cache by default), fetched unless they are there.

    Where the record knows no revision, the newest one is pinned at the first download, and where it knows no hash, that
    of the first download is trusted from then on; both stand beside the file. A download that broke off goes on where
    it ended. Raises `InstaGeoError` when the hub cannot be reached, the disk is full, or the file is another one.
    """
    path = (folder or cache_folder() / "weights") / record.name / Path(record.weights.file).name
    known = _origin(_note(path))
    if path.is_file() and known and path.stat().st_size == known.size:
        _check_hash(record, path, known.sha256)
        reporter.log(f"Weights of {record.title}: {path}, fetched before from {known.url}.")
        return path
    check_writable(path)
    access = Access(patience=_PATIENCE)
    pinned = _pinned(record, access, known, path)
    part = path.with_name(path.name + ".part")
    size = _download(record, access, pinned, part, reporter)
    sha256 = sha256_of(part)
    expected = record.weights.sha256 or (known.sha256 if known else "")
    if expected and sha256 != expected:
        part.unlink()
        raise _other_file(record, f"{_address(pinned)} gave a file", sha256, expected)
    with written_whole(_note(path)) as note:
        origin = Origin(_address(pinned), pinned.revision, sha256, size)
        note.write_text(json.dumps(dataclasses.asdict(origin), indent=1), encoding="utf-8")
    part.replace(path)
    path.with_name(path.name + ".part.json").unlink(missing_ok=True)
    if not expected:
        reporter.log(f"No source states the hash of this file; from now on {sha256} is trusted for it.", "warning")
    reporter.log(f"Weights of {record.title} fetched from {_address(pinned)} to {path}; licence {record.licence}.")
    return path


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _origin(note: Path) -> Origin | None:
    try:
        return Origin(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _check_hash(record: Backbone, path: Path, noted: str) -> None:
    found, expected = sha256_of(path), record.weights.sha256 or noted
    if found != expected:
        raise _other_file(record, f"{path} is a file", found, expected)


def _other_file(record: Backbone, subject: str, found: str, expected: str) -> InstaGeoError:
    return InstaGeoError(
        f"{subject} with the SHA-256 {found}; expected {expected}, that of {record.title}.",
        "Delete it and fetch it again; if it stays so, the publisher has changed it or somebody else has.",
    )


def _pinned(record: Backbone, access: Access, known: Origin | None, path: Path) -> Published:
    """Where the file is, with its revision; one noted for a download that broke off is kept."""
    published = record.weights
    if published.revision:
        return published
    note = path.with_name(path.name + ".part.json")
    noted = known or _origin(note)
    revision = noted.revision if noted else _newest(record, access)
    if not noted:
        note.write_text(json.dumps(dataclasses.asdict(Origin("", revision, "", 0))), encoding="utf-8")
    return dataclasses.replace(published, revision=revision)


def _newest(record: Backbone, access: Access) -> str:
    """The commit that the repository's main branch is at, as the hub's interface tells it."""
    root = record.weights.place.partition("/{repository}")[0]
    url = f"{root}/api/models/{record.weights.repository}/revision/main"
    answer = bytearray()
    _fetch(record, access, url, (0, _LARGEST_ANSWER), lambda _, block: answer.extend(block))
    try:
        return str(json.loads(answer)["sha"])
    except (ValueError, KeyError, TypeError) as error:
        raise InstaGeoError(f"{url} does not name a revision ({error}).", _by_hand(record)) from error


def _address(published: Published) -> str:
    if published.place == GITHUB:
        return f"{_RAW.format(repository=published.repository)}/{published.revision}/{published.file}"
    place = published.place.format(repository=published.repository)
    return f"{place}/resolve/{published.revision}/{published.file}"


def _download(record: Backbone, access: Access, published: Published, part: Path, reporter: Reporter) -> int:
    """Fill `part` from where it ends; returns the file's size."""
    url = _address(published)
    with part.open("ab") as file:
        at = file.tell()
        size = at + 1
        while at < size:
            reporter.check()

            def take(offset: int, block: bytes) -> None:
                file.seek(offset)
                file.truncate()  # a server without ranges begins anew
                file.write(block)

            size = _fetch(record, access, url, (at, at + _PIECE - 1), take)
            file.flush()
            at = part.stat().st_size
            _check_space(part, size - at)
            reporter.progress(at / size, f"Fetching weights: {at / _MEGABYTE:.0f} of {size / _MEGABYTE:.0f} MB")
    return size


def _fetch(record: Backbone, access: Access, url: str, span: tuple[int, int], take: Sink) -> int:
    try:
        return access.fetch(url, *span, take)
    except ReadFailure as error:
        raise InstaGeoError(
            f"The weights of {record.title} could not be fetched: {error}.", _by_hand(record)
        ) from error


def _by_hand(record: Backbone) -> str:
    place = record.weights.place.format(repository=record.weights.repository)
    return (
        "Check the network and the proxy in QGIS's settings and run this again, which goes on where it ended; or fetch "
        f"{record.weights.file} from {place} on another machine and give the file as WEIGHTS."
    )


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise InstaGeoError(
            f"{part.parent} has {free / _MEGABYTE:.0f} MB free; the weights need {needed / _MEGABYTE:.0f} MB more.",
            "Free some space, or set the variable INSTAGEO_CACHE to a folder with more.",
            DISK,
        )
