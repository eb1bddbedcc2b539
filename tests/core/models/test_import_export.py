"""Models that leave for other programs and come back, and what cannot."""

import dataclasses
import json
import os

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from instageo_plugin.core.contract.card import ModelCard, Normalisation
from instageo_plugin.core.contract.classes import ClassEntry, ClassTable
from instageo_plugin.core.contract.dataset import REFLECTANCE, InputSpec
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import ExportModelJob, ImportModelJob
from instageo_plugin.core.models.export_model import export_model, instageo_state
from instageo_plugin.core.models.import_model import import_model
from instageo_plugin.core.models.load import load_predictor
from instageo_plugin.core.models.modelfile import load_card, save_model
from instageo_plugin.core.models.zoo import build_module, complete_constants
from instageo_plugin.core.reporting import SilentReporter

TABLE = ClassTable((ClassEntry("w", 1, "Water"), ClassEntry("f", 2, "Forest"), ClassEntry("u", 4, "Städte")))
BANDS = ("blue", "green", "red", "nir08", "swir16", "swir22")
TINY = "prithvi_v2_tiny_tl"


class Recorder(SilentReporter):
    def __init__(self):
        self.logs = []

    def log(self, message, level="info"):
        self.logs.append((level, message))


@pytest.fixture
def saved(tmp_path):
    """A model file of fresh weights, batch statistics and biases included."""

    def make(name=TINY, bands=BANDS, timesteps=2, chip_size=64, decibel=False, **constants):
        torch.manual_seed(0)
        spec = InputSpec("hls", bands, "int16", REFLECTANCE, -9999, timesteps)
        norm = Normalisation(tuple(1000.0 + 10 * i for i in range(len(bands))), (500.0,) * len(bands), decibel)
        every = complete_constants(name, constants)
        network = build_module(name, every, (spec,), 3)
        with torch.no_grad():
            for key, value in network.state_dict().items():
                if "running_mean" in key or key.endswith("bias"):
                    value.copy_(0.1 * torch.randn_like(value))
        card = ModelCard("m", "patch", name, every, (spec,), (norm,), "segmentation", TABLE, chip_size, (30.0, 30.0),
                         "metre")  # fmt: skip
        path = tmp_path / f"{name}.safetensors"
        save_model(path, card, network.state_dict())
        return str(path), network

    return make


def chip_of(card, seed=1):
    random = np.random.default_rng(seed)
    spec = card.inputs[0]
    shape = (1, spec.timesteps, len(spec.bands), card.chip_size, card.chip_size)
    image = random.integers(100, 3000, shape).astype(np.float32)
    image[..., :9, :5] = np.nan
    return image


def run(job, function, reporter=None):
    return function(job, reporter or Recorder())


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("unet", {"width": 8, "depth": 2}),
        ("vit_tiny", {"dim": 48, "depth": 2}),
        (TINY, {"depth": 2}),
        (TINY, {"depth": 4, "head": "upernet", "head_width": 32}),
        (TINY, {"depth": 2, "head": "instageo"}),
    ],
)
def test_an_onnx_file_gives_the_same_map_as_the_model(saved, tmp_path, name, constants):
    model, _ = saved(name, **constants)
    out = str(tmp_path / "out.onnx")
    found = run(ExportModelJob(model, out), export_model)
    assert found["DIFFERENCE"] < 1e-4
    card = load_card(model)
    image = chip_of(card)
    expected = load_predictor(model, device="cpu", precision="fp32").probabilities([image])
    fed = np.nan_to_num(image.reshape(1, -1, *image.shape[-2:]), nan=-9999) / 255
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    both = session.run(None, {session.get_inputs()[0].name: np.concatenate([fed, fed]).astype(np.float32)})[0]
    assert both.shape == (2, 3, 64, 64)
    np.testing.assert_allclose(both[:1], expected, atol=2e-4)
    assert (both[0].argmax(0) == expected[0].argmax(0)).mean() > 0.999


def test_an_onnx_file_tells_deepness_what_it_needs(saved, tmp_path):
    model, _ = saved("unet", width=8, depth=2)
    out = tmp_path / "out.onnx"
    run(ExportModelJob(model, str(out)), export_model)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    read = {name: json.loads(facts[name]) for name in ("model_type", "class_names", "resolution", "tile_size")}
    assert read == {
        "model_type": "Segmentor",
        "class_names": {"0": "Water", "1": "Forest", "2": "Städte"},
        "resolution": 3000.0,
        "tile_size": 64,
    }
    [given], [result] = session.get_inputs(), session.get_outputs()
    assert given.shape[1:] == [12, 64, 64]
    assert result.shape[1:] == [3, 64, 64]
    assert json.loads(facts["instageo_model_card"])["architecture"] == "unet"
    onnx.checker.check_model(str(out))
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".onnx"] == ["out.onnx"]


def test_a_file_that_differs_from_its_model_is_not_written(saved, tmp_path, monkeypatch):
    from instageo_plugin.core.models import export_model as module

    monkeypatch.setattr(module, "LARGEST_DIFFERENCE", -1.0)
    model, _ = saved("unet", width=8, depth=2)
    with pytest.raises(InstaGeoError, match="differs from the model by"):
        run(ExportModelJob(model, str(tmp_path / "out.onnx")), export_model)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(("name", "timesteps"), [(TINY, 3), (TINY, 1), ("prithvi_v1_100m", 2)])
def test_a_checkpoint_of_the_reference_system_goes_out_and_comes_back_the_same(saved, tmp_path, name, timesteps):
    depth = {"depth": 2} if name == TINY else {}
    model, network = saved(name, timesteps=timesteps, head="instageo", **depth)
    out, back = str(tmp_path / "out.ckpt"), str(tmp_path / "back.safetensors")
    run(ExportModelJob(model, out, "instageo"), export_model)
    state = torch.load(out, weights_only=True)["state_dict"]
    dim, patch = network.encoder.dim, network.encoder.patch
    assert state["net.prithvi_encoder.patch_embed.proj.weight"].shape == (dim, 6, 1, patch, patch)
    assert state["net.prithvi_encoder.pos_embed"].shape == (1, 1 + timesteps * (224 // patch) ** 2, dim)
    assert state["net.segmentation_head.0.0.weight"].shape[0] == dim * timesteps
    if depth:
        return  # a shallow encoder is none of the zoo's
    card = load_card(model)
    fields = {"mean": card.normalisation[0].mean, "std": card.normalisation[0].std, "class_table": TABLE}
    run(ImportModelJob(out, back, name, chip_size=64, **fields), import_model)
    image = chip_of(card)
    one, two = (load_predictor(path, device="cpu", precision="fp32").probabilities([image]) for path in (model, back))
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_channels_of_the_reference_head_stand_dimension_by_dimension(saved):
    """Its head merges (dim * T): channel d * T + t, where feature maps here have t * dim + d."""
    path, network = saved(timesteps=3, head="instageo", depth=2)
    state = instageo_state(network, load_card(path))
    ours, theirs = network.head.stages[0][0].weight, state["net.segmentation_head.0.0.weight"]
    dim = network.encoder.dim
    for d, t in ((0, 0), (5, 2), (dim - 1, 1)):
        assert torch.equal(theirs[d * 3 + t], ours[t * dim + d])


def test_reference_weights_without_numbers_known_before_are_read_by_their_order(saved, tmp_path):
    _, network = saved("prithvi_v2_tiny_tl", timesteps=1, head="instageo")
    path, _ = saved("prithvi_v2_tiny_tl", timesteps=1, head="instageo")
    state = instageo_state(network, load_card(path))
    other = {key.replace("segmentation_head.5.", "segmentation_head.4.1."): value for key, value in state.items()}
    torch.save({"state_dict": {**other, "criterion.weight": torch.ones(3)}}, tmp_path / "other.ckpt")
    out = tmp_path / "model.safetensors"
    recorder = Recorder()
    run(ImportModelJob(str(tmp_path / "other.ckpt"), str(out), TINY), import_model, recorder)
    card = load_card(out)
    assert (card.inputs[0].timesteps, card.inputs[0].bands) == (1, BANDS)
    assert card.class_table.names == ("class 0", "class 1", "class 2")
    assert card.normalisation[0].mean[0] == 1087.0
    assert any(level == "warning" and "check the model card" in message for level, message in recorder.logs)


@pytest.fixture
def terratorch(tmp_path, saved):
    """A checkpoint as TerraTorch writes it: FCNDecoder of four stages, or LinearDecoder."""

    def make(kind, timesteps=1):
        constants = {"head_width": 16, "head_stages": 4, "dropout": 0.0}
        path, network = saved(timesteps=timesteps, head=f"terratorch_{kind}", **constants)
        state = {}
        for key, value in network.state_dict().items():
            name = key.replace("encoder.patch_embeds.0.", "encoder.patch_embed.")
            kernel = name.endswith("patch_embed.proj.weight")
            name = name.replace("head.stages.", "decoder.convs.").replace("head.classify.", "head.head.2.")
            name = name.replace("head.up.", "decoder.conv.")
            state[f"model.{name}"] = value.view(-1, 6, 1, 16, 16) if kernel else value
        state["model.aux_heads.one.decoder.convs.0.0.weight"] = torch.zeros(2, 2)
        torch.save({"state_dict": state, "epoch": 3}, tmp_path / f"{kind}.ckpt")
        return str(tmp_path / f"{kind}.ckpt"), path

    return make


@pytest.mark.parametrize("kind", ["fcn", "linear"])
@pytest.mark.parametrize("timesteps", [1, 2])
def test_a_checkpoint_of_terratorch_comes_in(terratorch, tmp_path, kind, timesteps):
    checkpoint, model = terratorch(kind, timesteps)
    out = str(tmp_path / "imported.safetensors")
    card = load_card(model)
    multiplied = tuple(value * 1e-4 for value in card.normalisation[0].mean)
    std = tuple(value * 1e-4 for value in card.normalisation[0].std)
    job = ImportModelJob(checkpoint, out, TINY, mean=multiplied, std=std, multiplier=1e-4, class_table=TABLE)
    run(dataclasses.replace(job, chip_size=64), import_model)
    image = chip_of(card)
    one, two = (load_predictor(path, device="cpu", precision="fp32").probabilities([image]) for path in (model, out))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_a_head_that_is_not_known_is_named(terratorch, tmp_path):
    checkpoint, _ = terratorch("fcn")
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    other = {key.replace("decoder.convs.", "decoder.fpn_convs."): value for key, value in state.items()}
    torch.save({"state_dict": other}, tmp_path / "other.ckpt")
    with pytest.raises(InstaGeoError, match=r"no head that can be imported.*model\.decoder\.fpn_convs"):
        run(ImportModelJob(str(tmp_path / "other.ckpt"), str(tmp_path / "m.safetensors"), TINY), import_model)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/instageo_was_here",)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"bands": BANDS[:4]}, "trained with 6 bands; BANDS names 4"),
        ({"class_table": ClassTable(TABLE.classes[:2])}, "CLASS_TABLE has 2 classes; the checkpoint has 3"),
        ({"mean": (1.0,), "std": (1.0,)}, "MEAN holds 1 numbers; the model has 6 bands"),
        ({"backbone": "prithvi_v2_300m"}, "dimension 192; Prithvi-EO-2.0 300M has 1024"),
        ({"backbone": "terramind_v1_tiny"}, "holds weights of Prithvi; expected TerraMind"),
        ({"backbone": "presto"}, "has no checkpoints to import"),
    ],
)
def test_what_does_not_fit_is_told(terratorch, tmp_path, fields, words):
    checkpoint, _ = terratorch("fcn")
    out = tmp_path / "m.safetensors"
    with pytest.raises(InstaGeoError, match=words):
        run(ImportModelJob(**{"input": checkpoint, "output": str(out), "backbone": TINY, **fields}), import_model)
    assert not out.exists()


def test_a_checkpoint_with_code_is_refused_and_not_run(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1)}, "hyper_parameters": Hostile()}, tmp_path / "evil.ckpt")
    with pytest.raises(InstaGeoError, match="holds more than weights"):
        run(ImportModelJob(str(tmp_path / "evil.ckpt"), str(tmp_path / "m.safetensors"), TINY), import_model)
    assert not os.path.exists("/tmp/instageo_was_here")


def test_what_a_format_cannot_hold_is_told(saved, tmp_path):
    model, _ = saved("unet", width=8, depth=2)
    with pytest.raises(InstaGeoError, match="reads Prithvi with the head 'instageo'"):
        run(ExportModelJob(model, str(tmp_path / "o.ckpt"), "instageo"), export_model)
    with pytest.raises(InstaGeoError, match=r"OUTPUT is 'o.onnx'.*ends in .ckpt"):
        ExportModelJob(model, "o.onnx", "instageo")
