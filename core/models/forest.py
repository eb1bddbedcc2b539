"""Random forests as plain node arrays: fitted by scikit-learn, stored without pickle, evaluated to the same numbers.

A sample goes left where its feature is at most the node's threshold, and where a missing (NaN) feature says so at the
node; a forest's probability is the mean over trees of the class shares in the leaf (Breiman 2001; scikit-learn's
`RandomForestClassifier`).

scikit-learn compares float32 features with float64 thresholds. The largest float32 not above such a threshold decides
every comparison alike, so thresholds are kept as float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..contract.errors import Problems
from .forest_engine import ForestEngine

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

_PREFIX = "forest."
_DTYPES = {
    "feature": np.int32, "threshold": np.float32, "left": np.int32, "right": np.int32, "missing_left": np.uint8,
    "leaves": np.float32, "offsets": np.int64, "features": np.int64,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Forest:
    """The trees of a forest, one after another; tree t has the nodes offsets[t] to offsets[t + 1] - 1.

    feature, threshold, left, right, missing_left: one value a node. Children are counted from the tree's own first
    node and stand behind their parent; left is -1 at a leaf, where right is the row of `leaves`, the (leaves, K)
    class shares. `features` (one number) is how many a sample has.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    leaves: np.ndarray
    offsets: np.ndarray
    features: np.ndarray

    @property
    def classes(self) -> int:
        return int(self.leaves.shape[1])

    @property
    def trees(self) -> int:
        return len(self.offsets) - 1

    @property
    def parameters(self) -> int:
        """Numbers learned: a feature and a threshold a split, K shares a leaf."""
        return 2 * int((self.left >= 0).sum()) + int(self.leaves.size)

    def tree_slices(self) -> Iterator[slice]:
        for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield slice(int(start), int(end))

    @cached_property
    def engine(self) -> ForestEngine:
        return ForestEngine(self)

    def probabilities(self, samples: np.ndarray, threads: int = 0) -> np.ndarray:
        """(n, features) float32, NaN = missing, to (n, K) float32 class probabilities. `threads` 0: all processors."""
        return self.engine.probabilities(samples, threads)

    def to_tensors(self) -> dict[str, np.ndarray]:
        """The arrays under the keys they have in a model file."""
        return {_PREFIX + f.name: getattr(self, f.name) for f in fields(self)}


def forest_from_sklearn(estimator: RandomForestClassifier, classes: int | None = None) -> Forest:
    """The node arrays of a fitted forest with one output.

    `classes`: number of classes when the estimator, fitted on class positions 0 to K - 1, may not have seen all of
    them; unseen ones get probability 0. None: the columns are the estimator's own `classes_`.
    """
    seen = np.arange(len(estimator.classes_)) if classes is None else np.asarray(estimator.classes_, dtype=np.int64)
    total = len(seen) if classes is None else classes
    trees = [tree.tree_ for tree in estimator.estimators_]
    left = np.concatenate([tree.children_left for tree in trees]).astype(np.int32)
    right = np.concatenate([tree.children_right for tree in trees]).astype(np.int32)
    shares = np.concatenate([tree.value[:, 0, :] for tree in trees])
    is_leaf = left < 0
    leaves = np.zeros((int(is_leaf.sum()), total), dtype=np.float32)
    leaves[:, seen] = shares[is_leaf] / shares[is_leaf].sum(axis=1, keepdims=True)
    right[is_leaf] = np.arange(len(leaves), dtype=np.int32)
    return Forest(
        feature=np.where(is_leaf, 0, np.concatenate([tree.feature for tree in trees])).astype(np.int32),
        threshold=_float32_below(np.where(is_leaf, 0.0, np.concatenate([tree.threshold for tree in trees]))),
        left=left,
        right=right,
        missing_left=np.concatenate([tree.missing_go_to_left for tree in trees]).astype(np.uint8),
        leaves=leaves,
        offsets=np.cumsum([0, *(tree.node_count for tree in trees)], dtype=np.int64),
        features=np.array([estimator.n_features_in_], dtype=np.int64),
    )


def _float32_below(values: np.ndarray) -> np.ndarray:
    rounded = values.astype(np.float32)
    too_high = rounded.astype(np.float64) > values
    rounded[too_high] = np.nextafter(rounded[too_high], np.float32(-np.inf))
    return rounded


def forest_from_tensors(tensors: Mapping[str, Any], subject: str = "Forest") -> Forest:
    """The forest of a model file's tensors.

    Raises `InstaGeoError` that lists every missing, unexpected, mistyped or inconsistent array: evaluation follows
    the indices in them unchecked.
    """
    problems = Problems(subject, "Train the model again, or copy the file again.")
    expected = {_PREFIX + name: dtype for name, dtype in _DTYPES.items()}
    for key in sorted(set(tensors) - set(expected)):
        problems.add(f"unexpected array '{key}'.")
    for key, dtype in expected.items():
        if key not in tensors:
            problems.add(f"array '{key}' is missing.")
        elif tensors[key].dtype != dtype or tensors[key].ndim != (2 if key.endswith("leaves") else 1):
            found = f"{tensors[key].ndim}-dimensional {tensors[key].dtype}"
            problems.add(f"array '{key}' is {found}; expected {np.dtype(dtype).name}.")
    problems.raise_if_any()
    forest = Forest(**{name: tensors[_PREFIX + name] for name in _DTYPES})
    for problem in _inconsistencies(forest):
        problems.add(problem)
    problems.raise_if_any()
    return forest


def _inconsistencies(forest: Forest) -> Iterator[str]:
    nodes, offsets = len(forest.feature), forest.offsets
    if any(len(getattr(forest, name)) != nodes for name in ("threshold", "left", "right", "missing_left")):
        yield "its node arrays differ in length."
        return
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != nodes or (np.diff(offsets) < 1).any():
        yield "its tree offsets do not divide the nodes into trees."
        return
    if len(forest.features) != 1 or forest.features[0] < 1:
        yield "its number of features is not one positive number."
        return
    sizes = np.diff(offsets)
    own = np.arange(nodes) - np.repeat(offsets[:-1], sizes)
    split, last = forest.left >= 0, np.repeat(sizes, sizes)
    for child in (forest.left, forest.right):
        if ((child <= own) | (child >= last))[split].any():
            yield "a node's child lies outside its tree or before the node."
    if ((forest.right < 0) | (forest.right >= len(forest.leaves)))[~split].any():
        yield "a leaf names class shares that are not there."
    if ((forest.feature < 0) | (forest.feature >= forest.features[0])).any():
        yield "a node names a feature that samples do not have."
    if not np.isfinite(forest.leaves).all() or np.isnan(forest.threshold).any():
        yield "it holds numbers that are not finite."
