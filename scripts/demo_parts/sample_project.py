"""Makes the sample's QGIS project: the survey styled by crop, above one scene. Run by QGIS's Python."""

import json
import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsCategorizedSymbolRenderer,
    QgsFillSymbol,
    QgsProject,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsVectorLayer,
)


def main(folder: Path) -> None:
    """Write `sample.qgz` beside the sample's files."""
    survey = QgsVectorLayer(str(folder / "field_survey.shp"), "Field survey", "ogr")
    colors = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    categories = [
        QgsRendererCategory(name, QgsFillSymbol.createSimple({"color": color, "outline_color": "#333333"}), name)
        for name, color in colors.items()
    ]
    survey.setRenderer(QgsCategorizedSymbolRenderer("crop", categories))
    scenes = [QgsRasterLayer(str(path), path.stem) for path in sorted(folder.glob("scene_*.tif"))]
    project = QgsProject.instance()
    project.setCrs(scenes[0].crs())
    project.addMapLayers([survey, *scenes])
    if not project.write(str(folder / "sample.qgz")):
        sys.exit(f"The project cannot be written: {project.error()}")


application = QgsApplication([], False)
application.initQgis()
main(Path(sys.argv[1]))
application.exitQgis()
