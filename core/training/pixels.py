"""Training a random forest on labelled pixels: each is a sample, its features are the raw bands of all timesteps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from ..chips.index import ChipRow
from ..contract.errors import InstaGeoError
from ..contract.jobs import FinetuneJob
from ..evaluation.metrics import confusion
from ..models.forest import Forest, forest_from_sklearn
from ..models.zoo import complete_constants
from ..reporting import PhaseReporter, Reporter
from .data import IGNORED, Sample
from .outcome import Outcome
from .preparation import Prepared

MOST_PIXELS = 200_000
LEAST_PIXELS = 1_000  # of each class, where it has them
# Many labelled pixels are mostly neighbours, near copies of each other: leaves of one pixel learn them by heart. A
# pixel more a leaf for each 10 000, up to 5, made the forest better, three times smaller and faster on csmask.
PIXELS_PER_LEAF_PIXEL, LARGEST_LEAF = 10_000, 5
TREES_AT_A_TIME = 20

Pixels = tuple[np.ndarray, np.ndarray]  # (n, all T * C) float32, NaN = no data; (n,) class positions


def fit_forest(prepared: Prepared, job: FinetuneJob, reporter: Reporter) -> Outcome:
    """Fit on the training chips and measure on the validation chips; then fit anew on both for the model that is kept.

    A forest needs no validation to be fitted, so leaving a fifth of the labels out of it would only harm it. Raises
    `InstaGeoError` when no labelled pixel has data.
    """
    started = time.monotonic()
    train_chips, val_chips = prepared.parts.train, prepared.parts.val
    train = _drawn(prepared, train_chips, job.seed, reporter)
    check_pixels(train[1])
    constants = complete_constants(job.backbone, {})
    constants["min_samples_leaf"] = max(constants["min_samples_leaf"], smallest_leaf(len(train[1])))
    forest = _fitted(train, prepared, job, constants, PhaseReporter(reporter, 0, 0.5 if val_chips else 0.9))
    matrix = _confusion(forest, prepared, val_chips or train_chips, reporter)
    used = train
    if val_chips:
        used = _drawn(prepared, (*train_chips, *val_chips), job.seed, reporter)
        forest = _fitted(used, prepared, job, constants, PhaseReporter(reporter, 0.5, 0.98))
    return Outcome(
        constants=constants,
        tensors=forest.to_tensors(),
        confusion=matrix,
        epochs_run=1,
        best_epoch=1,
        parameters=forest.parameters,
        macs=0,
        provenance={
            "seconds": round(time.monotonic() - started, 1),
            "pixels": len(used[1]),
            "fitted_on": "train and val; measured on val with a forest of train" if val_chips else "train",
        },
    )


def smallest_leaf(pixels: int) -> int:
    """Fewest pixels in a leaf of a forest fitted on so many."""
    return max(1, min(pixels // PIXELS_PER_LEAF_PIXEL, LARGEST_LEAF))


def check_pixels(labels: np.ndarray) -> None:
    """Raise `InstaGeoError` unless the labels of pixels with data are of two classes at least."""
    if len(np.unique(labels)) < 2:
        raise InstaGeoError(
            f"Of the labelled training pixels only {len(labels)} have data, in fewer than two classes.",
            "Look at the nodata value of the imagery, or add labels where it has data.",
        )


def labelled_pixels(sample: Sample) -> Pixels:
    """The labelled pixels of a chip that have data in at least one band."""
    stack = np.concatenate([image.reshape(-1, *image.shape[-2:]) for image in sample.images])  # (all T * C, H, W)
    labelled = sample.label != IGNORED
    features = np.where(np.isfinite(stack), stack, np.nan)[:, labelled].T.astype(np.float32)
    known = ~np.isnan(features).all(axis=1)
    return features[known], sample.label[labelled][known]


def _drawn(prepared: Prepared, chips: Sequence[ChipRow], seed: int, reporter: Reporter) -> Pixels:
    """About `MOST_PIXELS` labelled pixels of the chips, or all of them when they are fewer."""
    counts = prepared.class_pixels + (prepared.val_class_pixels if len(chips) > len(prepared.parts.train) else 0)
    shares = drawn_shares(counts)
    found = []
    for number, chip in enumerate(chips):
        reporter.check()
        features, labels = labelled_pixels(prepared.reader.sample(chip))
        kept = np.random.default_rng((seed, number)).random(len(labels)) < shares[labels]
        found.append((features[kept], labels[kept]))
    features, labels = (np.concatenate(arrays) for arrays in zip(*found))
    if (shares < 1).any():
        reporter.log(f"The forest is fitted on {len(labels)} of {counts.sum()} labelled pixels, drawn by class.")
    return features, labels


def drawn_shares(counts: np.ndarray) -> np.ndarray:
    """Share of each class's pixels to draw, so that about `MOST_PIXELS` come and no class gets too few."""
    wanted = np.maximum(counts * min(1.0, MOST_PIXELS / max(counts.sum(), 1)), LEAST_PIXELS)
    shares: np.ndarray = np.minimum(wanted / np.maximum(counts, 1), 1.0)
    return shares


def _fitted(
    pixels: Pixels, prepared: Prepared, job: FinetuneJob, constants: dict[str, Any], reporter: Reporter
) -> Forest:
    """Grown some trees at a time, so that progress shows and cancelling works."""
    features, labels = pixels
    trees = constants["trees"]
    estimator = RandomForestClassifier(
        n_estimators=0,
        min_samples_leaf=constants["min_samples_leaf"],
        max_features=constants["max_features"],
        max_depth=constants["max_depth"],
        random_state=job.seed,
        n_jobs=-1,
        warm_start=True,
    )
    weights = None if prepared.class_weights is None else prepared.class_weights[labels]
    for grown in range(0, trees, TREES_AT_A_TIME):
        reporter.check()
        reporter.progress(grown / trees, f"Growing trees on {len(labels)} pixels: {grown} of {trees}")
        estimator.set_params(n_estimators=min(grown + TREES_AT_A_TIME, trees))
        estimator.fit(features, labels, sample_weight=weights)
    return forest_from_sklearn(estimator, classes=len(prepared.class_pixels))


def _confusion(forest: Forest, prepared: Prepared, chips: Sequence[ChipRow], reporter: Reporter) -> np.ndarray:
    classes = len(prepared.class_pixels)
    total = np.zeros((classes, classes), dtype=np.int64)
    for chip in chips:
        reporter.check()
        features, labels = labelled_pixels(prepared.reader.sample(chip))
        if len(labels):
            total += confusion(labels, forest.probabilities(features).argmax(axis=1), range(classes))
    return total
