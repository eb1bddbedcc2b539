"""What users have in a project reaches the backend: every kind of layer, table and style, through a job file."""

import json
from pathlib import Path

import pytest
from instageo_plugin.processing_algorithms.data.createchips import CreateChips
from qgis.core import (
    QgsFeature,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsVectorLayer,
    QgsVectorLayerJoinInfo,
)

ROWS = [(1, 1, "water"), (2, 1, "water"), (60, 1, "crop")]


@pytest.fixture
def job(scene, tmp_path, feedback):
    """The job that Create chips writes for these parameters, and the features of a layer in it."""

    def make(**parameters):
        values = {"RASTERS": [scene], "CLASS_FIELD": "cover", "CHIP_SIZE": 16, "OUTPUT": str(tmp_path / "chips"),
                  "JOB": str(tmp_path / "job.json"), **parameters}  # fmt: skip
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        algorithm = CreateChips().create()
        fine, problem = algorithm.checkParameterValues(values, context)
        if not fine:
            raise QgsProcessingException(problem)
        algorithm.run(values, context, feedback, {}, False)
        return json.loads(Path(values["JOB"]).read_text())

    return make


def features(path):
    layer = QgsVectorLayer(path, "exported", "ogr")
    assert layer.isValid()
    return layer, {f.id(): f["cover"] for f in layer.getFeatures()}


@pytest.fixture
def labels(make_labels):
    layer = make_labels(ROWS)
    QgsProject.instance().addMapLayer(layer)
    yield layer
    QgsProject.instance().clear()


def test_a_memory_layer_travels_beside_the_job_with_its_crs(job, labels, tmp_path):
    written = job(INPUT=labels)
    layer, found = features(written["labels"])
    assert Path(written["labels"]).parent == tmp_path / "job_layers"
    assert sorted(found.values()) == ["crop", "water", "water"]
    assert layer.crs().authid() == "EPSG:4326"
    assert written["rasters"][0].endswith("scene.tif")


def test_the_style_gives_names_and_colours(job, labels):
    entries = job(INPUT=labels)["class_table"]["entries"]
    assert [(e["source"], e["value"], e["name"], e["color"]) for e in entries] == [
        ("crop", 0, "Cropland", "#ddcc44"),
        ("water", 1, "Open water", "#2255aa"),
    ]


def test_a_filter_is_honoured(job, labels):
    labels.setSubsetString("cover = 'water'")
    assert set(features(job(INPUT=labels)["labels"])[1].values()) == {"water"}


def test_a_selection_is_honoured_and_ids_are_kept(job, labels):
    chosen = max(labels.allFeatureIds())
    labels.selectByIds([chosen])
    source = QgsProcessingFeatureSourceDefinition(labels.id(), selectedFeaturesOnly=True)
    assert features(job(INPUT=source)["labels"])[1] == {chosen: "crop"}


def test_an_expression_on_the_input_is_honoured(job, labels):
    source = QgsProcessingFeatureSourceDefinition(labels.id(), filterExpression="cover = 'crop'")
    assert set(features(job(INPUT=source)["labels"])[1].values()) == {"crop"}


def test_a_joined_field_may_hold_the_class(job, labels):
    table = QgsVectorLayer("None?field=key:string&field=cover:string", "codes", "memory")
    table.startEditing()
    for key, cover in (("water", "wet"), ("crop", "dry")):
        row = QgsFeature(table.fields())
        row.setAttributes([key, cover])
        table.addFeature(row)
    table.commitChanges()
    QgsProject.instance().addMapLayer(table)
    join = QgsVectorLayerJoinInfo()
    join.setJoinLayer(table)
    join.setJoinFieldName("key")
    join.setTargetFieldName("cover")
    join.setPrefix("code_")
    assert labels.addJoin(join)
    written = job(INPUT=labels, CLASS_FIELD="code_cover")
    layer = QgsVectorLayer(written["labels"], "exported", "ogr")
    assert sorted(f["code_cover"] for f in layer.getFeatures()) == ["dry", "wet", "wet"]


def test_a_table_typed_in_the_dialog_comes_before_the_style(job, labels):
    table = ["water", 3, "Lake", "blue", "crop", 7.0, "", None]
    entries = job(INPUT=labels, CLASS_TABLE=table)["class_table"]["entries"]
    assert [(e["source"], e["value"], e["name"], e["color"]) for e in entries] == [
        ("water", 3, "Lake", "#0000ff"),
        ("crop", 7, "crop", "#999999"),  # grey, where no colour is given
    ]


def test_all_faults_of_a_class_table_are_named_at_once(job, labels):
    with pytest.raises(QgsProcessingException, match=r"row 1(.|\n)*row 2: 'no colour' is no colour"):
        job(INPUT=labels, CLASS_TABLE=["water", "x", "", "", "crop", 1, "", "no colour"])


def test_an_extent_is_handed_on_in_its_own_crs(job, labels):
    written = job(INPUT=labels, EXTENT="500000,500320,5699680,5700000 [EPSG:32633]")
    layer = QgsVectorLayer(written["area"], "area", "ogr")
    assert layer.crs().authid() == "EPSG:32633"
    assert layer.extent().width() == pytest.approx(320)


def test_area_and_extent_together_are_refused(job, labels, make_area):
    with pytest.raises(QgsProcessingException, match="Both AREA and EXTENT"):
        job(INPUT=labels, AREA=make_area(0), EXTENT="0,1,0,1 [EPSG:4326]")


def test_a_raster_table_comes_from_cells_or_from_a_csv_beside_its_files(job, labels, scene, tmp_path):
    cells = job(INPUT=labels, RASTERS=None, RASTER_TABLE=[scene, "s", "2022-06-08", "red"])["raster_table"]
    listed = tmp_path / "scenes" / "table.csv"
    listed.parent.mkdir()
    listed.write_text("file, date\nblue.tif, 2022-06-08\n")
    from_csv = job(INPUT=labels, RASTERS=None, RASTER_TABLE=[str(listed)])["raster_table"]
    assert cells == [{"file": scene, "scene": "s", "date": "2022-06-08", "band": "red"}]
    assert from_csv == [{"file": str(listed.parent / "blue.tif"), "scene": "", "date": "2022-06-08", "band": ""}]


def test_a_field_that_is_not_there_is_named_with_those_that_are(job, labels):
    with pytest.raises(QgsProcessingException, match="kind"):
        job(INPUT=labels, CLASS_FIELD="kind")
