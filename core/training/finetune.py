"""A chip dataset to a model file."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..chips.dataset import ChipDataset, open_dataset
from ..contract.backbones import backbone, is_foundation
from ..contract.card import AdapterCard, ModelCard
from ..contract.dataset import SEGMENTATION
from ..contract.errors import InstaGeoError
from ..contract.jobs import FROZEN, SCRATCH, FinetuneJob
from ..contract.serial import to_plain
from ..contract.version import SOFTWARE
from ..evaluation.metrics import Scores, scores_from_confusion
from ..files import check_writable, written_whole
from ..models.modelfile import save_model
from ..models.zoo import FOREST, SERIES, ZOO, Architecture, architecture
from ..reporting import PhaseReporter, Reporter
from .outcome import Outcome
from .preparation import Prepared, prepare
from .run_folder import run_folder

_PLACES = ("output", "report", "history", "resume", "dataset", "weights", "adapter")
_LIBRARIES = ("numpy", "scikit-learn", "torch", "lightning", "peft", "catboost")


def finetune(job: FinetuneJob, reporter: Reporter) -> dict[str, Any]:
    """Train the backbone of `job` on its dataset and write the model file, with its card.

    Returns OUTPUT, MIOU, ACCURACY, F1, EPOCHS_RUN, and REPORT, HISTORY and ADAPTER where they were asked for. The
    figures are those of the validation chips, or of the training chips where there are none (the card's metrics say
    which).

    Raises `InstaGeoError` for a dataset that cannot be trained on, a place that cannot be written, a training that
    diverges or cannot be resumed; `Cancelled` leaves no output.
    """
    started = datetime.now(timezone.utc)
    record = architecture(job.backbone)
    for path in filter(None, (job.output, job.report, job.history, job.adapter)):
        check_writable(path)
    _check_resumable(job, record)
    _check_has_weights(job)
    if job.download and not job.weights and job.adaptation != SCRATCH:
        job = _with_weights(job, reporter)
    reporter.progress(0, "Reading the dataset")
    dataset = open_dataset(job.dataset)
    _check_labelled(dataset)
    prepared = prepare(dataset, job, PhaseReporter(reporter, 0, 0.1))
    outcome = _fit(record, prepared, job, PhaseReporter(reporter, 0.1, 0.95))
    scores = _scores(dataset, outcome)
    card = _card(record, prepared, job, outcome, scores, started)
    reporter.progress(0.95, "Writing the model")
    save_model(job.output, card, outcome.tensors)
    if job.adapter:
        save_model(job.adapter, _adapter_card(job, card), outcome.adapter)
        reporter.artifact("ADAPTER", job.adapter)
    if not _in_one_go(record, job):
        run_folder(job).close()
    reporter.artifact("OUTPUT", job.output)
    _write_extras(job, card, outcome, reporter)
    _say(scores, prepared.parts.measured, reporter)
    return _outputs(job, scores, outcome)


def _with_weights(job: FinetuneJob, reporter: Reporter) -> FinetuneJob:
    """The job with its backbone's published weights, fetched where they are not there yet."""
    from ..models.published import fetch_weights

    return dataclasses.replace(job, weights=str(fetch_weights(backbone(job.backbone), reporter)))


def _check_resumable(job: FinetuneJob, record: Architecture) -> None:
    if job.resume and _in_one_go(record, job):
        raise InstaGeoError(
            f"RESUME is given, but '{job.backbone}' is fitted in one go.", "Leave RESUME out for this backbone."
        )


def _in_one_go(record: Architecture, job: FinetuneJob) -> bool:
    """Whether the model is fitted without epochs that could be resumed."""
    return record.family == FOREST or (record.family == SERIES and job.adaptation == FROZEN)


def _check_has_weights(job: FinetuneJob) -> None:
    asked = job.weights or job.adaptation != SCRATCH
    if asked and not is_foundation(job.backbone):
        known = ", ".join(one.name for one in ZOO if is_foundation(one.name))
        raise InstaGeoError(
            f"WEIGHTS are asked for, but '{job.backbone}' has no published ones.",
            f"Choose ADAPTATION scratch, or {known}.",
        )


def _check_labelled(dataset: ChipDataset) -> None:
    if dataset.spec.task != SEGMENTATION or not dataset.spec.class_table.classes:
        raise InstaGeoError(
            f"The dataset {dataset.folder} has the task {dataset.spec.task} and "
            f"{len(dataset.spec.class_table.classes)} classes; expected {SEGMENTATION} with a class table.",
            "Create the chips with labels.",
        )


def _fit(record: Architecture, prepared: Prepared, job: FinetuneJob, reporter: Reporter) -> Outcome:
    if record.family == FOREST:
        from .pixels import fit_forest

        return fit_forest(prepared, job, reporter)
    if _in_one_go(record, job):
        from .series import fit_embeddings

        return fit_embeddings(prepared, job, reporter)
    from .networks import fit_network  # torch and Lightning take seconds to import

    return fit_network(prepared, job, reporter)


def _scores(dataset: ChipDataset, outcome: Outcome) -> Scores:
    table = dataset.spec.class_table
    return scores_from_confusion(outcome.confusion, table.values, table.names)


def _card(
    record: Architecture,
    prepared: Prepared,
    job: FinetuneJob,
    outcome: Outcome,
    scores: Scores,
    started: datetime,
) -> ModelCard:
    spec = prepared.dataset.spec
    return ModelCard(
        name=Path(job.output).stem,
        kind=record.kind,
        architecture=record.name,
        constants=outcome.constants,
        inputs=spec.inputs,
        normalisation=prepared.normalisation,
        task=spec.task,
        class_table=spec.class_table,
        chip_size=spec.chip_size,
        resolution=spec.resolution,
        resolution_unit=spec.resolution_unit,
        ignore_value=spec.ignore_value,
        metrics=_metrics(scores, outcome, prepared.parts.measured),
        training=_provenance(prepared, job, outcome, started),
        weights_licence=record.licence if job.weights else "",
        parameters=outcome.parameters,
        macs=outcome.macs,
    )


def _adapter_card(job: FinetuneJob, card: ModelCard) -> AdapterCard:
    pretrained = card.training["pretrained"]
    return AdapterCard(
        base=job.backbone,
        base_file=pretrained["file"],
        base_sha256=pretrained["sha256"],
        rank=job.lora_rank,
        alpha=job.lora_alpha,
        model=card,
    )


def _metrics(scores: Scores, outcome: Outcome, measured: str) -> dict[str, Any]:
    return {"split": measured, **to_plain(scores), "confusion": outcome.confusion.tolist()}


def _provenance(prepared: Prepared, job: FinetuneJob, outcome: Outcome, started: datetime) -> dict[str, Any]:
    parts, names = prepared.parts, prepared.dataset.spec.class_table.names
    parameters = {k: v for k, v in to_plain(job).items() if k not in _PLACES}
    return {
        "dataset": prepared.dataset.folder.resolve().name,
        "data_crc32": prepared.digest,
        "parameters": parameters,
        "train_chips": len(parts.train),
        "val_chips": len(parts.val),
        "train_pixels": dict(zip(names, prepared.class_pixels.tolist())),
        "notes": list(parts.notes),
        "epochs_run": outcome.epochs_run,
        "best_epoch": outcome.best_epoch,
        "date": started.isoformat(timespec="seconds"),
        "software": {"instageo": SOFTWARE, "python": platform.python_version(), **_versions()},
        **outcome.provenance,
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


def _write_extras(job: FinetuneJob, card: ModelCard, outcome: Outcome, reporter: Reporter) -> None:
    if job.history:
        with written_whole(job.history) as part:
            plain = [dataclasses.asdict(record) for record in outcome.history]
            part.write_text(json.dumps(plain, indent=1, allow_nan=False), encoding="utf-8")
        reporter.artifact("HISTORY", job.history)
    if job.report:
        from .training_report import write_report

        reporter.progress(0.98, "Writing the report")
        write_report(job.report, card, outcome)
        reporter.artifact("REPORT", job.report)


def _say(scores: Scores, measured: str, reporter: Reporter) -> None:
    reporter.progress(1, "Model written")
    miou, accuracy = scores.miou or math.nan, scores.accuracy or math.nan
    reporter.log(f"On the part '{measured}': mIoU {miou:.3f}, accuracy {accuracy:.3f}.")
    if scores.absent:
        reporter.log(f"Classes that the part '{measured}' lacks: {', '.join(scores.absent)}.", "warning")


def _outputs(job: FinetuneJob, scores: Scores, outcome: Outcome) -> dict[str, Any]:
    outputs = {
        "OUTPUT": job.output,
        "MIOU": scores.miou,
        "ACCURACY": scores.accuracy,
        "F1": scores.f1,
        "EPOCHS_RUN": outcome.epochs_run,
    }
    extras = {"REPORT": job.report, "HISTORY": job.history, "ADAPTER": job.adapter}
    return {**outputs, **{name: path for name, path in extras.items() if path}}
