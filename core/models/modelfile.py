"""Model files: safetensors whose header carries the model card. Nothing in them is ever executed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..contract.card import AdapterCard, ModelCard, card_from_metadata
from ..contract.errors import DISK, InstaGeoError
from ..files import written_whole

SUFFIX = ".safetensors"
_REMEDY = "Choose a .safetensors file made by this plugin."
_LENGTH_BYTES = 8  # a safetensors file starts with its header's length, then the header, a JSON object


def save_model(path: str | Path, card: ModelCard | AdapterCard, tensors: Mapping[str, Any]) -> None:
    """Write a model file, or an adapter's, whole or not at all.

    `tensors`: torch tensors or arrays by key. Raises `InstaGeoError` when the place cannot be written or is full.
    """
    arrays = {key: _array(value) for key, value in tensors.items()}
    with written_whole(path) as part:
        try:
            part.touch()
            mode = part.stat().st_mode  # safetensors makes files that their owner alone can read
            save_file(arrays, part, card.to_metadata())
            part.chmod(mode)
            _sort_metadata(part)
        except (OSError, SafetensorError) as error:
            raise InstaGeoError(
                f"The model cannot be written to {path} ({error}).", "Free some space or choose another place.", DISK
            ) from error


def _sort_metadata(path: Path) -> None:
    """Put the header's metadata in order, since safetensors writes it in any: equal models are then equal files."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(ordered) <= length:
            file.seek(_LENGTH_BYTES)
            file.write(ordered.ljust(length))


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value, order="C")


def load_card(path: str | Path) -> ModelCard:
    """The card of a model file, without reading its weights.

    Raises `InstaGeoError` when the file is missing, is no model file, is truncated, or its card cannot be read.
    """
    _check_looks_like_model(Path(path))
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error
    return card_from_metadata(metadata, str(path))


def load_model(path: str | Path) -> tuple[ModelCard, dict[str, np.ndarray]]:
    """The card and all tensors, as arrays by key. Raises as `load_card`."""
    card = load_card(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return card, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dictionary
    except (OSError, SafetensorError, TypeError) as error:
        raise _damaged(path, error) from error


def _check_looks_like_model(path: Path) -> None:
    if not path.is_file():
        raise InstaGeoError(f"The model file {path} does not exist.", _REMEDY)
    try:
        with path.open("rb") as file:
            head = file.read(_LENGTH_BYTES + 1)
    except OSError as error:
        raise InstaGeoError(f"{path} cannot be read ({error.strerror}).", "Check its permissions.", DISK) from error
    if head[_LENGTH_BYTES:] == b"{":  # asked first: a length may begin with the byte that pickles begin with
        return
    if zipfile.is_zipfile(path) or head[:1] == b"\x80":
        raise InstaGeoError(
            f"{path} is not a model file of this plugin: it looks like a PyTorch checkpoint or another archive.",
            _REMEDY + " Pickled weights can run code and are not opened here.",
        )
    raise InstaGeoError(f"{path} is not a model file: it does not start as safetensors do.", _REMEDY)


def _damaged(path: str | Path, error: Exception) -> InstaGeoError:
    size = Path(path).stat().st_size if Path(path).exists() else 0
    return InstaGeoError(
        f"The model file {path} is truncated or damaged: its {size} bytes do not match its header ({error}).",
        "Copy or download it again, or train the model again.",
    )
