import dataclasses
import json

import numpy as np
import pyogrio.raw
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import EvaluateJob
from instageo_plugin.core.evaluation import by_map
from instageo_plugin.core.evaluation.evaluate import evaluate
from instageo_plugin.core.reporting import SilentReporter
from sklearn import metrics as reference

UTM = Affine(10, 0, 731810, 0, -10, 5694090)
NAMES = {0: "forest", 2: "water", 5: "urban"}


class Notes(SilentReporter):
    def __init__(self):
        self.lines = []

    def log(self, message, level="info"):
        self.lines.append(message)


@pytest.fixture
def write_raster(tmp_path):
    def write(name, pixels, *, nodata=255, names=NAMES, transform=UTM, crs="EPSG:32632"):
        path = tmp_path / name
        profile = {"width": pixels.shape[1], "height": pixels.shape[0], "count": 1, "crs": crs, "transform": transform}
        with rasterio.open(path, "w", driver="GTiff", dtype=pixels.dtype, nodata=nodata, **profile) as raster:
            raster.write(pixels, 1)
            raster.update_tags(1, **{f"CLASS_{value}": name for value, name in names.items()})
        return str(path)

    return write


@pytest.fixture
def write_vector(tmp_path):
    def write(geometries, classes, crs="EPSG:32632", name="labels.gpkg"):
        pyogrio.raw.write(
            tmp_path / name, geometry=np.array([shapely.to_wkb(g) for g in geometries], dtype=object),
            field_data=[np.array(classes)], fields=["kind"], crs=crs, geometry_type="Unknown",
        )  # fmt: skip
        return str(tmp_path / name)

    return write


@pytest.fixture
def pair():
    random = np.random.default_rng(8)
    truth = random.choice([0, 2, 5], (70, 90)).astype(np.uint8)
    predicted = np.where(random.random(truth.shape) < 0.7, truth, random.choice([0, 2, 5], truth.shape))
    return truth, predicted.astype(np.uint8)


def point(row, column, transform=UTM):
    return shapely.Point(transform * (column + 0.3, row + 0.8))


@pytest.mark.parametrize("window", [16, 1024])
def test_a_map_against_a_raster_equals_scikit_learn(pair, write_raster, monkeypatch, window):
    monkeypatch.setattr(by_map, "WINDOW_PX", window)
    truth, predicted = pair
    truth[:9], predicted[60:] = 99, 255
    job = EvaluateJob(
        prediction=write_raster("map.tif", predicted), reference=write_raster("truth.tif", truth, nodata=99)
    )
    notes = Notes()
    outputs = evaluate(job, notes)
    kept = truth[9:60].ravel(), predicted[9:60].ravel()
    assert outputs["MIOU"] == pytest.approx(reference.jaccard_score(*kept, average="macro"), abs=1e-9)
    assert outputs["KAPPA"] == pytest.approx(reference.cohen_kappa_score(*kept), abs=1e-9)
    assert outputs["AUC"] is None
    assert "900 labelled pixels without a prediction left out." in notes.lines


def test_a_reference_of_a_part_of_the_map_is_read_at_its_place(pair, write_raster):
    truth, predicted = pair
    part = write_raster("part.tif", truth[20:50, 33:80], transform=UTM * Affine.translation(33, 20))
    outputs = evaluate(EvaluateJob(prediction=write_raster("map.tif", predicted), reference=part), SilentReporter())
    assert outputs["ACCURACY"] == pytest.approx((truth == predicted)[20:50, 33:80].mean())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transform": UTM * Affine.translation(0.5, 0)}, "different grids"),
        ({"transform": UTM * Affine.scale(2)}, "different grids"),
        ({"crs": "EPSG:32633"}, "different grids"),
        ({"transform": UTM * Affine.translation(1000, 0)}, "do not overlap"),
    ],
)
def test_a_reference_on_other_pixels_names_both_grids(pair, write_raster, change, words):
    job = EvaluateJob(
        prediction=write_raster("map.tif", pair[1]), reference=write_raster("truth.tif", pair[0], **change)
    )
    with pytest.raises(InstaGeoError, match=words) as error:
        evaluate(job, SilentReporter())
    assert error.value.message.count("90 x 70 pixels") == 2


def test_a_map_without_names_has_the_classes_found(pair, write_raster, tmp_path):
    truth, predicted = pair
    metrics = tmp_path / "m.json"
    job = EvaluateJob(
        prediction=write_raster("map.tif", predicted, names={}),
        reference=write_raster("truth.tif", np.where(truth == 5, 7, truth).astype(np.uint8), names={}),
        metrics=str(metrics),
    )
    evaluate(job, SilentReporter())
    assert [c["value"] for c in json.loads(metrics.read_text())["classes"]] == [0, 2, 5, 7]


def test_a_class_the_map_does_not_know_is_an_error(pair, write_raster, write_vector):
    job = EvaluateJob(
        prediction=write_raster("map.tif", pair[1]),
        reference=write_raster("truth.tif", np.where(pair[0] == 5, 9, pair[0]).astype(np.uint8)),
    )
    with pytest.raises(InstaGeoError, match=r"does not know: 9\. It knows 0 forest, 2 water, 5 urban"):
        evaluate(job, SilentReporter())
    vector = write_vector([point(0, 0), point(1, 1)], ["water", "swamp"])
    job = dataclasses.replace(job, reference="", reference_vector=vector, class_field="kind")
    with pytest.raises(InstaGeoError, match="field kind, holds classes that the map does not know: swamp"):
        evaluate(job, SilentReporter())


@pytest.mark.parametrize("classes", [["forest", "water", "urban"], [0, 2, 5], ["0", "2", "5"]])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326"])
def test_points_in_any_crs_are_compared_with_their_pixel(pair, write_raster, write_vector, classes, crs):
    predicted = pair[1]
    random = np.random.default_rng(5)
    cells = random.permutation(70 * 90)[:200]
    rows, columns = np.divmod(cells, 90)
    truth = random.integers(0, 3, 200)
    to_crs = pyproj.Transformer.from_crs("EPSG:32632", crs, always_xy=True)
    points = [shapely.Point(to_crs.transform(p.x, p.y)) for p in map(point, rows, columns)]
    vector = write_vector(points, [classes[i] for i in truth], crs)
    job = EvaluateJob(prediction=write_raster("map.tif", predicted), reference_vector=vector, class_field="kind")
    expected = (np.array([0, 2, 5])[truth] == predicted[rows, columns]).mean()
    assert evaluate(job, SilentReporter())["ACCURACY"] == pytest.approx(expected)


def test_polygons_label_the_pixels_whose_middle_they_cover(pair, write_raster, write_vector, tmp_path):
    truth = np.full((70, 90), 255)
    truth[10:30, 20:40], truth[40:60, 5:50] = 0, 5
    predicted = pair[1]
    corners = [(UTM * (c0, r1), UTM * (c1, r0)) for r0, r1, c0, c1 in ((10, 30, 20, 40), (40, 60, 5, 50))]
    vector = write_vector([shapely.box(*low, *high) for low, high in corners], ["forest", "urban"])
    metrics = tmp_path / "m.json"
    job = EvaluateJob(
        prediction=write_raster("map.tif", predicted), reference_vector=vector, class_field="kind", metrics=str(metrics)
    )
    evaluate(job, SilentReporter())
    kept = truth < 255
    expected = reference.confusion_matrix(truth[kept], predicted[kept], labels=[0, 2, 5])
    np.testing.assert_array_equal(json.loads(metrics.read_text())["confusion"], expected)


def test_labels_that_cannot_count_are_counted(pair, write_raster, write_vector):
    predicted = pair[1].copy()
    predicted[3, 3] = 255
    points = [point(0, 0), point(3, 3), point(5, 5), point(5, 5), point(7, 7), point(500, 0)]
    vector = write_vector(points, np.array(["water", "water", "water", "urban", None, "urban"], dtype=object))
    job = EvaluateJob(prediction=write_raster("map.tif", predicted), reference_vector=vector, class_field="kind")
    notes = Notes()
    evaluate(job, notes)
    assert [line for line in notes.lines if "left out" in line] == [
        "1 labels with no class (NULL) left out.",
        "1 labels outside the map left out.",
        "1 pixels with labels of several classes left out.",
        "1 labelled pixels without a prediction left out.",
    ]
    assert any(line.startswith("1 labelled pixels of 1 classes") for line in notes.lines)


def test_labels_that_miss_the_map_are_an_error(pair, write_raster, write_vector):
    job = EvaluateJob(
        prediction=write_raster("map.tif", pair[1]),
        reference_vector=write_vector([point(500, 0)], ["water"]),
        class_field="kind",
    )
    with pytest.raises(InstaGeoError, match="no labelled pixel to compare with: 1 labels outside the map"):
        evaluate(job, SilentReporter())


@pytest.mark.parametrize("missing", ["field", "file", "layer"])
def test_a_wrong_reference_layer_says_what_there_is(pair, write_raster, write_vector, missing):
    vector = write_vector([point(1, 1)], ["water"])
    job = EvaluateJob(
        prediction=write_raster("map.tif", pair[1]),
        reference_vector=vector + ".none" if missing == "file" else vector,
        reference_layer="other" if missing == "layer" else "",
        class_field="class" if missing == "field" else "kind",
    )
    words = {"field": "no field 'class'", "file": "cannot be read", "layer": "no layer 'other'"}
    with pytest.raises(InstaGeoError, match=words[missing]):
        evaluate(job, SilentReporter())


def test_an_image_is_no_map(pair, write_raster):
    image = np.random.default_rng(0).random((70, 90)).astype(np.float32)
    job = EvaluateJob(
        prediction=write_raster("map.tif", image, nodata=None, names={}), reference=write_raster("t.tif", pair[0])
    )
    with pytest.raises(InstaGeoError, match="not whole numbers"):
        evaluate(job, SilentReporter())


def test_points_of_leipzig_on_a_map_of_their_own_labels(shared_data, write_raster):
    with rasterio.open(shared_data / "leipzig/leipzig_raster.tif") as raster:
        profile = raster.profile
    _, _, geometry, columns = pyogrio.raw.read(shared_data / "leipzig/leipzig_points.gpkg", columns=["land_cover"])
    names = dict(enumerate(sorted(set(columns[0]))))
    painted = np.full((profile["height"], profile["width"]), 255, dtype=np.uint8)
    for shape, name in zip(shapely.from_wkb(geometry), columns[0]):
        column, row = ~profile["transform"] * (shape.x, shape.y)
        painted[int(row), int(column)] = {n: v for v, n in names.items()}[name]
    job = EvaluateJob(
        prediction=write_raster("map.tif", painted, names=names, transform=profile["transform"]),
        reference_vector=str(shared_data / "leipzig/leipzig_points.gpkg"),
        class_field="land_cover",
    )
    notes = Notes()
    assert evaluate(job, notes)["ACCURACY"] == 1
    assert any(line.startswith("97 labelled pixels of 4 classes") for line in notes.lines)
