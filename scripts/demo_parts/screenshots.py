"""Takes the README's pictures, from inside a running QGIS: canvas, toolbox, the dialog of Create chips."""

import os
import sys
import traceback
from pathlib import Path

from qgis.core import QgsApplication, QgsProject
from qgis.PyQt.QtCore import QEventLoop, Qt, QTimer
from qgis.PyQt.QtGui import QImage
from qgis.PyQt.QtWidgets import QDockWidget, QTreeView, QWidget
from qgis.utils import iface

DEMO = Path(os.environ["INSTAGEO_DEMO"])
IMAGES = Path(os.environ["INSTAGEO_IMAGES"])


def pause(milliseconds: int) -> None:
    """Let QGIS work for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def save(widget: QWidget, name: str) -> None:
    """A picture of `widget` as it stands."""
    widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888).save(str(IMAGES / f"{name}.png"), "PNG", 0)


def toolbox() -> QDockWidget:
    """The toolbox, opened at InstaGeo's groups and wide enough to read."""
    docks = iface.mainWindow().findChildren(QDockWidget)
    dock = next(d for d in docks if d.objectName() == "ProcessingToolbox")
    dock.show()
    dock.findChild(QWidget, "searchBox").setText("instageo")
    pause(1500)
    for tree in dock.findChildren(QTreeView):
        tree.expandAll()
        tree.selectionModel().clear()
    return dock


def canvas() -> None:
    """The main window with the map of the demo, its legend open."""
    window = iface.mainWindow()
    window.resize(1280, 800)
    for dock in window.findChildren(QDockWidget):
        dock.setVisible(dock.objectName() == "Layers")
    window.resizeDocks([window.findChild(QDockWidget, "Layers")], [250], Qt.Orientation.Horizontal)
    tree = QgsProject.instance().layerTreeRoot()
    for layer in tree.findLayers():
        layer.setExpanded(layer.name() == "Map")
    iface.messageBar().clearWidgets()
    iface.mapCanvas().setExtent(iface.mapCanvas().fullExtent())
    pause(1500)
    iface.mapCanvas().waitWhileRendering()
    pause(1500)
    iface.messageBar().clearWidgets()
    save(window, "canvas")


def dialog() -> None:
    """Create chips, filled in with the sample's labels and scenes."""
    from processing.gui.AlgorithmDialog import AlgorithmDialog
    from qgis.core import QgsRasterLayer, QgsVectorLayer

    labels = QgsVectorLayer(str(DEMO / "sample" / "field_survey.shp"), "Field survey", "ogr")
    scenes = [QgsRasterLayer(str(p), p.stem) for p in sorted((DEMO / "sample").glob("scene_*.tif"))]
    QgsProject.instance().addMapLayers([labels, *scenes], False)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("instageo:createchips")
    shown = AlgorithmDialog(algorithm, parent=iface.mainWindow())
    shown.setParameters(
        {
            "INPUT": labels.id(),
            "CLASS_FIELD": "crop",
            "RASTERS": [scene.id() for scene in scenes],
            "CHIP_SIZE": 64,
            "OUTPUT": "chips",
        }
    )
    shown.resize(980, 720)
    shown.show()
    pause(1500)
    save(shown, "createchips")
    shown.close()


def main() -> None:
    """Take all pictures, then leave QGIS."""
    try:
        pause(3000)
        canvas()
        dock = toolbox()
        dock.setFloating(True)
        dock.resize(420, 520)
        pause(800)
        save(dock, "toolbox")
        dialog()
    except Exception:
        traceback.print_exc(file=sys.stderr)
    os._exit(0)  # a changed project would ask whether to save it


QTimer.singleShot(1000, main)
