"""Heads fitted on embeddings in one go, by scikit-learn and CatBoost."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from ..contract.errors import Cancelled
from ..contract.jobs import CATBOOST, FOREST_HEAD, LINEAR, MLP, FinetuneJob
from ..models.forest import forest_from_sklearn
from ..models.series_heads import CatBoostHead, EmbeddingHead
from ..reporting import Reporter

# WorldCereal's settings: Van Tricht et al., WorldCereal, Earth System Science Data 15, 2023, and its current code.
CATBOOST_DEPTH, CATBOOST_RATE, CATBOOST_PATIENCE, CATBOOST_TREES = 8, 0.05, 20, 2000
FOREST_TREES = 300
_NEVER = -1e4  # logit of a class that was not seen


@dataclass(frozen=True, eq=False)
class Features:
    """Embeddings (P, D) with their class positions, each one's weight (None: all alike), and those to validate on."""

    train: np.ndarray
    label: np.ndarray
    weights: np.ndarray | None
    val: np.ndarray
    val_label: np.ndarray


@dataclass(frozen=True, eq=False)
class DenseHead:
    """Layers of matrices (out, in) and biases with ReLU between, as `series.build_series` has them: logits at last."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    @property
    def parameters(self) -> int:
        return sum(matrix.size + bias.size for matrix, bias in self.layers)

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """See `EmbeddingHead`."""
        x = samples
        for number, (matrix, bias) in enumerate(self.layers):
            x = (np.maximum(x, 0) if number else x) @ matrix.T + bias
        powers = np.exp(x - x.max(axis=1, keepdims=True))
        found: np.ndarray = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        return found

    def to_tensors(self) -> dict[str, np.ndarray]:
        """See `EmbeddingHead`."""
        places = [""] if len(self.layers) == 1 else ["0.", "3."]  # of linear layers in the module
        return {
            f"head.{place}{name}": value.astype(np.float32)
            for place, layer in zip(places, self.layers, strict=True)
            for name, value in zip(("weight", "bias"), layer, strict=True)
        }


def fit_head(
    constants: Mapping[str, Any], features: Features, classes: int, job: FinetuneJob, reporter: Reporter
) -> EmbeddingHead:
    """The head `constants["head"]` for `classes` classes. Labels are class positions; unseen classes never win."""
    reporter.progress(0, f"Fitting the head on {len(features.label)} pixels")
    fit: Callable[..., EmbeddingHead] = _FITS[constants["head"]]
    head = fit(constants, features, classes, job, reporter)
    reporter.check()
    return head


def _linear(_: Mapping[str, Any], features: Features, classes: int, job: FinetuneJob, __: Reporter) -> DenseHead:
    scaler = StandardScaler().fit(features.train)
    model = LogisticRegression(max_iter=1000, random_state=job.seed)
    model.fit(scaler.transform(features.train), features.label, sample_weight=features.weights)
    last = _all_classes(model.coef_, model.intercept_, model.classes_, classes)
    return DenseHead((_unscaled(last, scaler),))


def _mlp(constants: Mapping[str, Any], features: Features, classes: int, job: FinetuneJob, _: Reporter) -> DenseHead:
    scaler = StandardScaler().fit(features.train)
    model = MLPClassifier((constants["head_width"],), max_iter=job.epochs, random_state=job.seed,
                          alpha=job.weight_decay, learning_rate_init=job.learning_rate)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # EPOCHS says how long
        model.fit(scaler.transform(features.train), features.label, sample_weight=features.weights)
    first, last = ((matrix.T, bias) for matrix, bias in zip(model.coefs_, model.intercepts_, strict=True))
    return DenseHead((_unscaled(first, scaler), _all_classes(*last, model.classes_, classes)))


def _unscaled(layer: tuple[np.ndarray, np.ndarray], scaler: StandardScaler) -> tuple[np.ndarray, np.ndarray]:
    """A layer on standardised features as one on the features themselves."""
    matrix = layer[0] / scaler.scale_
    return matrix, layer[1] - matrix @ scaler.mean_


def _all_classes(matrix: np.ndarray, bias: np.ndarray, seen: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The layer with a row for every class, where scikit-learn has one for two, and none for the unseen."""
    if len(seen) == 2:
        matrix, bias = np.vstack([np.zeros_like(matrix), matrix]), np.concatenate([[0.0], bias])
    whole, biases = np.zeros((classes, matrix.shape[1])), np.full(classes, _NEVER)
    whole[seen], biases[seen] = matrix, bias
    return whole, biases


def _forest(_: Mapping[str, Any], features: Features, classes: int, job: FinetuneJob, __: Reporter) -> EmbeddingHead:
    model = RandomForestClassifier(FOREST_TREES, random_state=job.seed, n_jobs=-1)
    model.fit(features.train, features.label, sample_weight=features.weights)
    return forest_from_sklearn(model, classes)


def _catboost(
    _: Mapping[str, Any], features: Features, classes: int, job: FinetuneJob, reporter: Reporter
) -> EmbeddingHead:
    from catboost import CatBoostClassifier  # a large import, for those who want it

    seen = np.unique(features.label)
    known = np.isin(features.val_label, seen)
    held_out = (features.val[known], features.val_label[known]) if known.any() else None
    trees = CATBOOST_TREES if held_out else CATBOOST_TREES // 10
    model = CatBoostClassifier(
        iterations=trees,
        depth=CATBOOST_DEPTH,
        learning_rate=CATBOOST_RATE,
        loss_function="MultiClass",
        random_seed=job.seed,
        verbose=False,
        allow_writing_files=False,
    )
    patience = CATBOOST_PATIENCE if held_out else None
    model.fit(features.train, features.label, sample_weight=features.weights, eval_set=held_out,
              early_stopping_rounds=patience, callbacks=[_Watch(trees, reporter)])  # fmt: skip
    return CatBoostHead(model, classes)


class _Watch:
    """Shows CatBoost's progress, and stops it when the user does."""

    def __init__(self, trees: int, reporter: Reporter) -> None:
        self._trees, self._reporter = trees, reporter

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on."""
        self._reporter.progress(info.iteration / self._trees, f"Growing trees: {info.iteration} of {self._trees}")
        try:
            self._reporter.check()
        except Cancelled:
            return False
        return True


_FITS: Mapping[str, Callable[..., EmbeddingHead]] = {
    LINEAR: _linear,
    MLP: _mlp,
    FOREST_HEAD: _forest,
    CATBOOST: _catboost,
}
