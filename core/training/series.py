"""Training on pixel series: each labelled pixel of the chips is a sample."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..chips.index import ChipRow
from ..contract.backbones import backbone
from ..contract.jobs import FinetuneJob
from ..evaluation.metrics import confusion
from ..models.cost import count_parameters
from ..models.device import choose_device
from ..models.mixed import MixedPrecision, in_features
from ..models.series import SeriesContext, SeriesNetwork, load_series_weights
from ..models.series_bands import SeriesBands, months_of, series_bands, series_of
from ..models.series_predictor import PIXELS_AT_ONCE
from ..models.zoo import build_module
from ..reporting import PhaseReporter, Reporter
from .adaptation import constants_of
from .augment import Augmentation
from .batches import Batch
from .data import IGNORED
from .embedding_heads import Features, fit_head
from .outcome import Outcome
from .pixels import MOST_PIXELS, check_pixels, drawn_shares
from .preparation import Prepared


@dataclass(frozen=True, eq=False)
class SeriesSource:
    """Labelled pixels: `raw` (P, T, 16) as `series_of` gives it, `months` (P, T), `places` (P, 2), `label` (P,)."""

    raw: np.ndarray
    months: np.ndarray
    places: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def batch(self, indices: Sequence[int], _: Sequence[Augmentation] = ()) -> Batch:
        """Pixels as images of one pixel; a series is not augmented, since time has no mirror."""
        chosen = np.asarray(indices)
        context = SeriesContext(torch.from_numpy(self.months[chosen]), torch.from_numpy(self.places[chosen]))
        raw = torch.from_numpy(self.raw[chosen])[..., None, None]
        return Batch([raw], torch.from_numpy(self.label[chosen])[:, None, None], context)


def series_sources(prepared: Prepared, job: FinetuneJob, reporter: Reporter) -> tuple[SeriesSource, SeriesSource]:
    """Pixels to train on, about `MOST_PIXELS` drawn by class, and to validate on, as many drawn alike of all classes.

    Raises `InstaGeoError` for inputs that the model cannot see, chips without dates, and labels without data.
    """
    record = backbone(job.backbone)
    bands = series_bands(prepared.dataset.spec.inputs, record.title, record.timesteps)
    _say_bands(bands, record.title, reporter)
    counts, val = prepared.class_pixels, prepared.val_class_pixels
    even = np.full(len(val), min(1.0, MOST_PIXELS / max(val.sum(), 1)))
    train_pixels = _drawn(prepared, prepared.parts.train, bands, (job.seed, drawn_shares(counts)), reporter)
    val_pixels = _drawn(prepared, prepared.parts.val, bands, (job.seed, even), reporter)
    check_pixels(train_pixels.label)
    for name, source, every in (("trained", train_pixels, counts), ("validated", val_pixels, val)):
        if len(source) < every.sum():
            reporter.log(f"The model is {name} on {len(source)} of {every.sum()} labelled pixels.")
    return train_pixels, val_pixels


def _say_bands(bands: SeriesBands, title: str, reporter: Reporter) -> None:
    reporter.log(f"{title} sees {', '.join(bands.groups)}.")
    if bands.ignored:
        reporter.log(f"Bands that {title} does not know are left out: {', '.join(bands.ignored)}.", "warning")


def _drawn(
    prepared: Prepared,
    chips: Sequence[ChipRow],
    bands: SeriesBands,
    drawing: tuple[int, np.ndarray],
    reporter: Reporter,
) -> SeriesSource:
    seed, shares = drawing
    empty = SeriesSource(
        np.empty((0, bands.timesteps, 16), np.float32),
        np.empty((0, bands.timesteps), np.int64),
        np.empty((0, 2), np.float32),
        np.empty(0, np.int64),
    )
    found = [empty]
    for number, chip in enumerate(chips):
        reporter.check()
        sample, occasion = prepared.reader.sample(chip), chip.occasion()
        series = series_of(sample.images, bands, occasion)
        labelled = (sample.label != IGNORED) & np.isfinite(series).any(axis=(0, 1))
        label = sample.label[labelled]
        kept = np.random.default_rng((seed, number)).random(len(label)) < shares[label]
        months = months_of(occasion, series, f"Chip {chip.chip}")
        found.append(
            SeriesSource(
                series[:, :, labelled][..., kept].transpose(2, 0, 1),
                np.broadcast_to(months, (int(kept.sum()), len(months))),
                occasion.places()[labelled][kept].astype(np.float32),
                label[kept],
            )
        )
    joined = [np.concatenate([getattr(one, name) for one in found]) for name in ("raw", "months", "places", "label")]
    return SeriesSource(*joined)


def fit_embeddings(prepared: Prepared, job: FinetuneJob, reporter: Reporter) -> Outcome:
    """Fit a head on embeddings of the frozen encoder, computed once.

    Raises `InstaGeoError` as `series_sources`, and for weights that do not fit.
    """
    started = time.monotonic()
    train, val = series_sources(prepared, job, reporter)
    constants = constants_of(job)
    torch.manual_seed(job.seed)
    classes = len(prepared.class_pixels)
    network: SeriesNetwork = build_module(job.backbone, constants, prepared.dataset.spec.inputs, classes)  # type: ignore[assignment]
    sha256 = load_series_weights(network, job.backbone, job.weights)
    device, words = choose_device(job.device)
    network = network.eval().to(device)
    reporter.log(f"Embedding {len(train) + len(val)} pixels on {words}; the head '{constants['head']}' is trained.")
    share = len(train) / (len(train) + len(val))
    mixed = MixedPrecision(device, job.precision, reporter, in_features)
    features = _embedded(network, train, mixed, PhaseReporter(reporter, 0, 0.7 * share))
    val_features = _embedded(network, val, mixed, PhaseReporter(reporter, 0.7 * share, 0.7))
    weights = None if prepared.class_weights is None else prepared.class_weights[train.label]
    given = Features(features, train.label, weights, val_features, val.label)
    head = fit_head(constants, given, classes, job, PhaseReporter(reporter, 0.7, 0.98))
    measured, truth = (val_features, val.label) if len(val) else (features, train.label)
    encoder = {f"encoder.{key}": value for key, value in network.encoder.state_dict().items()}
    return Outcome(
        constants=constants,
        tensors={**encoder, **head.to_tensors()},
        confusion=confusion(truth, head.probabilities(measured).argmax(axis=1), range(classes)),
        epochs_run=1,
        best_epoch=1,
        parameters=count_parameters(network.encoder) + head.parameters,
        macs=0,
        provenance={
            "device": device.type,
            "precision": mixed.precision,
            "pixels": len(train),
            "seconds": round(time.monotonic() - started, 1),
            "pretrained": {"backbone": job.backbone, "file": Path(job.weights).name, "sha256": sha256},
        },
    )


def _embedded(network: SeriesNetwork, source: SeriesSource, mixed: MixedPrecision, reporter: Reporter) -> np.ndarray:
    """(P, D) float32."""
    device = next(network.parameters()).device
    dim: Any = network.encoder.dim
    found = np.empty((len(source), dim), dtype=np.float32)
    for at in range(0, len(source), PIXELS_AT_ONCE):
        reporter.check()
        reporter.progress(at / len(source), f"Embedding pixels: {at} of {len(source)}")
        batch = source.batch(range(at, min(at + PIXELS_AT_ONCE, len(source)))).to(device)
        raw = batch.images[0].flatten(2)
        embed = functools.partial(network.embed, raw, batch.context)  # type: ignore[arg-type]
        with torch.inference_mode():
            found[at : at + PIXELS_AT_ONCE] = mixed.run(embed, tuple(raw.shape[1:])).cpu().numpy()
    return found
