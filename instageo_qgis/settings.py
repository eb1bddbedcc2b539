"""The page InstaGeo in Settings > Options: which interpreter the backend uses."""

from __future__ import annotations

from typing import Optional

from qgis.core import QgsSettings
from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QFormLayout, QLabel, QWidget

from ..processing_algorithms.backend import SETTING
from ..processing_algorithms.base import ICON, tr

EXPLANATION = (
    "Python interpreter of an environment with torch, rasterio and the other libraries of the backend. Leave it empty "
    "to use the environment that the algorithm 'Set up backend' makes."
)


class BackendOptionsPage(QgsOptionsPageWidget):
    """One field: the interpreter's path."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._python = QgsFileWidget()
        self._python.setStorageMode(QgsFileWidget.StorageMode.GetFile)
        self._python.setDialogTitle(tr("Python interpreter of the backend"))
        self._python.setFilePath(str(QgsSettings().value(SETTING, "") or ""))
        explanation = QLabel(tr(EXPLANATION))
        explanation.setWordWrap(True)
        layout = QFormLayout(self)
        layout.addRow(explanation)
        layout.addRow(tr("Backend's Python"), self._python)

    def apply(self) -> None:
        path = self._python.filePath().strip()
        if path:
            QgsSettings().setValue(SETTING, path)
        else:
            QgsSettings().remove(SETTING)


class BackendOptionsFactory(QgsOptionsWidgetFactory):
    """Makes the page when the options dialog opens."""

    def __init__(self) -> None:
        super().__init__("InstaGeo", QIcon(str(ICON)), "instageo")

    def createWidget(self, parent: Optional[QWidget] = None) -> BackendOptionsPage:  # noqa: N802 - QGIS's name
        return BackendOptionsPage(parent)
