"""Heads on embeddings that are no networks, in a model file without pickle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..contract.errors import InstaGeoError

CATBOOST_KEY = "catboost.cbm"


class EmbeddingHead(Protocol):
    """Class probabilities of embeddings."""

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """(n, D) float32 to (n, K) float32 that sum to 1."""
        ...

    def to_tensors(self) -> dict[str, np.ndarray]:
        """The arrays under the keys they have in a model file."""
        ...

    @property
    def parameters(self) -> int: ...


class CatBoostHead:
    """A CatBoost classifier of `classes` classes; those it was not fitted on have the probability 0.

    It is stored as CatBoost's own binary format, which holds data alone.
    """

    def __init__(self, model: Any, classes: int) -> None:
        self._model, self._classes = model, classes

    @property
    def parameters(self) -> int:
        """Values of leaves, and a split a level of each tree."""
        leaves = int(np.sum(self._model.get_tree_leaf_counts()))
        return leaves * len(self._model.classes_) + int(np.log2(self._model.get_tree_leaf_counts()).sum())

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """See `EmbeddingHead`."""
        found = np.zeros((len(samples), self._classes), dtype=np.float32)
        if len(samples):
            found[:, np.asarray(self._model.classes_, dtype=int)] = self._model.predict_proba(samples)
        return found

    def to_tensors(self) -> dict[str, np.ndarray]:
        """See `EmbeddingHead`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.cbm"
            self._model.save_model(str(path), format="cbm")
            return {CATBOOST_KEY: np.fromfile(path, dtype=np.uint8)}


def catboost_from_tensors(tensors: Mapping[str, Any], classes: int, subject: str) -> CatBoostHead:
    """The classifier of a model file's tensors. Raises `InstaGeoError` when there is none, or it is damaged."""
    from catboost import CatBoostClassifier, CatBoostError  # not everyone has a use for it

    if set(tensors) != {CATBOOST_KEY} or tensors[CATBOOST_KEY].dtype != np.uint8:
        raise InstaGeoError(
            f"{subject}: its head should be one array of bytes, '{CATBOOST_KEY}'; found {', '.join(tensors) or 'none'}."
        )
    model = CatBoostClassifier()
    try:
        model.load_model(blob=tensors[CATBOOST_KEY].tobytes())
    except CatBoostError as error:
        raise InstaGeoError(f"{subject}: its CatBoost head is damaged ({error}).", "Copy the file again.") from error
    return CatBoostHead(model, classes)
