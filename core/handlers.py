"""Which function does which job; each is imported only when its job runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Optional

from .contract.jobs import Job
from .reporting import Reporter

_HANDLERS = {
    "checkbackend": ".backend_check:check_backend",
    "searchimagery": ".archive.search:search_imagery",
    "createchips": ".chips.create:create_chips",
    "cleanchips": ".chips.clean:clean_chips",
    "chipstatistics": ".training.chip_statistics:chip_statistics",
    "splitchips": ".chips.split:split_chips",
    "mergechips": ".chips.merge:merge_chips",
    "exportchips": ".chips.export:export_chips",
    "importchips": ".chips.import_chips:import_chips",
    "finetune": ".training.finetune:finetune",
    "predictraster": ".inference.predict:predict_raster",
    "evaluate": ".evaluation.evaluate:evaluate",
    "modelinfo": ".models.info:model_info",
    "importmodel": ".models.import_model:import_model",
    "exportmodel": ".models.export_model:export_model",
}


_WITH_SECRETS = ("searchimagery", "createchips")


def run_job(job: Job, reporter: Reporter, secrets: Optional[Mapping[str, str]] = None) -> dict[str, Any]:
    """Do `job` and return its outputs: output name (as in the public interface) to a plain value.

    `secrets` are as `archive.access.Credentials` takes them; only jobs that reach an archive see them.
    """
    module, _, function = _HANDLERS[job.kind].partition(":")
    handler = getattr(importlib.import_module(module, __package__), function)
    more = {"secrets": secrets} if secrets and job.kind in _WITH_SECRETS else {}
    outputs: dict[str, Any] = handler(job, reporter, **more)
    return outputs
