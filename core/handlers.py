"""Which function does which job; each is imported only when its job runs."""

from __future__ import annotations

import importlib
from typing import Any

from .contract.jobs import Job
from .reporting import Reporter

_HANDLERS = {
    "checkbackend": ".backend_check:check_backend",
    "searchimagery": ".archive.search:search_imagery",
    "createchips": ".chips.create:create_chips",
    "cleanchips": ".chips.clean:clean_chips",
    "chipstatistics": ".training.chip_statistics:chip_statistics",
    "splitchips": ".chips.split:split_chips",
    "finetune": ".training.finetune:finetune",
    "predictraster": ".inference.predict:predict_raster",
    "evaluate": ".evaluation.evaluate:evaluate",
    "modelinfo": ".models.info:model_info",
}


def run_job(job: Job, reporter: Reporter) -> dict[str, Any]:
    """Do `job` and return its outputs: output name (as in the public interface) to a plain value."""
    module, _, function = _HANDLERS[job.kind].partition(":")
    handler = getattr(importlib.import_module(module, __package__), function)
    outputs: dict[str, Any] = handler(job, reporter)
    return outputs
