import json
from pathlib import Path

import numpy as np
import pytest
import torch
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.contract.errors import DISK, Cancelled, InstaGeoError
from instageo_plugin.core.models.load import load_predictor
from instageo_plugin.core.models.modelfile import load_model
from instageo_plugin.core.models.zoo import complete_constants
from instageo_plugin.core.training import adaptation
from instageo_plugin.core.training import finetune as module
from instageo_plugin.core.training.finetune import finetune
from instageo_plugin.core.training.networks import automatic_batch_size


@pytest.fixture(autouse=True)
def _narrow_unet(monkeypatch):
    """What is tested here does not depend on the network's width, but the time it takes does."""
    narrow = {"unet": {"width": 8, "depth": 2}}
    monkeypatch.setattr(
        adaptation, "complete_constants", lambda name, _: complete_constants(name, narrow.get(name, {}))
    )


def _history(job):
    return json.loads(Path(job.history).read_text())


def _tensors(path):
    return {key: value.tobytes() for key, value in load_model(path)[1].items()}


@pytest.fixture
def job_of(make_job, tmp_path):
    """A job whose model, history and report lie in the folder `name`."""

    def make(folder, name="out", **changes):
        fields = {"output": "model.safetensors", "history": "history.json", "report": "report.html"}
        places = {field: str(tmp_path / name / file) for field, file in fields.items()}
        return make_job(folder, **{**places, **changes})

    return make


def test_six_steps_write_every_file_and_nothing_else(dataset, job_of, recorder, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    job = job_of(dataset(), epochs=3, batch_size=2)
    outputs = finetune(job, recorder)
    assert sorted(p.name for p in Path(job.output).parent.iterdir()) == [
        "history.json", "model.safetensors", "report.html",
    ]  # fmt: skip
    assert not list(here.iterdir())
    assert outputs["OUTPUT"] == job.output
    assert outputs["EPOCHS_RUN"] == 3
    assert 0 <= outputs["MIOU"] <= outputs["F1"] <= 1
    assert [record["epoch"] for record in _history(job)] == [1, 2, 3]
    assert max(record["val_miou"] for record in _history(job)) == pytest.approx(outputs["MIOU"])
    assert "Training of model" in Path(job.report).read_text()
    assert recorder.artifacts == {"OUTPUT": job.output, "HISTORY": job.history, "REPORT": job.report}
    assert recorder.shares == sorted(recorder.shares)
    assert recorder.shares[-1] == 1
    assert any("Epoch 2 of 3" in message and "left" in message for message in recorder.messages)
    assert {name for name, _, _ in recorder.metrics} == {"train_loss", "val_loss", "val_miou", "learning_rate"}


def test_the_card_says_all_about_the_model(dataset, job_of, recorder):
    folder = dataset()
    job = job_of(folder, epochs=2)
    finetune(job, recorder)
    card = load_predictor(job.output, device="cpu", precision="fp32").card
    assert (card.name, card.kind, card.architecture) == ("model", "patch", "unet")
    assert card.metrics["split"] == "val"
    assert sum(map(sum, card.metrics["confusion"])) == 2 * 16 * 16
    assert [one["name"] for one in card.metrics["classes"]] == ["class 0", "class 1", "class 2"]
    assert card.training["dataset"] == folder.name
    assert str(folder.parent) not in card.to_metadata()["instageo_model_card"]
    assert card.training["parameters"]["epochs"] == 2
    assert (card.training["train_chips"], card.training["val_chips"]) == (4, 2)
    assert card.parameters > 1e4
    assert card.macs > 1e6


def test_a_separable_scene_is_learned(dataset, job_of, recorder):
    job = job_of(dataset(noise=0.05), epochs=40, learning_rate=3e-3, augment=False)
    assert finetune(job, recorder)["MIOU"] > 0.9


def test_one_seed_gives_the_same_bytes_and_another_one_does_not(dataset, job_of, recorder):
    folder = dataset()
    jobs = [job_of(folder, name, epochs=2, seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))]
    for job in jobs:
        finetune(job, recorder)
    first, again, other = (_tensors(job.output) for job in jobs)
    assert first == again
    assert first != other


def test_a_resumed_run_equals_an_unbroken_one(dataset, job_of, recorder, cancelled_after, tmp_path):
    folder = dataset()
    whole = job_of(folder, "whole", epochs=5)
    finetune(whole, recorder)
    with pytest.raises(Cancelled):
        finetune(job_of(folder, "broken", epochs=5), cancelled_after(2))
    run = tmp_path / "broken" / "model.run"
    assert sorted(p.name for p in run.parent.iterdir()) == ["model.run"]
    assert sorted(p.name for p in run.iterdir()) == ["last.ckpt", "run.json"]
    resumed = job_of(folder, "broken", epochs=5, resume=str(run))
    assert finetune(resumed, recorder)["EPOCHS_RUN"] == 5
    assert _history(resumed) == _history(whole)
    assert _tensors(resumed.output) == _tensors(whole.output)
    assert not run.exists()


@pytest.mark.parametrize("patience", [0, 1])
def test_a_model_that_could_not_be_written_is_not_lost(dataset, job_of, recorder, tmp_path, monkeypatch, patience):
    def full(*_):
        raise InstaGeoError("The disk is full.", code=DISK)

    fields = {"epochs": 6, "patience": patience, "learning_rate": 1e-9}
    whole, job = (job_of(dataset(name), name, **fields) for name in ("whole", "out"))
    finetune(whole, recorder)
    with monkeypatch.context() as patch:
        patch.setattr(module, "save_model", full)
        with pytest.raises(InstaGeoError, match="full"):
            finetune(job, recorder)
    finetune(job_of(job.dataset, "out", resume=str(tmp_path / "out" / "model.run"), **fields), recorder)
    assert _history(job) == _history(whole)
    assert _tensors(job.output) == _tensors(whole.output)


def test_another_run_is_not_resumed(dataset, job_of, recorder, cancelled_after, tmp_path):
    with pytest.raises(Cancelled):
        finetune(job_of(dataset(), epochs=4), cancelled_after(1))
    run = str(tmp_path / "out" / "model.run")
    with pytest.raises(InstaGeoError) as error:
        finetune(job_of(dataset("other", seed=1), epochs=6, loss="dice", resume=run), recorder)
    assert "EPOCHS was 4, now it is 6" in error.value.message
    assert "LOSS was cross_entropy, now it is dice" in error.value.message
    assert "the chips are others" in error.value.message
    assert Path(run, "last.ckpt").is_file()


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_cancelled_run_leaves_no_output(dataset, job_of, cancelled_after, epochs):
    job = job_of(dataset())
    with pytest.raises(Cancelled):
        finetune(job, cancelled_after(epochs))
    assert [p.name for p in Path(job.output).parent.iterdir()] == ["model.run"] * epochs


def test_a_diverging_run_says_where_and_what_to_do(dataset, job_of, recorder):
    job = job_of(dataset(), learning_rate=1e30)
    with pytest.raises(InstaGeoError, match=r"the loss became (nan|inf) in epoch 1, step 2") as error:
        finetune(job, recorder)
    assert "LEARNING_RATE, such as 1e+29" in error.value.hint
    assert not list(Path(job.output).parent.iterdir())


def test_patience_ends_a_run_that_gets_no_better_and_the_best_epoch_is_kept(dataset, job_of, recorder):
    job = job_of(dataset(), epochs=30, patience=2, learning_rate=1e-9)
    outputs = finetune(job, recorder)
    history = _history(job)
    best = max(history, key=lambda record: (record["val_miou"], -record["val_loss"]))
    assert outputs["EPOCHS_RUN"] == best["epoch"] + 2 < 30
    assert load_model(job.output)[0].training["best_epoch"] == best["epoch"]


def test_a_few_labelled_pixels_teach_the_network(write_dataset, scene, split, job_of, recorder):
    label, image = scene(48, 48, noise=0.05)
    rng = np.random.default_rng(0)
    sparse = np.where(rng.random(label.shape) < 0.04, label, -1)
    sparse[:, 32:] = label[:, 32:]
    folder = split(write_dataset(sparse, images=image, chip_size=16))
    job = job_of(folder, epochs=40, learning_rate=3e-3, class_weights="balanced")
    assert finetune(job, recorder)["MIOU"] > 0.7


def test_training_in_bf16_measures_the_model_in_fp32(dataset, job_of, recorder):
    job = job_of(dataset(), epochs=2, precision="bf16")
    outputs = finetune(job, recorder)
    card = load_model(job.output)[0]
    assert card.training["precision"] == "bf16-mixed"
    predictor = load_predictor(job.output, device="cpu", precision="fp32")
    opened = open_dataset(job.dataset)
    right = [
        predictor.probabilities([image[None] for image in opened.read_images(chip)])[0].argmax(0)
        == opened.read_label(chip)
        for chip in opened.part("val")
    ]
    assert outputs["ACCURACY"] == pytest.approx(np.mean(right))


def test_missing_pixels_and_odd_sizes_train(write_dataset, scene, split, job_of, recorder):
    label, image = scene(24, 36)
    image[:, 3:9, 2:20] = np.nan
    folder = split(write_dataset(label[:, :33], images=image[:, :, :33], chip_size=11))
    outputs = finetune(job_of(folder, epochs=2), recorder)
    assert np.isfinite(outputs["MIOU"])


def test_without_validation_the_last_epoch_is_kept_and_the_card_says_so(dataset, split, job_of, recorder):
    job = job_of(split(dataset(), lambda i: "train"), epochs=3, patience=1)
    assert finetune(job, recorder)["EPOCHS_RUN"] == 3
    card = load_model(job.output)[0]
    assert card.metrics["split"] == "train"
    assert card.training["best_epoch"] == 3
    assert "flatter the model" in card.training["notes"][0]
    assert _history(job)[0]["val_miou"] is None


def test_another_folder_in_the_place_of_the_run_is_left_alone(dataset, job_of, recorder, tmp_path):
    mine = tmp_path / "out" / "model.run" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    with pytest.raises(InstaGeoError, match="is in the way"):
        finetune(job_of(dataset()), recorder)
    assert mine.read_text() == "years of work"


def test_an_unfinished_run_is_discarded_with_a_warning(dataset, job_of, recorder, cancelled_after):
    job = job_of(dataset(), epochs=2)
    with pytest.raises(Cancelled):
        finetune(job, cancelled_after(1))
    finetune(job, recorder)
    assert recorder.warned("is discarded")
    assert not Path(job.output).with_name("model.run").exists()


def test_something_else_than_a_run_is_not_resumed(dataset, job_of, recorder, tmp_path):
    with pytest.raises(InstaGeoError, match="is not the folder of an unfinished run"):
        finetune(job_of(dataset(), resume=str(tmp_path)), recorder)


def test_the_transformer_trains_on_several_timesteps(write_dataset, scene, split, job_of, recorder):
    label, image = scene(16, 48)
    folder = split(write_dataset(label, images=np.concatenate([image, image + 5]), chip_size=16))
    spec = folder / "dataset.json"
    plain = json.loads(spec.read_text())
    plain["inputs"][0].update(bands=["a", "b"], timesteps=2)
    spec.write_text(json.dumps(plain))
    finetune(job_of(folder, backbone="vit_tiny", epochs=1), recorder)


@pytest.mark.parametrize(("chips", "size", "expected"), [(3, 64, 2), (26, 64, 8), (900, 64, 16), (900, 1024, 1)])
def test_automatic_batches(chips, size, expected):
    assert automatic_batch_size(chips, size) == expected


def test_checkpoints_hold_nothing_that_needs_pickle(dataset, job_of, cancelled_after, tmp_path):
    with pytest.raises(Cancelled):
        finetune(job_of(dataset()), cancelled_after(1))
    torch.load(tmp_path / "out" / "model.run" / "last.ckpt", weights_only=True)
