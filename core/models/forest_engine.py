"""Walking samples through the node arrays of a forest, fast.

scikit-learn's compiled tree does the walking where it can be rebuilt from the arrays: that needs no pickle, but its
node layout belongs to the installed version. It is therefore used only when the layout has exactly the fields known
here and a trial run gives the same leaves as the plain array code, which works with any version, about ten times
slower.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .forest import Forest

BLOCK = 65536  # samples walked at a time: enough that a tree is seldom fetched into the cache, few enough for memory
_TRIAL_SAMPLES = 64
_SKLEARN_FIELDS = {
    "left_child", "right_child", "feature", "threshold", "impurity", "n_node_samples", "weighted_n_node_samples",
    "missing_go_to_left",
}  # fmt: skip

Walk = Callable[[np.ndarray], np.ndarray]  # (n, d) float32 samples to (n,) nodes of one tree


class ForestEngine:
    """Evaluates one forest; `compiled` tells which way."""

    def __init__(self, forest: Forest, compiled: bool = True) -> None:
        plain = [ArrayTree(forest, nodes) for nodes in forest.tree_slices()]
        fast = _compiled_trees(forest) if compiled else None
        self.compiled = fast is not None and _agree(forest, plain, fast)
        self._walks: list[Walk] = list(fast) if fast is not None and self.compiled else list(plain)
        self._shares = [_shares_by_node(forest, nodes) for nodes in forest.tree_slices()]
        self._classes = forest.classes

    def probabilities(self, samples: np.ndarray, threads: int = 0) -> np.ndarray:
        """(n, d) float32, NaN = missing, to (n, K) float32 class probabilities. `threads` 0: all processors."""
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        result = np.empty((len(samples), self._classes), dtype=np.float32)
        threads = threads or available_processors()
        size = max(1, min(BLOCK, -(-len(samples) // threads)))

        def do(start: int) -> None:
            self._block(samples[start : start + size], result[start : start + size])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(do, range(0, len(samples), size)))
        return result

    def _block(self, samples: np.ndarray, result: np.ndarray) -> None:
        total = np.zeros(result.shape, dtype=np.float64)
        for walk, shares in zip(self._walks, self._shares, strict=True):
            total += shares.take(walk(samples), axis=0, mode="clip")  # quicker than indexing; no index is outside
        result[:] = total / len(self._walks)


def _shares_by_node(forest: Forest, nodes: slice) -> np.ndarray:
    """(nodes, K) float64: doubles, so that the sum over trees is that of scikit-learn; only leaves' rows matter."""
    row = np.where(forest.left[nodes] < 0, forest.right[nodes], 0)
    return forest.leaves[row].astype(np.float64)


def available_processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ArrayTree:
    """One tree, walked by array operations: all samples one level down at a time."""

    def __init__(self, forest: Forest, nodes: slice) -> None:
        self._feature = forest.feature[nodes]
        self._threshold = forest.threshold[nodes]
        self._left = forest.left[nodes]
        self._right = forest.right[nodes]
        self._missing_left = forest.missing_left[nodes].astype(bool)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """(n, d) float32 to the (n,) leaves they end in."""
        node = np.zeros(len(samples), dtype=np.intp)
        flat, width = samples.ravel(), samples.shape[1]
        moving = np.arange(len(samples)) if self._left[0] >= 0 else np.arange(0)
        while len(moving):
            at = node.take(moving)
            value = flat.take(moving * width + self._feature.take(at))
            goes_left = (value <= self._threshold.take(at)) | (np.isnan(value) & self._missing_left.take(at))
            reached = np.where(goes_left, self._left.take(at), self._right.take(at))
            node[moving] = reached
            moving = moving[self._left.take(reached) >= 0]
        return node


def _compiled_trees(forest: Forest) -> list[Walk] | None:
    try:
        from sklearn.tree._tree import NODE_DTYPE, Tree
    except ImportError:
        return None
    if set(NODE_DTYPE.names) != _SKLEARN_FIELDS:
        return None
    try:
        return [_compiled_tree(forest, nodes, Tree, NODE_DTYPE) for nodes in forest.tree_slices()]
    except (ValueError, TypeError, KeyError):
        return None


def _compiled_tree(forest: Forest, nodes: slice, tree_class: type, layout: np.dtype) -> Walk:
    left = forest.left[nodes]
    records = np.zeros(len(left), dtype=layout)
    records["left_child"] = left
    records["right_child"] = np.where(left < 0, -1, forest.right[nodes])
    records["feature"] = np.where(left < 0, -2, forest.feature[nodes])  # -2: undefined, at a leaf
    records["threshold"] = forest.threshold[nodes]
    records["missing_go_to_left"] = forest.missing_left[nodes]
    tree = tree_class(int(forest.features[0]), np.array([1], dtype=np.intp), 1)
    values = np.zeros((len(left), 1, 1), dtype=np.float64)  # class shares are looked up here, not there
    tree.__setstate__({"max_depth": 0, "node_count": len(left), "nodes": records, "values": values})
    walk: Walk = tree.apply
    return walk


def _agree(forest: Forest, plain: list[ArrayTree], fast: list[Walk]) -> bool:
    """Whether both ways reach the same leaves for samples around the forest's own thresholds, missing values among
    them."""
    generator = np.random.default_rng(0)
    samples = generator.choice(forest.threshold, (_TRIAL_SAMPLES, int(forest.features[0]))).astype(np.float32)
    samples[generator.random(samples.shape) < 0.1] = np.nan
    return all(np.array_equal(a(samples), b(samples)) for a, b in zip(plain, fast, strict=True))
