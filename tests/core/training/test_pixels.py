import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.models.load import load_predictor
from instageo_plugin.core.models.modelfile import load_model
from instageo_plugin.core.training import pixels
from instageo_plugin.core.training.data import ChipReader, Sample
from instageo_plugin.core.training.finetune import finetune
from instageo_plugin.core.training.pixels import drawn_shares, labelled_pixels, smallest_leaf
from sklearn.ensemble import RandomForestClassifier


@pytest.fixture
def forest_job(make_job):
    return lambda folder, **changes: make_job(folder, backbone="pixels", precision="auto", **changes)


def _pixels(folder, part):
    opened = open_dataset(folder)
    reader = ChipReader(opened)
    found = [labelled_pixels(reader.sample(chip)) for name in part for chip in opened.part(name)]
    return np.concatenate([x for x, _ in found]), np.concatenate([y for _, y in found])


def test_the_figures_are_of_a_forest_that_never_saw_the_validation_chips(dataset, forest_job, recorder):
    folder = dataset(noise=0.6)
    outputs = finetune(forest_job(folder), recorder)
    constants = load_model(outputs["OUTPUT"])[0].constants
    fields = {name: constants[name] for name in ("min_samples_leaf", "max_features", "max_depth")}
    forest = RandomForestClassifier(constants["trees"], random_state=0, **fields).fit(*_pixels(folder, ["train"]))
    features, labels = _pixels(folder, ["val"])
    assert outputs["ACCURACY"] == pytest.approx(forest.score(features, labels), abs=0.02)
    assert outputs["ACCURACY"] < 0.95


def test_the_model_that_is_kept_knows_the_validation_chips_too(dataset, forest_job, recorder):
    folder = dataset(noise=0.6)
    outputs = finetune(forest_job(folder, report=str(folder / "r.html"), history=str(folder / "h.json")), recorder)
    predictor = load_predictor(outputs["OUTPUT"])
    opened = open_dataset(folder)
    right = [
        (predictor.probabilities([image[None] for image in opened.read_images(chip)])[0].argmax(0) == label).mean()
        for chip in opened.part("val")
        for label in [opened.read_label(chip)]
    ]
    assert min(right) > 0.97 > outputs["ACCURACY"]
    card = predictor.card
    assert (card.kind, card.metrics["split"], card.training["pixels"]) == ("pixel", "val", 6 * 256)
    assert "train and val" in card.training["fitted_on"]
    assert Path(outputs["HISTORY"]).read_text() == "[]"
    assert "Confusion" in Path(outputs["REPORT"]).read_text()


def test_many_pixels_are_thinned_by_class_and_it_is_said(dataset, forest_job, recorder, monkeypatch):
    monkeypatch.setattr(pixels, "MOST_PIXELS", 400)
    monkeypatch.setattr(pixels, "LEAST_PIXELS", 10)
    outputs = finetune(forest_job(dataset()), recorder)
    assert any("of 1024 labelled pixels, drawn by class" in message for _, message in recorder.logs)
    assert load_model(outputs["OUTPUT"])[0].training["pixels"] == pytest.approx(400, rel=0.2)
    assert outputs["ACCURACY"] > 0.7


def test_a_rare_class_is_not_thinned_away():
    counts = np.array([10_000_000, 3_000, 20, 0])
    drawn = drawn_shares(counts) * counts
    assert drawn[0] == pytest.approx(200_000, rel=0.01)
    assert drawn[1:].tolist() == [1_000, 20, 0]
    assert (drawn_shares(np.array([97, 5])) == 1).all()


def test_one_seed_gives_one_forest(dataset, forest_job, recorder, tmp_path):
    folder = dataset()
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        finetune(forest_job(folder, output=str(file)), recorder)
    first, second = (load_model(file)[1] for file in files)
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_pixels_without_any_data_are_left_out_and_gaps_are_kept():
    image = np.array([[[[1, np.nan, np.nan, np.inf]], [[5, 6, np.nan, 8]]]], dtype=np.float32)
    features, labels = labelled_pixels(Sample((image,), np.array([[0, 1, 1, 2]])))
    assert labels.tolist() == [0, 1, 2]
    assert np.array_equal(features, [[1, 5], [np.nan, 6], [np.nan, 8]], equal_nan=True)


def test_features_are_the_bands_of_the_oldest_timestep_first():
    image = np.arange(6, dtype=np.float32).reshape(3, 2, 1, 1)
    assert labelled_pixels(Sample((image,), np.array([[0]])))[0].tolist() == [[0, 1, 2, 3, 4, 5]]


def test_a_forest_cannot_be_resumed(dataset, forest_job, recorder, tmp_path):
    with pytest.raises(InstaGeoError, match="fitted in one go"):
        finetune(forest_job(dataset(), resume=str(tmp_path)), recorder)


def test_a_cancelled_forest_leaves_nothing(dataset, forest_job, cancelled_after):
    job = forest_job(dataset())
    with pytest.raises(InstaGeoError, match="Cancelled"):
        finetune(job, cancelled_after(0))
    assert not list(Path(job.output).parent.iterdir())


def test_training_a_forest_does_not_wait_for_torch():
    tests = Path(__file__).resolve().parents[2]
    modules = "instageo_plugin.core.training.finetune, instageo_plugin.core.training.pixels"
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import conftest, {modules}; print('torch' in sys.modules)"
    command = [sys.executable, "-I", "-c", code, str(tests)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("count", "leaf"), [(97, 1), (19_999, 1), (30_000, 3), (200_000, 5)])
def test_leaves_grow_with_the_number_of_pixels(count, leaf):
    assert smallest_leaf(count) == leaf
