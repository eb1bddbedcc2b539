"""The evaluate job: a model against a dataset, or a map against a reference."""

from __future__ import annotations

from typing import Any

from ..contract.errors import InstaGeoError
from ..contract.jobs import EvaluateJob
from ..files import check_writable
from ..reporting import Reporter
from .by_map import evaluate_map
from .by_model import ChipScore, evaluate_model
from .results import headline, write_chip_metrics, write_metrics, write_report
from .tally import Evaluation


def evaluate(job: EvaluateJob, reporter: Reporter) -> dict[str, Any]:
    """Measure, log the figures, and write the files asked for.

    Returns MIOU, ACCURACY, F1, KAPPA, AUC (None where not defined) and the paths of the files written. Raises
    `InstaGeoError` as `evaluate_model` and `evaluate_map` do, and before any work when an output cannot be written.
    """
    outputs = {"REPORT": job.report, "METRICS": job.metrics, "CHIP_METRICS": job.chip_metrics}
    asked = {name: path for name, path in outputs.items() if path}
    if job.chip_metrics and not job.model:
        raise InstaGeoError("CHIP_METRICS needs chips.", "Give MODEL and INPUT, or leave CHIP_METRICS empty.")
    for path in asked.values():
        check_writable(path)
    reporter.progress(0, "Reading")
    scores: list[ChipScore] = []
    if job.model:
        evaluation, scores = evaluate_model(job, reporter)
    else:
        evaluation = evaluate_map(job, reporter)
    _log(evaluation, reporter)
    reporter.progress(0.92, "Writing")
    writers = {
        "REPORT": lambda path: write_report(path, evaluation),
        "METRICS": lambda path: write_metrics(path, evaluation),
        "CHIP_METRICS": lambda path: write_chip_metrics(path, scores),
    }
    for name, path in asked.items():
        writers[name](path)
        reporter.artifact(name, path)
    reporter.progress(1, "Evaluated")
    return {**headline(evaluation), **asked}


def _log(evaluation: Evaluation, reporter: Reporter) -> None:
    scores = evaluation.scores
    held = ", ".join(f"{c.name} {c.support}" for c in scores.classes)
    reporter.log(f"{scores.count} labelled pixels of {sum(c.support > 0 for c in scores.classes)} classes ({held}).")
    for warning in evaluation.warnings:
        reporter.log(warning, "warning")
    if evaluation.sampled and evaluation.sampled < scores.count:
        reporter.log(f"AUC and calibration are from {evaluation.sampled} pixels, sampled evenly.")
    figures = {name: value for name, value in headline(evaluation).items() if value is not None}
    reporter.log(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    for name, value in figures.items():
        reporter.metric(name.lower(), value)
