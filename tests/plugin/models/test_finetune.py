"""Fine-tune as a user runs it: the model it makes, and how it refuses what it cannot train on."""

import pytest
from qgis.core import QgsProcessingException

WORDS = {
    "no rows": "empty",
    "half a dataset.json": "dataset.json is damaged",
    "no index": "is missing",
    "an index of another format": "not a chip index",
    "half an index": "or damaged",
    "a lost image": "is missing",
    "half images": "cannot be read",
}


def test_a_model_comes_with_its_figures(run, trained, out):
    outputs = run(
        "finetune",
        INPUT=str(trained / "chips"),
        BACKBONE="pixels",
        OUTPUT=str(out / "model.safetensors"),
        HISTORY=str(out / "history.json"),
    )
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "history.json"}
    assert outputs["OUTPUT"] == str(out / "model.safetensors")
    assert all(outputs[name] > 0.9 for name in ("MIOU", "ACCURACY", "F1"))
    assert outputs["EPOCHS_RUN"] >= 1


@pytest.mark.parametrize("damage", WORDS)
def test_a_damaged_dataset_is_refused(refusal, damaged, out, damage):
    folder = damaged(damage)
    message = refusal("finetune", INPUT=folder, BACKBONE="pixels", OUTPUT=str(out / "model.safetensors"))
    assert WORDS[damage] in message
    assert folder in message
    assert "\n" in message  # the remedy
    assert list(out.iterdir()) == []


def test_an_unknown_backbone_is_refused_with_the_known_ones(refusal, trained, out):
    message = refusal("finetune", INPUT=str(trained / "chips"), BACKBONE="vgg", OUTPUT=str(out / "model.safetensors"))
    assert "vgg" in message
    assert "pixels" in message
    assert list(out.iterdir()) == []


def test_a_dataset_without_labels_is_refused(run, refusal, scene, out):
    run("createchips", RASTERS=[scene], PLACEMENT="dense", CHIP_SIZE=48, OUTPUT=str(out / "chips"))
    message = refusal("finetune", INPUT=str(out / "chips"), BACKBONE="pixels", OUTPUT=str(out / "model.safetensors"))
    assert "labels" in message
    assert [path.name for path in out.iterdir()] == ["chips"]


def test_an_output_below_a_file_is_refused(refusal, trained, tmp_path):
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "model.safetensors"
    message = refusal("finetune", INPUT=str(trained / "chips"), BACKBONE="pixels", OUTPUT=str(output))
    assert str(tmp_path / "file") in message
    assert "Choose another place" in message


def test_a_read_only_disk_is_refused(refusal, trained, disk):
    folder = disk(200, "ro")
    output = str(folder / "model.safetensors")
    message = refusal("finetune", INPUT=str(trained / "chips"), BACKBONE="pixels", OUTPUT=output)
    assert str(folder) in message
    assert list(folder.iterdir()) == []


def test_a_full_disk_keeps_no_half_model(refusal, trained, disk):
    folder = disk(8)
    output = str(folder / "model.safetensors")
    message = refusal("finetune", INPUT=str(trained / "chips"), BACKBONE="pixels", OUTPUT=output)
    assert "space" in message
    assert list(folder.iterdir()) == []


def test_a_cancelled_training_keeps_no_model_and_says_how_to_go_on(run, feedback, trained, out, nobody_left):
    feedback.on_line = lambda level, text: "epoch" in text and feedback.cancel()
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        run(
            "finetune",
            INPUT=str(trained / "chips"),
            BACKBONE="unet",
            EPOCHS=5000,
            PATIENCE=0,
            DEVICE="cpu",
            OUTPUT=str(out / "model.safetensors"),
        )
    left = [path.name for path in out.iterdir()]
    assert left in ([], ["model.run"])
    assert ("RESUME" in feedback.said("info")) == (left == ["model.run"])
    nobody_left([])
