import numpy as np
import pytest
import torch
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.models import mixed
from instageo_plugin.core.models.device import choose_device
from instageo_plugin.core.models.forest import forest_from_sklearn
from instageo_plugin.core.models.load import load_predictor
from instageo_plugin.core.models.modelfile import save_model
from instageo_plugin.core.models.normalise import normalise
from instageo_plugin.core.models.pixels import pixel_features
from instageo_plugin.core.models.zoo import build_module
from sklearn.ensemble import RandomForestClassifier

SMALL = {"unet": {"width": 4, "depth": 2}, "vit_tiny": {"dim": 32, "depth": 2, "heads": 2, "head_width": 16}}


@pytest.fixture
def images():
    """Two chips of the card's inputs, with a gap: (2, 2, 3, 24, 16) and (2, 1, 1, 24, 16)."""
    generator = np.random.default_rng(0)
    optical = generator.normal(100, 50, (2, 2, 3, 24, 16)).astype(np.float32)
    static = generator.normal(100, 50, (2, 1, 1, 24, 16)).astype(np.float32)
    optical[0, 1, :, 3:6, 2:5] = np.nan
    return [optical, static]


@pytest.fixture
def saved(tmp_path, make_card):
    """Saves a network with fresh weights; gives its path, card and module."""

    def save(name):
        card = make_card(name, SMALL[name])
        torch.manual_seed(0)
        module = build_module(name, card.constants, card.inputs, 3).eval()
        path = tmp_path / f"{name}.safetensors"
        save_model(path, card, module.state_dict())
        return path, card, module

    return save


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_network_predicts_from_its_file_as_it_did_before(name, saved, images):
    path, card, module = saved(name)
    predictor = load_predictor(path, device="cpu", precision="fp32")
    probabilities = predictor.probabilities(images)
    with torch.no_grad():
        batch = [normalise(torch.from_numpy(x), n) for x, n in zip(images, card.normalisation, strict=True)]
        expected = module(batch).softmax(1).numpy()
    assert probabilities.shape == (2, 3, 24, 16)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(predictor.probabilities(images), probabilities)
    assert predictor.card == card
    assert (predictor.receptive_radius_px, predictor.stride_px) == (module.receptive_radius_px, module.stride_px)


def test_input_may_be_read_only_or_a_view(saved, images):
    predictor = load_predictor(saved("unet")[0], device="cpu", precision="fp32")
    expected = predictor.probabilities(images)
    flipped = [np.ascontiguousarray(x[..., ::-1])[..., ::-1] for x in images]
    for x in flipped:
        x.setflags(write=False)
    assert np.array_equal(predictor.probabilities(flipped), expected)


def test_a_forest_predicts_pixel_by_pixel(tmp_path, make_card, images, recorder):
    card = make_card("pixels")
    samples = pixel_features(images)
    assert np.array_equal(samples[16 * 3 + 2, 3:6], images[0][0, 1, :, 3, 2], equal_nan=True)
    estimator = RandomForestClassifier(10, random_state=0).fit(samples, np.arange(len(samples)) % 3)
    path = tmp_path / "pixels.safetensors"
    save_model(path, card, forest_from_sklearn(estimator, classes=3).to_tensors())
    predictor = load_predictor(path, reporter=recorder)
    expected = estimator.predict_proba(samples).reshape(2, 24, 16, 3).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(predictor.probabilities(images), expected, atol=1e-6)
    assert (predictor.receptive_radius_px, predictor.stride_px) == (0, 1)
    assert recorder.logs


def test_a_forest_that_does_not_fit_its_card_is_refused(tmp_path, make_card):
    samples = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    estimator = RandomForestClassifier(2, random_state=0).fit(samples, np.arange(30) % 2)
    path = tmp_path / "pixels.safetensors"
    save_model(path, make_card("pixels"), forest_from_sklearn(estimator).to_tensors())
    with pytest.raises(InstaGeoError, match=r"(?s)2 problems.*4 features.*7 bands.*2 classes.*has 3"):
        load_predictor(path)


def test_weights_that_do_not_fit_are_named_all_at_once(tmp_path, make_card, saved):
    _, card, module = saved("unet")
    weights = dict(module.state_dict())
    weights["head.weight"] = torch.zeros(9, 4, 1, 1)
    del weights["head.bias"]
    weights["extra"] = torch.zeros(1)
    save_model(tmp_path / "m.safetensors", card, weights)
    with pytest.raises(InstaGeoError) as raised:
        load_predictor(tmp_path / "m.safetensors")
    text = str(raised.value)
    for expected in ("1 missing weights: head.bias", "1 unexpected weights: extra", "(9, 4, 1, 1), expected (3, 4"):
        assert expected in text


def test_an_architecture_of_a_later_version_is_refused(tmp_path, make_card):
    card = make_card("unet", architecture="resnet", constants={})
    save_model(tmp_path / "m.safetensors", card, {"a": np.zeros(1)})
    with pytest.raises(InstaGeoError, match="no backbone 'resnet'"):
        load_predictor(tmp_path / "m.safetensors")


def test_a_card_with_the_wrong_kind_is_refused(tmp_path, make_card):
    save_model(tmp_path / "m.safetensors", make_card("unet", kind="pixel"), {"a": np.zeros(1)})
    with pytest.raises(InstaGeoError, match="pixel model; it is a patch model"):
        load_predictor(tmp_path / "m.safetensors")


def test_bfloat16_is_kept_where_it_agrees_and_said(saved, images, recorder):
    path, _, _ = saved("vit_tiny")
    exact = load_predictor(path, device="cpu", precision="fp32").probabilities(images)
    predictor = load_predictor(path, device="cpu", precision="bf16", reporter=recorder)
    reduced = predictor.probabilities(images)
    assert predictor.precision == "bf16"
    assert 0 < np.abs(reduced - exact).max() <= 0.02
    assert any("bfloat16 differs from float32 by at most" in message for _, message in recorder.logs)
    assert np.array_equal(predictor.probabilities(images), reduced)


def test_bfloat16_that_is_wrong_falls_back_to_float32_with_a_warning(saved, images, recorder, monkeypatch):
    path, _, _ = saved("vit_tiny")
    exact = load_predictor(path, device="cpu", precision="fp32").probabilities(images)
    monkeypatch.setattr(mixed, "LARGEST_PROBABILITY_DIFFERENCE", -1.0)
    predictor = load_predictor(path, device="cpu", precision="bf16", reporter=recorder)
    assert np.array_equal(predictor.probabilities(images), exact)
    assert predictor.precision == "fp32"
    assert [level for level, _ in recorder.logs].count("warning") == 1


@pytest.mark.parametrize("pays", [True, False])
def test_automatic_precision_follows_the_hardware(saved, monkeypatch, pays):
    monkeypatch.setattr(mixed, "bfloat16_pays", lambda device: pays)
    predictor = load_predictor(saved("unet")[0], device="cpu")
    assert predictor.precision == ("bf16" if pays else "fp32")


def test_a_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InstaGeoError, match=r"DEVICE is 'cuda'.*it has.*cpu"):
        choose_device("cuda")
    device, words = choose_device("cpu")
    assert device.type == "cpu"
    assert "threads" in words
