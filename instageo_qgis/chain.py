"""A chain shipped as a `.model3` file, under an id of the form that all algorithms have."""

from __future__ import annotations

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtGui import QIcon

from ..processing_algorithms.backend import backend_problem
from ..processing_algorithms.base import HOMEPAGE, ICON, PREDICTION, tr


class Chain(QgsProcessingModelAlgorithm):
    """The model's name, 'Labels to map', is what users read; the id is its letters, `labelstomap`."""

    def name(self) -> str:
        return "".join(letter for letter in super().name().lower() if letter.isalnum())

    def displayName(self) -> str:  # noqa: N802 - QGIS's names, here and below
        return tr(super().name())

    def group(self) -> str:
        return tr(PREDICTION[1])

    def groupId(self) -> str:  # noqa: N802
        return PREDICTION[0]

    def icon(self) -> QIcon:
        return QIcon(str(ICON))

    def svgIconPath(self) -> str:  # noqa: N802
        return str(ICON)

    def helpUrl(self) -> str:  # noqa: N802
        return f"{HOMEPAGE}#readme"

    def tags(self) -> list[str]:
        return [tr(tag) for tag in str(self.helpContent().get("TAGS", "")).split(", ") if tag]

    def canExecute(self) -> tuple[bool, str]:  # noqa: N802
        fine, problem = super().canExecute()
        problem = problem or backend_problem()
        return fine and not problem, problem

    def createInstance(self) -> Chain:  # noqa: N802
        copy = Chain()
        copy.loadVariant(self.toVariant())
        copy.setProvider(self.provider())
        copy.setSourceFilePath(self.sourceFilePath())
        return copy
