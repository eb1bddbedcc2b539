import numpy as np
import pytest
from instageo_plugin.core.evaluation.metrics import (
    auc_one_vs_rest,
    calibration_error,
    confusion,
    scores_from_confusion,
)
from sklearn import metrics as reference

VALUES = (0, 3, 7, 9)


@pytest.fixture
def pixels():
    """Truth and a prediction that is right about two times in three; class 9 is never predicted, 7 never true."""
    random = np.random.default_rng(4)
    truth = random.choice([0, 3, 9], size=5000, p=[0.6, 0.3, 0.1])
    predicted = np.where(random.random(5000) < 0.66, truth, random.choice([0, 3, 7], size=5000))
    return truth, np.where(predicted == 9, 0, predicted)


def test_figures_equal_those_of_scikit_learn(pixels):
    truth, predicted = pixels
    matrix = confusion(truth, predicted, VALUES)
    scores = scores_from_confusion(matrix, VALUES, "abcd")
    np.testing.assert_array_equal(matrix, reference.confusion_matrix(truth, predicted, labels=VALUES))
    expected = {
        "accuracy": reference.accuracy_score(truth, predicted),
        "miou": reference.jaccard_score(truth, predicted, labels=VALUES, average="macro", zero_division=0),
        "f1": reference.f1_score(truth, predicted, labels=VALUES, average="macro", zero_division=0),
        "kappa": reference.cohen_kappa_score(truth, predicted),
        "balanced_accuracy": reference.recall_score(truth, predicted, labels=[0, 3, 9], average="macro"),
    }
    assert {name: getattr(scores, name) for name in expected} == pytest.approx(expected, abs=1e-9)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        truth, predicted, labels=VALUES, zero_division=0
    )
    assert [c.precision or 0 for c in scores.classes] == pytest.approx(list(precision), abs=1e-9)
    assert [c.recall or 0 for c in scores.classes] == pytest.approx(list(recall), abs=1e-9)
    assert [c.f1 for c in scores.classes] == pytest.approx(list(f1), abs=1e-9)
    assert [c.support for c in scores.classes] == list(support)


def test_undefined_figures_are_none_and_never_nan(pixels):
    scores = scores_from_confusion(confusion(*pixels, VALUES), VALUES, "abcd")
    assert scores.classes[2].recall is None
    assert scores.classes[3].precision is None
    assert scores.classes[3].iou == 0
    empty = scores_from_confusion(np.zeros((2, 2), dtype=np.int64))
    assert (empty.accuracy, empty.miou, empty.f1, empty.kappa, empty.balanced_accuracy) == (None,) * 5
    assert empty.absent == ("0", "1")


def test_absent_classes_are_named_and_do_not_enter_the_means():
    scores = scores_from_confusion(np.diag([5, 0, 3]), (1, 2, 4), ("wheat", "maize", "water"))
    assert scores.absent == ("maize",)
    assert scores.miou == scores.f1 == scores.kappa == 1


def test_kappa_of_a_single_class_is_undefined():
    assert scores_from_confusion(np.array([[7, 0], [0, 0]])).kappa is None


def test_unlabelled_pixels_are_left_out_and_their_prediction_does_not_matter():
    truth = np.array([[0, -1], [3, -1]], dtype=np.int16)
    predicted = np.array([[0, 3], [0, 255]])
    np.testing.assert_array_equal(confusion(truth, predicted, (0, 3)), [[1, 0], [1, 0]])


def test_a_prediction_outside_the_classes_is_refused():
    with pytest.raises(ValueError, match="1 labelled pixels"):
        confusion(np.array([0]), np.array([255]), (0, 3))


def test_the_order_of_classes_is_that_of_the_caller():
    np.testing.assert_array_equal(confusion(np.array([9, 0]), np.array([9, 9]), (9, 0)), [[1, 0], [1, 0]])


def test_auc_equals_scikit_learn_and_skips_classes_without_pixels():
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 400)
    probabilities = random.dirichlet(np.ones(3), 400) + 0.3 * np.eye(3)[truth]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = reference.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
    assert auc_one_vs_rest(truth, probabilities) == pytest.approx(expected, abs=1e-9)
    with_absent = np.hstack([probabilities, np.zeros((400, 1))])
    assert auc_one_vs_rest(truth, with_absent) == pytest.approx(expected, abs=1e-9)
    assert auc_one_vs_rest(np.zeros(3, dtype=int), np.ones((3, 1))) is None


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    correct = np.array([True, False, True, True])
    assert calibration_error(correct, np.array([0.75, 0.75, 0.75, 0.75])) == pytest.approx(0)
    assert calibration_error(correct, np.array([0.55, 0.55, 1.0, 1.0])) == pytest.approx(0.025)
    assert calibration_error(np.zeros(0, dtype=bool), np.zeros(0)) is None
