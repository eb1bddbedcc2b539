import dataclasses
import json
import sqlite3
from contextlib import closing
from html.parser import HTMLParser

import numpy as np
import pyogrio
import pytest
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.chips.index import update_splits
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import EvaluateJob
from instageo_plugin.core.evaluation.by_model import check_match
from instageo_plugin.core.evaluation.evaluate import evaluate
from instageo_plugin.core.evaluation.tally import Tally
from instageo_plugin.core.reporting import SilentReporter
from sklearn import metrics as reference


class Notes(SilentReporter):
    def __init__(self):
        self.lines = []

    def log(self, message, level="info"):
        self.lines.append(f"{level}: {message}")


def probabilities(labels, classes, seed=0):
    """(K, H, W) that favour the true class, and are sometimes wrong."""
    random = np.random.default_rng(seed)
    scores = random.random((classes, *labels.shape)) + 0.45 * (labels == np.arange(classes)[:, None, None])
    return (scores / scores.sum(axis=0)).astype(np.float32)


@pytest.fixture
def dataset(write_dataset):
    """60 x 44 pixels in chips of 20 that overlap where the last ones are moved inwards; some pixels unlabelled."""
    labels = np.random.default_rng(3).integers(-1, 3, (60, 44))
    folder = write_dataset(labels, chip_size=20, starts=(0, 20, 24, 40), images=[probabilities(labels, 3)])
    return folder, labels


def model_for(folder, threshold_model):
    return threshold_model(open_dataset(folder).spec)


def test_figures_equal_scikit_learn_and_shared_ground_counts_once(dataset, use_model, threshold_model, tmp_path):
    folder, labels = dataset
    use_model(model_for(folder, threshold_model))
    paths = {"report": "r.html", "metrics": "m.json", "chip_metrics": "c.gpkg"}
    paths = {name: str(tmp_path / file) for name, file in paths.items()}
    outputs = evaluate(EvaluateJob("model", str(folder), "all", **paths), SilentReporter())

    shares = probabilities(labels, 3)
    kept = labels >= 0
    truth, predicted = labels[kept], shares.argmax(axis=0)[kept]
    assert outputs["ACCURACY"] == pytest.approx(reference.accuracy_score(truth, predicted), abs=1e-9)
    assert outputs["MIOU"] == pytest.approx(reference.jaccard_score(truth, predicted, average="macro"), abs=1e-9)
    assert outputs["F1"] == pytest.approx(reference.f1_score(truth, predicted, average="macro"), abs=1e-9)
    assert outputs["KAPPA"] == pytest.approx(reference.cohen_kappa_score(truth, predicted), abs=1e-9)
    expected = reference.roc_auc_score(truth, shares[:, kept].T, multi_class="ovr", average="macro")
    assert outputs["AUC"] == pytest.approx(expected, abs=1e-6)
    plain = json.loads((tmp_path / "m.json").read_text())
    assert plain["count"] == kept.sum()
    np.testing.assert_array_equal(plain["confusion"], reference.confusion_matrix(truth, predicted))
    rows = pyogrio.read_info(tmp_path / "c.gpkg")
    assert rows["features"] == len(open_dataset(folder).chips)
    assert outputs["CHIP_METRICS"] == paths["chip_metrics"]


def test_chips_are_padded_to_the_stride_and_batched(dataset, use_model, threshold_model):
    folder, _ = dataset
    model = use_model(model_for(folder, threshold_model))
    evaluate(EvaluateJob("model", str(folder), "all"), SilentReporter())
    assert model.shapes == [(len(open_dataset(folder).chips), 1, 3, 24, 24)]


def test_a_fold_is_measured_on_its_own_chips(dataset, use_model, threshold_model, tmp_path):
    folder, _ = dataset
    use_model(model_for(folder, threshold_model))
    names = [chip.chip for chip in open_dataset(folder).chips]
    update_splits(folder / "chips.gpkg", {name: ("train", i % 3) for i, name in enumerate(names)})
    job = EvaluateJob("model", str(folder), "test", fold=1, chip_metrics=str(tmp_path / "c.gpkg"))
    evaluate(job, SilentReporter())
    with closing(sqlite3.connect(tmp_path / "c.gpkg")) as connection:
        found = {chip for (chip,) in connection.execute("SELECT chip FROM chip_metrics")}
    assert found == set(names[1::3])
    with pytest.raises(InstaGeoError, match=r"FOLD is 3, but .* has folds 0 to 2"):
        evaluate(dataclasses.replace(job, fold=3), SilentReporter())


def test_pixels_without_image_data_are_left_out_and_counted(write_dataset, use_model, threshold_model):
    labels = np.array([[0, 1] * 8] * 16)
    image = probabilities(labels, 2)
    image[:, :4] = np.nan
    folder = write_dataset(labels, chip_size=16, images=[image])
    use_model(model_for(folder, threshold_model))
    notes = Notes()
    evaluate(EvaluateJob("model", str(folder), "all"), notes)
    assert "warning: 64 labelled pixels without image data left out." in notes.lines
    assert any("192 labelled pixels of 2 classes" in line for line in notes.lines)


def test_a_class_with_few_labels_is_named(write_dataset, use_model, threshold_model):
    labels = np.zeros((16, 16), int)
    labels[0, :7] = 1
    folder = write_dataset(labels, chip_size=16, images=[probabilities(labels, 2)])
    use_model(model_for(folder, threshold_model))
    notes = Notes()
    evaluate(EvaluateJob("model", str(folder), "all"), notes)
    assert any("Fewer than 30 labelled pixels of class 1 (7)" in line for line in notes.lines)


def test_an_empty_part_says_which_parts_there_are(dataset, use_model, threshold_model):
    folder, _ = dataset
    use_model(model_for(folder, threshold_model))
    with pytest.raises(InstaGeoError, match=r"no chip in the part 'test' .*0 train, 0 val, 0 test, 12 in all"):
        evaluate(EvaluateJob("model", str(folder), "test"), SilentReporter())


def test_a_part_without_labels_is_an_error(write_dataset, use_model, threshold_model):
    labels = np.full((16, 32), -1)
    labels[:, 16:] = 0
    folder = write_dataset(labels, chip_size=16)
    use_model(model_for(folder, threshold_model))
    update_splits(folder / "chips.gpkg", {"s0_0_0": ("test", -1)})
    with pytest.raises(InstaGeoError, match="no labelled pixel"):
        evaluate(EvaluateJob("model", str(folder), "test"), SilentReporter())


def test_every_difference_between_model_and_dataset_is_listed(dataset, threshold_model):
    spec = open_dataset(dataset[0]).spec
    card = threshold_model(spec).card
    other = dataclasses.replace(spec.inputs[0], bands=("blue", "green", "red"), timesteps=2)
    table = ClassTable((ClassEntry("0", 0, "class 0"), ClassEntry("1", 1, "maize"), ClassEntry("8", 8, "water")))
    with pytest.raises(InstaGeoError) as error:
        check_match(card, dataclasses.replace(spec, inputs=(other,), class_table=table))
    for part in ("bands b1 b2 b3", "timesteps 1", "class 1 'maize' of the dataset is 'class 1'", "class 8 'water'"):
        assert part in error.value.message
    assert error.value.message.startswith("Model and dataset do not match: 4 problems")


def test_auc_of_a_large_part_comes_from_an_even_sample():
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 9000)
    shares = np.clip(0.5 + (truth - 0.5) * 0.4 + random.normal(0, 0.3, 9000), 0, 1)
    both = np.column_stack([1 - shares, shares])
    table = ClassTable((ClassEntry("a", 0, "a"), ClassEntry("b", 1, "b")))
    tally = Tally(table, limit=1000)
    for start in range(0, 9000, 7):
        tally.add_probabilities(truth[start : start + 7], both[start : start + 7])
    evaluation = tally.evaluation({})
    assert evaluation.scores.count == 9000
    assert 500 < evaluation.sampled <= 1000
    np.testing.assert_array_equal(np.concatenate(tally._truth), truth[::16])
    assert evaluation.auc == pytest.approx(reference.roc_auc_score(truth, shares), abs=0.03)


class Structure(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_report_is_one_well_formed_page_with_figures_inline(dataset, use_model, threshold_model, tmp_path):
    folder, _ = dataset
    use_model(model_for(folder, threshold_model))
    evaluate(EvaluateJob("model", str(folder), "all", report=str(tmp_path / "r.html")), SilentReporter())
    text = (tmp_path / "r.html").read_text()
    page = Structure()
    page.feed(text)
    assert page.open == []
    tags = [tag for tag, _ in page.tags]
    assert tags.count("svg") == 2
    assert tags.count("table") >= 4
    assert not [attrs for tag, attrs in page.tags if tag in ("img", "script", "link")]
    for words in ("Confusion matrix", "Mean IoU", "class 2", "#e69f00", "Fewer than"):
        assert (words in text) == (words != "Fewer than")


def test_chip_metrics_of_a_map_are_refused_before_any_work():
    with pytest.raises(InstaGeoError, match="CHIP_METRICS needs chips"):
        evaluate(EvaluateJob(prediction="a", reference="b", chip_metrics="c.gpkg"), SilentReporter())
