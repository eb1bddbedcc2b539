"""Real pixels: Sentinel-2 around Leipzig with labelled points (mlr-org/mlr3spatial), csmask Landsat 5 (ukis-csmask)."""

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.models.forest import forest_from_sklearn, forest_from_tensors
from instageo_plugin.core.models.forest_engine import ForestEngine
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier


@pytest.fixture(scope="module")
def leipzig(request):
    """(features at the points, class positions, features of all pixels)."""
    folder = request.getfixturevalue("shared_data") / "leipzig"
    with rasterio.open(folder / "leipzig_raster.tif") as raster:
        bands, inverse = raster.read().astype(np.float32), ~raster.transform
    meta, _, geometry, values = pyogrio.raw.read(folder / "leipzig_points.gpkg")
    classes = dict(zip(meta["fields"], values, strict=True))["land_cover"]
    points = shapely.from_wkb(geometry)
    columns, rows = inverse * (shapely.get_x(points), shapely.get_y(points))
    samples = bands[:, rows.astype(int), columns.astype(int)].T
    return samples, np.unique(classes.astype(str), return_inverse=True)[1], bands.reshape(len(bands), -1).T


def _with_gaps(samples, share, seed=0):
    gaps = np.random.default_rng(seed).random(samples.shape) < share
    return np.where(gaps, np.float32("nan"), samples)


@pytest.mark.parametrize("gaps_in_training", [0.0, 0.2])
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "arrays"])
def test_probabilities_are_scikit_learns(leipzig, compiled, gaps_in_training):
    samples, classes, pixels = leipzig
    estimator = RandomForestClassifier(25, random_state=0).fit(_with_gaps(samples, gaps_in_training), classes)
    forest = forest_from_sklearn(estimator)
    engine = ForestEngine(forest, compiled)
    assert engine.compiled == compiled
    for asked in (pixels, _with_gaps(pixels, 0.1), samples):
        np.testing.assert_allclose(engine.probabilities(asked), estimator.predict_proba(asked), rtol=0, atol=1e-6)


def test_values_on_a_threshold_go_the_same_way():
    generator = np.random.default_rng(0)
    samples = (generator.integers(0, 50, (300, 3)) / np.float32(7)).astype(np.float32)
    estimator = RandomForestClassifier(20, random_state=1).fit(samples, generator.integers(0, 3, 300))
    forest = forest_from_sklearn(estimator)
    split = forest.left >= 0
    for side in (-np.inf, None, np.inf):
        at = forest.threshold[split]
        at = at if side is None else np.nextafter(at, np.float32(side))
        asked = np.repeat(at[:, None], 3, axis=1)
        np.testing.assert_allclose(forest.probabilities(asked), estimator.predict_proba(asked), rtol=0, atol=1e-6)


def test_thresholds_finer_than_float32_decide_alike():
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(200, 4)).astype(np.float32)
    estimator = ExtraTreesClassifier(20, random_state=0).fit(samples, generator.integers(0, 2, 200))
    forest = forest_from_sklearn(estimator)
    exact = np.concatenate([tree.tree_.threshold for tree in estimator.estimators_])
    split = forest.left >= 0
    assert (exact[split] != exact[split].astype(np.float32)).any()
    assert (forest.threshold[split].astype(np.float64) <= exact[split]).all()
    assert (np.nextafter(forest.threshold[split], np.float32(np.inf)).astype(np.float64) > exact[split]).all()
    for asked in (samples, np.repeat(forest.threshold[split][:, None], 4, axis=1)):
        np.testing.assert_allclose(forest.probabilities(asked), estimator.predict_proba(asked), rtol=0, atol=1e-6)


def test_thread_count_and_blocks_change_nothing(leipzig):
    samples, classes, pixels = leipzig
    forest = forest_from_sklearn(RandomForestClassifier(5, random_state=0).fit(samples, classes))
    one = forest.probabilities(pixels, threads=1)
    assert np.array_equal(forest.probabilities(pixels, threads=3), one)
    assert np.array_equal(forest.probabilities(pixels[100:103]), one[100:103])
    assert forest.probabilities(pixels[:0]).shape == (0, 4)


def test_classes_without_samples_get_nothing():
    samples = np.arange(20, dtype=np.float32).reshape(10, 2)
    estimator = RandomForestClassifier(3, random_state=0).fit(samples, [1] * 5 + [3] * 5)
    probabilities = forest_from_sklearn(estimator, classes=5).probabilities(samples)
    assert probabilities.shape == (10, 5)
    np.testing.assert_allclose(probabilities[:, [1, 3]], estimator.predict_proba(samples), atol=1e-6)
    assert not probabilities[:, [0, 2, 4]].any()


def test_one_class_makes_trees_of_one_leaf():
    samples = np.zeros((4, 2), dtype=np.float32)
    forest = forest_from_sklearn(RandomForestClassifier(2, random_state=0).fit(samples, [0] * 4))
    for compiled in (True, False):
        assert (ForestEngine(forest, compiled).probabilities(samples) == 1).all()


@pytest.fixture
def tensors():
    samples = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    estimator = RandomForestClassifier(3, random_state=0).fit(samples, np.arange(40) % 2)
    return {key: value.copy() for key, value in forest_from_sklearn(estimator).to_tensors().items()}


def test_tensors_round_trip(tensors):
    samples = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    forest = forest_from_tensors(tensors)
    again = forest_from_tensors(forest.to_tensors())
    assert np.array_equal(again.probabilities(samples), forest.probabilities(samples))
    assert forest.parameters == 2 * (forest.left >= 0).sum() + 2 * (forest.left < 0).sum()


def test_missing_unexpected_and_mistyped_arrays_are_named_together(tensors):
    del tensors["forest.left"]
    tensors["forest.threshold"] = tensors["forest.threshold"].astype(np.float64)
    tensors["other"] = np.zeros(1)
    with pytest.raises(InstaGeoError, match=r"(?s)3 problems.*'other'.*threshold.*float64.*left' is missing"):
        forest_from_tensors(tensors)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("left", 10**6, "child"),
        ("left", 0, "child"),
        ("feature", 3, "feature"),
        ("feature", -1, "feature"),
        ("threshold", float("nan"), "finite"),
        ("offsets", 5, "offsets"),
    ],
)
def test_indices_that_lead_astray_are_refused(tensors, key, value, expected):
    tensors[f"forest.{key}"][0] = value
    with pytest.raises(InstaGeoError, match=expected):
        forest_from_tensors(tensors)


def test_a_leaf_without_shares_is_refused(tensors):
    tensors["forest.leaves"] = tensors["forest.leaves"][:-1]
    with pytest.raises(InstaGeoError, match="class shares"):
        forest_from_tensors(tensors)


def test_another_layout_of_scikit_learns_nodes_falls_back_to_arrays(tensors, monkeypatch):
    from sklearn.tree import _tree

    monkeypatch.setattr(_tree, "NODE_DTYPE", np.dtype([("left_child", "<i8")]))
    forest = forest_from_tensors(tensors)
    assert not forest.engine.compiled
    assert forest.probabilities(np.zeros((2, 3), dtype=np.float32)).shape == (2, 2)
