"""Chips out of a dataset and into one again, and two datasets to one, as a user runs it."""

import csv

import pytest
from qgis.core import QgsVectorLayer


def count(outputs):
    return QgsVectorLayer(f"{outputs['INDEX']}|layername=chips", "index", "ogr").featureCount()


@pytest.mark.parametrize("layout", ["instageo", "pairs"])
def test_exported_chips_can_be_imported(run, trained, out, layout):
    outputs = run("exportchips", INPUT=str(trained / "chips"), FORMAT=layout, OUTPUT=str(out / "files"))
    assert outputs["CHIP_COUNT"] == 36
    back = run("importchips", INPUT=outputs["OUTPUT"], FORMAT=layout, OUTPUT=str(out / "back"))
    assert back["CHIP_COUNT"] == count(back) == 36
    assert back["SKIPPED_COUNT"] == 0
    splits = {f["split"] for f in QgsVectorLayer(f"{back['INDEX']}|layername=chips", "back", "ogr").getFeatures()}
    assert splits == {"train", "val", "test"}


def test_one_csv_file_and_a_class_table(run, trained, out):
    files = run("exportchips", INPUT=str(trained / "chips"), OUTPUT=str(out / "files"))["OUTPUT"]
    table = ["0", "7", "Crops", "#ddcc44", "1", "8", "Water", "#2255aa"]
    back = run("importchips", INPUT=f"{files}/test.csv", CLASS_TABLE=table, OUTPUT=str(out / "back"))
    with open(f"{files}/test.csv", encoding="utf-8") as listed:
        assert back["CHIP_COUNT"] == len(list(csv.DictReader(listed)))
    assert '"Crops"' in (out / "back" / "dataset.json").read_text()


def test_datasets_are_merged_by_the_layers_or_files_of_their_indexes(run, trained, write_raster, out):
    elsewhere = write_raster(out / "scene.tif", offset_px=200)
    area = run("createchips", RASTERS=[elsewhere], PLACEMENT="dense", CHIP_SIZE=16, OUTPUT=str(out / "b"))
    assert area["CHIP_COUNT"] == 36
    layer = QgsVectorLayer(f"{area['INDEX']}|layername=chips", "b chips", "ogr")
    merged = run("mergechips", INPUTS=[str(trained / "chips" / "chips.gpkg"), layer], OUTPUT=str(out / "merged"))
    assert merged["CHIP_COUNT"] == count(merged) == 72


def test_unlike_datasets_are_refused_with_what_differs(run, refusal, trained, scene, out):
    run("createchips", RASTERS=[scene], PLACEMENT="dense", CHIP_SIZE=32, BANDS="1 2", OUTPUT=str(out / "b"))
    indexes = [str(folder / "chips.gpkg") for folder in (trained / "chips", out / "b")]
    message = refusal("mergechips", INPUTS=indexes, OUTPUT=str(out / "merged"))
    assert "chip size 32, but 16" in message
    assert "bands" in message
    assert not (out / "merged").exists()


def test_one_dataset_alone_is_refused(refusal, trained, out):
    index = str(trained / "chips" / "chips.gpkg")
    assert "expected at least 2" in refusal("mergechips", INPUTS=[index], OUTPUT=str(out / "merged"))


def test_a_layer_without_a_file_is_refused_by_name(refusal, trained, make_area, out):
    indexes = [str(trained / "chips" / "chips.gpkg"), make_area(0)]
    assert "layer 'area' is no file" in refusal("mergechips", INPUTS=indexes, OUTPUT=str(out / "merged"))
