"""Published weights: files of other programs, opened without running anything in them."""

from __future__ import annotations

import hashlib
import pickle  # nosec B403
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..contract.errors import InstaGeoError

_CONTAINERS = ("state_dict", "model_state_dict", "model", "encoder", "teacher", "module")
_PICKLE = b"\x80"  # a pickle's first byte
_BLOCK = 1 << 20
_SHOWN = 4


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file by their published keys, and the file's SHA-256."""

    path: Path
    tensors: Mapping[str, torch.Tensor]
    sha256: str


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Read a `.pt`, `.pth`, `.ckpt`, `.bin` or `.safetensors` file; large files are mapped, not copied.

    Raises `InstaGeoError` for a file that is missing, truncated, no checkpoint, or a pickle with anything but weights
    in it: such a pickle could run code and is not opened.
    """
    path = Path(path)
    if not path.is_file():
        raise InstaGeoError(f"The weights file {path} does not exist.", "Check the path.")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    tensors = _unwrapped(content)
    if not tensors:
        raise InstaGeoError(f"{path} holds no weights.", "Choose the file that the model's authors publish.")
    return Checkpoint(path, tensors, sha256_of(path))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _torch_file(path: Path) -> Any:
    mapped = zipfile.is_zipfile(path)
    with path.open("rb") as file:
        if not mapped and file.read(1) != _PICKLE:
            raise _damaged(path, ValueError("it is neither a zip archive nor a pickle"))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error):
            raise InstaGeoError(
                f"{path} holds more than weights ({_what_is_refused(error)}). Such a file can run code when it is "
                "opened, so it is not.",
                "Ask its authors for the weights alone, best as .safetensors.",
            ) from error
        raise _damaged(path, error) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _what_is_refused(error: Exception) -> str:
    """The name that torch would not load, from the middle of its long message."""
    words = str(error)
    for before in ("Unsupported global: GLOBAL ", "Unsupported class ", "Unsupported operand "):
        if before in words:
            return words.partition(before)[2].split()[0]
    return "objects of a program"


def _damaged(path: Path, error: Exception) -> InstaGeoError:
    size = path.stat().st_size
    return InstaGeoError(
        f"The weights file {path} ({size} bytes) is truncated, damaged or no checkpoint "
        f"({str(error).partition(chr(10))[0][:120]}).",
        "Copy or download it again.",
    )


def _unwrapped(content: Any) -> dict[str, torch.Tensor]:
    """Tensors by key, out of the dictionaries that training programs put around them."""
    if not isinstance(content, Mapping):
        return {}
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if tensors:
        return tensors
    for name in _CONTAINERS:
        if isinstance(content.get(name), Mapping):
            return _unwrapped(content[name])
    return {}


def stripped(checkpoint: Checkpoint, anchor: str, title: str) -> dict[str, torch.Tensor]:
    """The tensors below the prefix under which the key `anchor` of the model `title` stands, without that prefix.

    Raises `InstaGeoError` when no key ends in `anchor`: the file is of another family.
    """
    prefixes = sorted(set(_prefixes(checkpoint.tensors, anchor)), key=len)
    if not prefixes:
        keys = ", ".join(list(checkpoint.tensors)[:_SHOWN])
        raise InstaGeoError(
            f"{checkpoint.path} holds no weights of {title}: no key ends in '{anchor}'; it has {keys} ...",
            "Choose the file published for this model, or the model that the file is for.",
        )
    prefix = prefixes[0]
    return {key.removeprefix(prefix): value for key, value in checkpoint.tensors.items() if key.startswith(prefix)}


def _prefixes(keys: Mapping[str, Any], anchor: str) -> Iterator[str]:
    for key in keys:
        head, found, tail = key.rpartition(anchor)
        if found and not tail and (not head or head.endswith(".")) and "decoder" not in head:
            yield head
