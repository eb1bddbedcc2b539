"""The list of algorithms. Their modules are imported when the list is asked for, not before."""

from __future__ import annotations

import importlib

from qgis.core import QgsProcessingAlgorithm

_ALGORITHMS = (
    ".setup.setupbackend:SetupBackend",
    ".setup.checkbackend:CheckBackend",
    ".data.searchimagery:SearchImagery",
    ".data.createchips:CreateChips",
    ".data.cleanchips:CleanChips",
    ".data.chipstatistics:ChipStatistics",
    ".data.splitchips:SplitChips",
    ".models.finetune:FineTune",
    ".models.evaluate:Evaluate",
    ".models.modelinfo:ModelInfo",
    ".prediction.predictraster:PredictRaster",
)


def algorithms() -> list[QgsProcessingAlgorithm]:
    """A new instance of each algorithm, in the order of the work."""
    found = []
    for entry in _ALGORITHMS:
        module, _, name = entry.partition(":")
        found.append(getattr(importlib.import_module(module, __package__), name)())
    return found
