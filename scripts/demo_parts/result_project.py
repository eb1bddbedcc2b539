"""Makes the project that shows the result: chips, map, imagery. Run by QGIS's Python."""

import json
import sys

from qgis.core import (
    QgsApplication,
    QgsContrastEnhancement,
    QgsFillSymbol,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsReferencedRectangle,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)


def main(target: str, layers: list) -> None:
    """Write the project `target` with `layers`, top first."""
    project = QgsProject.instance()
    root = project.layerTreeRoot()
    opened = [_open(layer) for layer in layers]
    for layer in opened:
        if not layer.isValid():
            sys.exit(f"QGIS cannot open {layer.source()}")
        project.addMapLayer(layer, False)
        root.addLayer(layer)
    imagery = opened[-1]
    project.setCrs(imagery.crs())
    project.viewSettings().setDefaultViewExtent(QgsReferencedRectangle(imagery.extent(), imagery.crs()))
    if not project.write(target):
        sys.exit(f"The project cannot be written: {project.error()}")


def _open(layer: dict) -> QgsMapLayer:
    if layer["kind"] == "outline":
        outline = QgsVectorLayer(layer["path"], layer["name"], "ogr")
        symbol = QgsFillSymbol.createSimple({"style": "no", "outline_color": "#ffffff", "outline_width": "0.3"})
        outline.setRenderer(QgsSingleSymbolRenderer(symbol))
        return outline
    raster = QgsRasterLayer(layer["path"], layer["name"])
    if layer["kind"] == "image":
        bands = json.loads(layer["rgb"])
        raster.setRenderer(QgsMultiBandColorRenderer(raster.dataProvider(), *bands))
        raster.setContrastEnhancement(QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum)
    else:
        raster.loadDefaultStyle()
    return raster


application = QgsApplication([], False)
application.initQgis()
main(sys.argv[1], json.loads(sys.argv[2]))
application.exitQgis()
