"""Heads on embeddings say what the libraries that fitted them say, also after a model file."""

import numpy as np
import pytest
from instageo_plugin.core.contract.errors import Cancelled, InstaGeoError
from instageo_plugin.core.contract.jobs import FinetuneJob
from instageo_plugin.core.models.series_heads import CATBOOST_KEY, catboost_from_tensors
from instageo_plugin.core.reporting import SilentReporter
from instageo_plugin.core.training.embedding_heads import Features, fit_head
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CONSTANTS = {"head_width": 16}


def features(classes=3, seen=None, weights=None):
    rng = np.random.default_rng(0)
    label = rng.choice(seen if seen is not None else np.arange(classes), 400)
    data = (rng.standard_normal((400, 6)) * np.arange(1, 7) + 3 * label[:, None]).astype(np.float32)
    return Features(data[:300], label[:300], weights, data[300:], label[300:])


class Impatient(SilentReporter):
    """Its user cancels after some checks."""

    def __init__(self, checks):
        self.left = checks

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def test_catboost_stops_when_the_user_does():
    job = FinetuneJob(dataset="d", output="m.safetensors")
    with pytest.raises(Cancelled):
        fit_head({**CONSTANTS, "head": "catboost"}, features(), 3, job, Impatient(5))


def fitted(head, given, classes=3, **changes):
    job = FinetuneJob(dataset="d", output="m.safetensors", learning_rate=0.01, **changes)
    return fit_head({**CONSTANTS, "head": head}, given, classes, job, SilentReporter())


@pytest.mark.parametrize("classes", [2, 3])
def test_linear_head_is_logistic_regression(classes):
    given = features(classes)
    expected = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(given.train, given.label)
    found = fitted("linear", given, classes).probabilities(given.val)
    np.testing.assert_allclose(found, expected.predict_proba(given.val), atol=1e-5)


@pytest.mark.parametrize("head", ["linear", "mlp", "forest", "catboost"])
@pytest.mark.parametrize("seen", [(0, 2), (0, 1, 2)])
def test_heads_learn_and_unseen_classes_never_win(head, seen):
    given = features(seen=seen)
    shares = fitted(head, given).probabilities(given.val)
    assert shares.shape == (100, 3)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert (shares.argmax(axis=1) == given.val_label).mean() > 0.8
    if 1 not in seen:
        assert shares[:, 1].max() < 1e-6


def test_catboost_comes_back_from_its_bytes_and_damage_is_told():
    given = features()
    head = fitted("catboost", given)
    tensors = head.to_tensors()
    again = catboost_from_tensors(tensors, 3, "Model 'm'")
    assert np.array_equal(again.probabilities(given.val), head.probabilities(given.val))
    assert again.parameters == head.parameters > 0
    with pytest.raises(InstaGeoError, match="CatBoost head is damaged"):
        catboost_from_tensors({CATBOOST_KEY: tensors[CATBOOST_KEY][:50]}, 3, "Model 'm'")
    with pytest.raises(InstaGeoError, match=r"one array of bytes.*found none"):
        catboost_from_tensors({}, 3, "Model 'm'")


def test_weights_of_samples_count():
    given = features(2)
    heavy = Features(given.train, given.label, np.where(given.label == 1, 50.0, 1.0), given.val, given.val_label)
    light, strong = (fitted("linear", one, 2).probabilities(given.val)[:, 1].mean() for one in (given, heavy))
    assert strong > light + 0.05
