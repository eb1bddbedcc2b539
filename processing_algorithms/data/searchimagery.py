"""Search imagery: which scenes an archive has over an area."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputNumber

from ...core.contract.jobs import SearchImageryJob
from ...core.contract.sensors import SENSORS
from .. import parameters as p
from ..base import DATA, InstaGeoAlgorithm
from ..values import Values
from . import archive


class SearchImagery(InstaGeoAlgorithm):
    """Lists an archive's scenes as footprints."""

    NAME = "searchimagery"
    TITLE = "Search imagery"
    GROUP = DATA
    SUMMARY = "Shows which satellite scenes an archive has over your area: their outlines, dates and clouds."
    HELP = (
        "Nothing is downloaded but the list. The result is a layer of outlines, one a scene, oldest first. Where there "
        "is no imagery, the message names the nearest dates that have some."
    )
    TAGS = ("stac", "satellite", "sentinel", "landsat", "hls", "archive", "footprints", "scenes")

    def parameters(self) -> list[p.Definition]:
        return [
            p.features("AREA", "Area", (p.POLYGONS,), "Polygons to search over; give these or an extent."),
            p.extent("EXTENT", "Extent", "Extent to search over, in place of polygons."),
            p.day("START", "First day", "First day of the search (UTC)."),
            p.day("END", "Last day", "Last day of the search (UTC)."),
            p.choice(
                "SENSOR",
                "Sensor",
                tuple(SENSORS),
                list(SearchImageryJob.sensors),
                "Which satellites. Default 'sentinel2'.",
                several=True,
            ),
            *archive.catalogue(),
            p.decimal(
                "MAX_CLOUD",
                "Most clouds",
                SearchImageryJob.max_cloud,
                "Percent of a scene that may be cloudy. Scenes that say nothing of clouds are kept. Default 100.",
                minimum=0,
                maximum=100,
            ),
            p.vector_output("OUTPUT", "Scenes", "The outlines, a GeoPackage in EPSG:4326.", optional=False),
        ]

    def results(self) -> list[QgsProcessingOutputDefinition]:
        return [QgsProcessingOutputNumber("COUNT", p.tr("Number of scenes"))]

    def job(self, values: Values) -> SearchImageryJob:
        return SearchImageryJob(
            area=values.area(),
            start=values.day("START"),
            end=values.day("END"),
            output=values.output_layer("OUTPUT"),
            sensors=tuple(values.choices("SENSOR")),
            catalog=values.text("CATALOG"),
            collections=archive.collections(values),
            max_cloud=values.decimal("MAX_CLOUD"),
        )
