"""Pixel-series models from chips of several sensors: real weights on real series, every head, every adaptation."""

import dataclasses
import shutil

import numpy as np
import pytest
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.chips.index import read_index, write_index
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import EvaluateJob
from instageo_plugin.core.contract.serial import to_json
from instageo_plugin.core.evaluation.evaluate import evaluate
from instageo_plugin.core.models.load import load_predictor
from instageo_plugin.core.models.modelfile import load_card
from instageo_plugin.core.training import embedding_heads
from instageo_plugin.core.training.finetune import finetune

WEIGHTS = {"presto": "presto/default_model.pt", "galileo_nano": "galileo_nano/encoder.pt"}


@pytest.fixture
def weights(shared_data):
    def path(name):
        file = shared_data.parent / "weights" / WEIGHTS[name]
        if not file.is_file():
            pytest.skip(f"real weights not found: {file} is absent")
        return str(file)

    return path


@pytest.fixture
def copied(worldcereal_chips, tmp_path):
    """A copy of five of the chips with fewer inputs, or other dates."""

    def copy(keep=None, dates=None, name="copy"):
        folder = shutil.copytree(worldcereal_chips, tmp_path / name)
        spec, rows = open_dataset(folder).spec, read_index(folder / "chips.gpkg")[:5]
        if keep:
            kept = tuple(one for one in spec.inputs if one.sensor in keep)
            (folder / "dataset.json").write_text(to_json(dataclasses.replace(spec, inputs=kept)), encoding="utf-8")
        if dates is not None:
            rows = read_index(folder / "chips.gpkg")
            (folder / "chips.gpkg").unlink()
            rows = [dataclasses.replace(row, dates=dict.fromkeys(row.dates, dates)) for row in rows]
            write_index(folder / "chips.gpkg", rows, [])
        return folder

    return copy


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    """What is tested here does not depend on their number, but the time it takes does."""
    monkeypatch.setattr(embedding_heads, "CATBOOST_TREES", 40)


def accuracy_on_test(model, folder, recorder):
    return evaluate(EvaluateJob(model=model, dataset=str(folder), split="test", device="cpu"), recorder)["ACCURACY"]


@pytest.mark.parametrize("backbone", ["presto", "galileo_nano"])
def test_frozen_embeddings_tell_cropland(worldcereal_chips, make_job, weights, recorder, backbone):
    job = make_job(worldcereal_chips, backbone=backbone, weights=weights(backbone), adaptation="frozen", epochs=60)
    found = finetune(job, recorder)
    assert found["EPOCHS_RUN"] == 1
    assert accuracy_on_test(job.output, worldcereal_chips, recorder) > 0.8
    card = load_card(job.output)
    assert (card.kind, card.constants["head"]) == ("pixel", "linear")
    assert len(card.training["pretrained"]["sha256"]) == 64
    assert any(
        "sees S1, S2_RGB, S2_Red_Edge, S2_NIR_10m, S2_SWIR, ERA5, SRTM, NDVI" in text for _, text in recorder.logs
    )


@pytest.mark.parametrize("head", ["linear", "mlp", "forest", "catboost"])
def test_every_head_predicts_as_it_was_measured(copied, make_job, weights, recorder, head):
    folder = copied(("sentinel2",))
    job = make_job(folder, backbone="presto", weights=weights("presto"), adaptation="frozen", head=head, epochs=30)
    found = finetune(job, recorder)
    measured = evaluate(EvaluateJob(model=job.output, dataset=str(folder), split="val", device="cpu"), recorder)
    assert measured["ACCURACY"] == pytest.approx(found["ACCURACY"], abs=0.002)
    assert found["ACCURACY"] > 0.75


@pytest.mark.parametrize("adaptation", ["scratch", "lora", "full"])
def test_a_series_model_is_trained_as_a_whole(copied, make_job, weights, recorder, adaptation, tmp_path):
    folder = copied(("sentinel2", "dem"))
    given = {} if adaptation == "scratch" else {"weights": weights("presto")}
    if adaptation == "lora":
        given["adapter"] = str(tmp_path / "adapter.safetensors")
    job = make_job(folder, backbone="presto", adaptation=adaptation, head="mlp", epochs=2, **given)
    found = finetune(job, recorder)
    assert found["EPOCHS_RUN"] == 2
    measured = evaluate(EvaluateJob(model=job.output, dataset=str(folder), split="val", device="cpu"), recorder)
    assert measured["ACCURACY"] == pytest.approx(found["ACCURACY"], abs=0.002)


def test_months_and_places_reach_the_model(worldcereal_chips, make_job, weights, recorder):
    job = make_job(worldcereal_chips, backbone="presto", weights=weights("presto"), adaptation="frozen")
    finetune(job, recorder)
    opened = open_dataset(worldcereal_chips)
    chip = opened.chips[0]
    predictor = load_predictor(job.output, device="cpu")
    images = [image[None] for image in opened.read_images(chip)]
    right = predictor.probabilities(images, [chip.occasion()])
    other = dataclasses.replace(chip, dates={"sentinel2": [f"2021-{month:02d}-01" for month in range(1, 13)]})
    assert np.abs(predictor.probabilities(images, [other.occasion()]) - right).max() > 0.001
    assert right.shape == (1, 2, 16, 16)
    np.testing.assert_allclose(right.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(InstaGeoError, match="when and where"):
        predictor.probabilities(images)


def test_chips_without_dates_are_refused(copied, make_job, recorder):
    folder = copied(("sentinel2",), dates=[])
    with pytest.raises(InstaGeoError, match=r"dates of its 12 timesteps are none.*needs them all"):
        finetune(make_job(folder, backbone="presto", epochs=1), recorder)


def test_inputs_that_the_model_cannot_see_are_all_named(dataset, make_job, recorder):
    with pytest.raises(InstaGeoError) as caught:
        finetune(make_job(dataset(), backbone="presto", epochs=1), recorder)
    assert "input 'custom' is in 'as in the source'" in caught.value.message
    assert "none of its groups of bands is complete" in caught.value.message


def test_heads_that_a_backbone_cannot_have(copied, dataset, make_job, weights, recorder):
    with pytest.raises(InstaGeoError, match="HEAD is 'upernet'; 'presto' has linear, mlp, forest, catboost"):
        finetune(make_job(copied(("sentinel2",)), backbone="presto", head="upernet", epochs=1), recorder)
    with pytest.raises(InstaGeoError, match="HEAD is 'mlp'; 'unet' has no choice"):
        finetune(make_job(dataset(), backbone="unet", head="mlp", epochs=1), recorder)
    with pytest.raises(InstaGeoError, match="HEAD catboost learns from a frozen backbone"):
        make_job(dataset("other"), backbone="presto", head="catboost")
