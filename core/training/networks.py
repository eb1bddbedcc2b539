"""Training a network of the zoo with Lightning."""

from __future__ import annotations

import functools
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from lightning.fabric.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]
from torch import nn

from ..contract.errors import INPUT, InstaGeoError
from ..contract.jobs import FULL, FinetuneJob
from ..models.cost import count_macs, count_parameters
from ..models.device import choose_device
from ..models.zoo import SERIES, architecture, build_module
from ..reporting import PhaseReporter, Reporter
from .adaptation import LAYER_DECAY, adapt, adapter_tensors, constants_of, merge_adapters
from .batches import BatchSource, PlainBatches, Source, TrainingBatches
from .callbacks import EpochCallback, ReportingCallback
from .data import common_size
from .losses import build_loss
from .outcome import Outcome
from .precision import choose_precision
from .preparation import Prepared
from .run_folder import RunFolder, fingerprint, run_folder
from .series import series_sources
from .task import GRADIENT_NORM, Plan, SegmentationTask, label_confusion

LARGEST_BATCH = 16
LARGEST_SERIES_BATCH = 64  # pixels
SMALLEST_BATCH = 2
STEPS_PER_EPOCH = 3  # at least, where the chips suffice
PIXELS_PER_BATCH = LARGEST_BATCH * 256 * 256
TRIAL_CHIPS = 2

_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


def fit_network(prepared: Prepared, job: FinetuneJob, reporter: Reporter) -> Outcome:
    """Train the network `job.backbone` on the prepared chips.

    The run folder stays until the caller has the model in safety and closes it. Raises `InstaGeoError` when the loss
    diverges or the run to resume is another one; all else that ends the run leaves a folder that can be resumed.
    """
    bench = _set_up(prepared, job, reporter)
    folder = run_folder(job)
    mark = fingerprint(job, prepared.digest, bench.device.type, bench.precision)
    if job.resume:
        folder.check(mark)
    else:
        folder.begin(mark, reporter)
    started = time.monotonic()
    with _left_in_order(folder, job, reporter):
        _fit(bench, job, folder, PhaseReporter(reporter, 0, 0.98))
        reporter.progress(0.98, "Measuring the best epoch")
        return _outcome(bench, job, time.monotonic() - started)


@dataclass(frozen=True)
class _Bench:
    """All that a training needs, built."""

    task: SegmentationTask
    train: TrainingBatches
    val: PlainBatches | None
    device: torch.device
    precision: str
    constants: dict[str, Any]
    batch_size: int
    pretrained: dict[str, Any]


def _set_up(prepared: Prepared, job: FinetuneJob, reporter: Reporter) -> _Bench:
    spec = prepared.dataset.spec
    torch.manual_seed(job.seed)
    constants = constants_of(job)
    network = build_module(job.backbone, constants, spec.inputs, len(spec.class_table.classes))
    pretrained = adapt(network, job, spec.inputs, reporter)
    device, words = choose_device(job.device)
    # Channels last: twice as fast in bf16, no slower in fp32.
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train, val, batch_size = _sources(prepared, job, int(network.stride_px), reporter)  # type: ignore[arg-type]
    batch_size = job.batch_size or batch_size
    precision = _precision(job, network, train, reporter)
    batches = TrainingBatches(train, batch_size, job.seed, job.augment)
    reporter.log(f"Training {job.backbone} on {words}, {precision}: {len(batches)} batches of {batch_size} an epoch.")
    task = _task(prepared, job, network, len(batches))
    return _Bench(
        task,
        batches,
        PlainBatches(val, batch_size) if len(val) else None,
        device,
        precision,
        constants,
        batch_size,
        pretrained,
    )


def _sources(prepared: Prepared, job: FinetuneJob, stride: int, reporter: Reporter) -> tuple[Source, Source, int]:
    """What is trained and validated on, and how much of it makes a batch."""
    if architecture(job.backbone).family == SERIES:
        pixels, val_pixels = series_sources(prepared, job, reporter)
        return pixels, val_pixels, max(SMALLEST_BATCH, min(LARGEST_SERIES_BATCH, len(pixels) // STEPS_PER_EPOCH))
    parts = prepared.parts
    size = common_size((*parts.train, *parts.val), stride)
    train, val = (BatchSource(prepared.reader, c, prepared.normalisation, size) for c in (parts.train, parts.val))
    return train, val, automatic_batch_size(len(parts.train), size)


def _precision(job: FinetuneJob, network: nn.Module, train: Source, reporter: Reporter) -> str:
    if job.resume:
        return run_folder(job).begun().precision
    trial = train.batch(range(min(TRIAL_CHIPS, len(train))))
    return choose_precision(job.precision, network, trial, reporter)


def _task(prepared: Prepared, job: FinetuneJob, network: nn.Module, steps: int) -> SegmentationTask:
    weights = None
    if prepared.class_weights is not None:
        device = next(network.parameters()).device
        weights = torch.tensor(prepared.class_weights, dtype=torch.float32, device=device)
    plan = Plan(
        classes=len(prepared.class_pixels),
        epochs=job.epochs,
        steps_per_epoch=steps,
        learning_rate=job.learning_rate,
        weight_decay=job.weight_decay,
        patience=job.patience,
        seed=job.seed,
        layer_decay=LAYER_DECAY if job.adaptation == FULL else 1.0,
    )
    return SegmentationTask(network, build_loss(job.loss, weights), plan)


def automatic_batch_size(chips: int, size_px: int) -> int:
    """Chips a batch: small enough for `STEPS_PER_EPOCH` steps, for memory, and for `LARGEST_BATCH`."""
    fitting = max(1, PIXELS_PER_BATCH // size_px**2)
    return min(max(SMALLEST_BATCH, chips // STEPS_PER_EPOCH), LARGEST_BATCH, fitting)


@contextmanager
def _left_in_order(folder: RunFolder, job: FinetuneJob, reporter: Reporter) -> Iterator[None]:
    """A run that ends early can be continued, unless it diverged: it would do so again."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, InstaGeoError) and error.code == INPUT and not job.resume:
            folder.close()
        else:
            folder.leave(reporter)
        raise


def _fit(bench: _Bench, job: FinetuneJob, folder: RunFolder, reporter: Reporter) -> None:
    with _quiet_lightning():
        trainer = Trainer(
            accelerator=_ACCELERATORS[bench.device.type],
            devices=1,
            precision=bench.precision,  # type: ignore[arg-type]
            max_epochs=job.epochs,
            gradient_clip_val=GRADIENT_NORM,
            callbacks=[ReportingCallback(reporter), EpochCallback(reporter, folder)],
            plugins=[LightningEnvironment()],  # a cluster's variables must not make it wait for other processes
            default_root_dir=folder.path,
            deterministic="warn" if bench.device.type == "cuda" else None,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        bench.train.epoch = lambda: trainer.current_epoch
        trainer.fit(
            bench.task,
            bench.train,
            bench.val,
            ckpt_path=folder.checkpoint if job.resume else None,
            weights_only=True,
        )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's advertisements and its advice about loaders and devices are not for users of a dialog."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _outcome(bench: _Bench, job: FinetuneJob, seconds: float) -> Outcome:
    task = bench.task
    network = task.final_network.to(bench.device)
    adapter = {key: value.cpu().clone() for key, value in adapter_tensors(network).items()} if job.adapter else {}
    merge_adapters(network)
    source = bench.val.source if bench.val else bench.train.source
    return Outcome(
        constants=bench.constants,
        tensors=network.state_dict(),
        confusion=_measured(network, PlainBatches(source, bench.batch_size), bench.device),
        epochs_run=len(task.history),
        best_epoch=task.best_epoch,
        parameters=count_parameters(network),
        macs=_macs(network, source),
        history=tuple(task.history),
        provenance={
            "device": bench.device.type,
            "precision": bench.precision,
            "batch_size": bench.batch_size,
            "threads": torch.get_num_threads(),
            "seconds": round(seconds, 1),
            "resumed": bool(job.resume),
            **bench.pretrained,
        },
        adapter=adapter,
    )


def _macs(network: nn.Module, source: Source) -> int:
    """Of one chip; not counted for pixel series, of which a chip holds as many as it has pixels."""
    if not isinstance(source, BatchSource):
        return 0
    return count_macs(network, source.reader.dataset.spec.inputs, source.size_px)


@torch.no_grad()
def _measured(network: nn.Module, batches: PlainBatches, device: torch.device) -> np.ndarray:
    """(K, K) confusion of the final network in float32, as prediction will run it."""
    moved = (batch.to(device) for batch in batches)
    found = (label_confusion(batch.label, network(batch.images, batch.context)) for batch in moved)
    return functools.reduce(np.add, found)
