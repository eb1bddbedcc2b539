"""Foundation models adapted from published weights: what is trained, what stays, what the model file tells."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from instageo_plugin.core.chips.dataset import open_dataset
from instageo_plugin.core.chips.index import read_index, write_index
from instageo_plugin.core.contract.backbones import BACKBONES, PRITHVI, TERRAMIND
from instageo_plugin.core.contract.dataset import REFLECTANCE, InputSpec
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import FinetuneJob
from instageo_plugin.core.models.checkpoints import sha256_of
from instageo_plugin.core.models.load import load_predictor
from instageo_plugin.core.models.modelfile import load_model
from instageo_plugin.core.models.zoo import build_module
from instageo_plugin.core.training.adaptation import add_adapters
from instageo_plugin.core.training.finetune import finetune
from instageo_plugin.core.training.task import Plan, parameter_groups
from safetensors.torch import load_file

NAME = "prithvi_v2_tiny_tl"
HLS = InputSpec("hls", ("blue", "green", "red", "nir08", "swir16", "swir22"), "int16", REFLECTANCE)

SENTINEL2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file as the tiny Prithvi's is published, and its encoder."""
    torch.manual_seed(5)
    encoder = build_module(NAME, {}, (HLS,), 2).encoder
    path = tmp_path_factory.mktemp("weights") / "Prithvi_EO_V2_tiny_TL.pt"
    weights = {
        f"encoder.{key}".replace("patch_embeds.0.", "patch_embed."): v for key, v in encoder.state_dict().items()
    }
    torch.save(weights, path)
    return path, encoder


@pytest.fixture
def optical(write_dataset, scene, split):
    """A dataset whose two bands are red and near infrared reflectance, or that divided by a number."""

    def make(units=REFLECTANCE, divisor=1):
        label, image = scene()
        folder = split(write_dataset(label, images=image / divisor, chip_size=16))
        path = folder / "dataset.json"
        text = path.read_text().replace('"b1"', '"red"').replace('"b2"', '"nir08"')
        path.write_text(text.replace("as in the source", units))
        assert open_dataset(folder).spec.inputs[0].bands == ("red", "nir08")
        return folder

    return make


@pytest.fixture
def job_of(make_job, published, tmp_path):
    def make(folder, **changes):
        fixed = {"backbone": NAME, "weights": str(published[0]), "epochs": 2, "batch_size": 2, "augment": False}
        return make_job(folder, **{**fixed, "output": str(tmp_path / "model.safetensors"), **changes})

    return make


def encoder_of(path):
    return {key.removeprefix("encoder."): v for key, v in load_model(path)[1].items() if key.startswith("encoder.")}


def same_as_published(found, published, but=("patch_embeds.0.proj.weight",)):
    wanted = published[1].state_dict()
    return [key for key, value in found.items() if key not in but and not np.array_equal(value, wanted[key].numpy())]


def test_frozen_leaves_the_encoder_as_it_was_and_trains_the_head(optical, job_of, published, recorder):
    job = job_of(optical(), adaptation="frozen")
    outputs = finetune(job, recorder)
    found = encoder_of(job.output)
    assert same_as_published(found, published) == []
    whole = published[1].patch_embeds[0].proj.weight.view(192, 6, 256)
    assert np.array_equal(found["patch_embeds.0.proj.weight"], whole[:, [2, 3]].flatten(1).detach().numpy())
    assert outputs["EPOCHS_RUN"] == 2
    trained = next(message for _, message in recorder.logs if "parameters are trained" in message)
    assert published[0].name in trained


def test_lora_trains_a_little_and_is_merged_into_the_model(optical, job_of, published, recorder, tmp_path):
    job = job_of(optical(), adaptation="lora", adapter=str(tmp_path / "adapter.safetensors"), learning_rate=0.01)
    outputs = finetune(job, recorder)
    found, before = encoder_of(job.output), published[1].state_dict()
    changed = same_as_published(found, published)
    assert set(changed) == {key for key in before if key.endswith(("attn.qkv.weight", "attn.proj.weight"))}
    assert outputs["ADAPTER"] == job.adapter
    adapter = dict(load_file(job.adapter))
    name = "encoder.blocks.3.attn.qkv"
    down, up = adapter[f"{name}.lora_A.default.weight"], adapter[f"{name}.lora_B.default.weight"]
    merged = before["blocks.3.attn.qkv.weight"] + job.lora_alpha / job.lora_rank * up @ down
    np.testing.assert_allclose(found["blocks.3.attn.qkv.weight"], merged, atol=1e-6)
    assert not [key for key in adapter if key.startswith("encoder.") and "lora_" not in key]
    assert Path(job.adapter).stat().st_size < Path(job.output).stat().st_size
    with pytest.raises(InstaGeoError, match="is an adapter"):
        load_predictor(job.adapter)


@pytest.mark.parametrize("name", [one.name for one in BACKBONES if one.family in (PRITHVI, TERRAMIND)])
def test_lora_trains_less_than_two_percent_of_a_backbone(name):
    inputs = (HLS,) if name.startswith("prithvi") else (replace(HLS, sensor="sentinel2", bands=SENTINEL2),)
    network = build_module(name, {}, inputs, 2) if name.endswith("tiny") else None
    if network is None:
        with torch.device("meta"):
            network = build_module(name, {}, inputs, 2)
    network.requires_grad_(False)
    add_adapters(network, FinetuneJob("chips", "m.safetensors", backbone=name))
    trained = sum(p.numel() for p in network.encoder.parameters() if p.requires_grad)
    every = sum(p.numel() for p in network.encoder.parameters() if not p.requires_grad)
    assert 0 < trained < 0.02 * every


def test_full_trains_everything_and_the_first_layers_least(optical, job_of, published, recorder):
    job = job_of(optical(), adaptation="full", learning_rate=1e-4)
    finetune(job, recorder)
    found, before = encoder_of(job.output), published[1].state_dict()
    moved = [
        float(np.abs(found[f"blocks.{i}.mlp.fc1.weight"] - before[f"blocks.{i}.mlp.fc1.weight"].numpy()).mean())
        for i in (0, 6, 11)
    ]
    assert 0 < moved[0] < moved[1] < moved[2]


def test_the_card_names_the_weights_and_the_model_predicts_as_trained(optical, job_of, published, recorder):
    folder = optical()
    job = job_of(folder, adaptation="frozen")
    finetune(job, recorder)
    predictor = load_predictor(job.output, device="cpu", precision="fp32")
    card = predictor.card
    assert card.training["pretrained"] == {
        "backbone": NAME, "file": published[0].name, "sha256": sha256_of(published[0]),
    }  # fmt: skip
    assert card.weights_licence == "Apache-2.0"
    assert card.normalisation[0].mean == (1433.0, 2734.0)
    assert str(published[0].parent) not in card.to_metadata()["instageo_model_card"]
    data = open_dataset(folder)
    chip = data.chips[0]
    shares = predictor.probabilities([data.read_image(chip, data.spec.inputs[0])[None]])
    assert shares.shape == (1, len(data.spec.class_table.classes), chip.height, chip.width)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_a_band_without_weights_is_refused_or_on_request_takes_those_of_the_nearest(optical, job_of, recorder):
    folder = optical()
    spec = folder / "dataset.json"
    spec.write_text(spec.read_text().replace('"nir08"', '"B06"').replace('"custom"', '"sentinel2"'))
    _rename_input(folder)
    with pytest.raises(InstaGeoError, match=r"'B06' \(0.74 um\) has no pretrained weights: the nearest band, red"):
        finetune(job_of(folder, adaptation="frozen", epochs=1), recorder)
    finetune(job_of(folder, adaptation="frozen", epochs=1, nearest_bands=True), recorder)
    assert recorder.warned("Bands without weights of their own start with others': B06 those of red")


def _rename_input(folder):
    rows = read_index(folder / "chips.gpkg")
    renamed = [dataclasses.replace(row, images={"sentinel2": row.images["custom"]}, dates={}) for row in rows]
    (folder / "chips.gpkg").unlink()
    write_index(folder / "chips.gpkg", renamed, [])


def test_values_of_another_range_than_in_pretraining_are_told_with_numbers(optical, job_of, recorder):
    finetune(job_of(optical(divisor=10_000), adaptation="frozen", epochs=1), recorder)
    assert recorder.warned("has other values than the weights were trained with: red ")
    assert recorder.warned("instead of 1433 +- 2178")


def test_other_units_are_refused(optical, job_of, recorder):
    with pytest.raises(InstaGeoError, match=r"'metres'; Prithvi.* was trained with 'reflectance x 10000'"):
        finetune(job_of(optical("metres"), adaptation="frozen"), recorder)


def test_random_weights_are_allowed_and_told(optical, job_of, recorder):
    finetune(job_of(optical(), weights="", adaptation="scratch", epochs=1), recorder)
    assert recorder.warned("starts from random weights")


def test_a_backbone_without_published_weights_refuses_some(optical, job_of, recorder):
    folder = optical()
    for name in ("unet", "pixels"):
        with pytest.raises(InstaGeoError, match=rf"'{name}' has no published ones(.|\n)*prithvi_v2_300m"):
            finetune(job_of(folder, backbone=name, adaptation="full"), recorder)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"adaptation": "frozen"}, "WEIGHTS is empty"), ({"weights": "w.pt"}, "scratch starts from random ones")],
)
def test_weights_and_adaptation_have_to_agree(fields, words):
    with pytest.raises(InstaGeoError, match=words):
        FinetuneJob("chips", "model.safetensors", **fields)


def test_rates_fall_towards_the_input_and_every_parameter_is_in_one_group():
    network = build_module(NAME, {"dim": 48, "depth": 3, "heads": 3}, (HLS,), 2)
    plan = Plan(2, 1, 1, learning_rate=1.0, weight_decay=0.1, patience=0, seed=0, layer_decay=0.5)
    groups = parameter_groups(network, plan)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    assert rates[id(network.head.classify.weight)] == 1
    assert rates[id(network.encoder.blocks[2].mlp.fc1.weight)] == 0.5
    assert rates[id(network.encoder.blocks[0].mlp.fc1.bias)] == 0.125
    assert rates[id(network.encoder.patch_embeds[0].proj.weight)] == 0.0625
