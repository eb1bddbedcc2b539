"""Search imagery on a file of items, as QGIS runs it."""

import json

import pytest
from instageo_plugin.processing_algorithms.data.searchimagery import SearchImagery
from qgis.core import QgsProcessingContext, QgsProcessingException, QgsVectorLayer

EXTENT = "10,11,50,51 [EPSG:4326]"


@pytest.fixture
def items(tmp_path):
    """A file of two scenes a month apart."""

    def scene(month):
        ring = [[10, 50], [11, 50], [11, 51], [10, 51], [10, 50]]
        return {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": f"S2A_T32UNB_20220{month}",
            "collection": "sentinel-2-l2a",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"datetime": f"2022-0{month}-08T10:20:30Z", "eo:cloud_cover": 5 * month},
            "assets": {"B02": {"href": "b02.tif"}},
        }

    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [scene(5), scene(6)]}))
    return str(path)


@pytest.fixture
def search(items, settings, backend_python, feedback, tmp_path):
    def run(**parameters):
        settings.setValue("instageo/python", backend_python)
        values = {"EXTENT": EXTENT, "CATALOG": items, "OUTPUT": str(tmp_path / "scenes.gpkg"), **parameters}
        algorithm = SearchImagery().create()
        fine, problem = algorithm.checkParameterValues(values, QgsProcessingContext())
        if not fine:
            raise QgsProcessingException(problem)
        return algorithm.run(values, QgsProcessingContext(), feedback, catchExceptions=False)[0]

    return run


def test_scenes_become_a_layer_of_outlines(search):
    outputs = search(START="2022-05-01", END="2022-06-30")
    layer = QgsVectorLayer(outputs["OUTPUT"], "scenes", "ogr")
    assert layer.isValid()
    assert layer.featureCount() == outputs["COUNT"] == 2
    assert [feature["tile"] for feature in layer.getFeatures()] == ["32UNB"] * 2
    assert [feature["cloud_cover"] for feature in layer.getFeatures()] == [25, 30]


def test_no_imagery_names_the_nearest_dates_and_leaves_nothing(search, tmp_path):
    with pytest.raises(QgsProcessingException, match=r"no imagery(.|\n)*2022-05-08 and 2022-06-08"):
        search(START="2022-05-20", END="2022-05-21")
    assert not (tmp_path / "scenes.gpkg").exists()


def test_the_dialog_refuses_a_span_that_ends_before_it_starts_and_a_missing_area(search):
    with pytest.raises(QgsProcessingException, match=r"no area(.|\n)*no span of time"):
        search(START="2022-06-20", END="2022-05-21", EXTENT=None)
