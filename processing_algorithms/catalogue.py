"""The list of algorithms. Their modules are imported when the list is asked for, not before."""

from __future__ import annotations

from qgis.core import QgsProcessingAlgorithm


def algorithms() -> list[QgsProcessingAlgorithm]:
    """A new instance of each algorithm, in the order of the work."""
    # Import statements, since QGIS follows these, and no others, to drop a plugin's modules when it is reloaded.
    from .data.chipstatistics import ChipStatistics
    from .data.cleanchips import CleanChips
    from .data.createchips import CreateChips
    from .data.exportchips import ExportChips
    from .data.importchips import ImportChips
    from .data.mergechips import MergeChips
    from .data.searchimagery import SearchImagery
    from .data.splitchips import SplitChips
    from .models.evaluate import Evaluate
    from .models.exportmodel import ExportModel
    from .models.finetune import FineTune
    from .models.importmodel import ImportModel
    from .models.modelinfo import ModelInfo
    from .prediction.predictraster import PredictRaster
    from .setup.checkbackend import CheckBackend
    from .setup.setupbackend import SetupBackend

    return [
        SetupBackend(),
        CheckBackend(),
        SearchImagery(),
        CreateChips(),
        ImportChips(),
        MergeChips(),
        CleanChips(),
        ChipStatistics(),
        SplitChips(),
        ExportChips(),
        FineTune(),
        Evaluate(),
        ModelInfo(),
        ImportModel(),
        ExportModel(),
        PredictRaster(),
    ]
