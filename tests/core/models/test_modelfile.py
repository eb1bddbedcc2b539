import json
import pickle

import numpy as np
import pytest
import torch
from instageo_plugin.core.contract.card import CARD_KEY
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.models.modelfile import load_card, load_model, save_model
from safetensors import safe_open
from safetensors.numpy import save_file


@pytest.fixture
def tensors():
    strided = torch.arange(24.0).view(2, 3, 2, 2).to(memory_format=torch.channels_last)
    return {"weight": strided, "count": torch.tensor(7), "rows": np.arange(6).reshape(2, 3).T}


@pytest.fixture
def model(tmp_path, make_card, tensors):
    path = tmp_path / "model.safetensors"
    save_model(path, make_card("unet"), tensors)
    return path


def _refused(path):
    with pytest.raises(InstaGeoError) as of_card:
        load_card(path)
    with pytest.raises(InstaGeoError) as of_model:
        load_model(path)
    assert str(of_card.value) == str(of_model.value)
    assert str(path) in of_card.value.message
    assert of_card.value.hint
    return str(of_card.value)


def test_card_and_tensors_come_back(model, make_card, tensors):
    card, loaded = load_model(model)
    assert card == load_card(model) == make_card("unet")
    assert set(loaded) == set(tensors)
    for key, value in tensors.items():
        np.testing.assert_array_equal(loaded[key], np.asarray(value))
        assert loaded[key].shape == tuple(value.shape)


def test_any_reader_of_safetensors_finds_the_card(model):
    with safe_open(model, framework="numpy") as file:
        assert json.loads(file.metadata()[CARD_KEY])["architecture"] == "unet"


def test_saving_again_writes_the_same_bytes(tmp_path, make_card, tensors):
    card, path = (
        make_card("unet", name='Grünland "β"\n\x01', training={"note": "\u2028 / \\"}),
        tmp_path / "m.safetensors",
    )
    written = set()
    for _ in range(8):
        save_model(path, card, tensors)
        written.add(path.read_bytes())
        assert load_card(path) == card
    assert len(written) == 1


def test_a_failure_leaves_nothing_behind(tmp_path, make_card):
    with pytest.raises((ValueError, TypeError, InstaGeoError)):
        save_model(tmp_path / "m.safetensors", make_card("unet"), {"a": np.array(["text"], dtype=object)})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path, make_card):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InstaGeoError, match="cannot be made"):
        save_model(tmp_path / "file" / "m.safetensors", make_card("unet"), {"a": np.zeros(1)})


def test_a_missing_file_is_named(tmp_path):
    assert "does not exist" in _refused(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"short", b"just a text file, longer than a header\n" * 10])
def test_a_file_of_another_kind_is_no_model(tmp_path, content):
    path = tmp_path / "note.safetensors"
    path.write_bytes(content)
    assert "is not a model file" in _refused(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "pickle"])
def test_pickled_weights_are_recognised_and_not_opened(tmp_path, zipped):
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=zipped)
    assert "PyTorch checkpoint" in _refused(path)


def test_a_pickle_does_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    _refused(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_model_says_so(model, share):
    content = model.read_bytes()
    model.write_bytes(content[: int(len(content) * share)])
    assert "truncated or damaged" in _refused(model)


def test_safetensors_without_a_card_are_refused(tmp_path):
    path = tmp_path / "plain.safetensors"
    save_file({"a": np.zeros(2)}, path)
    assert "holds no InstaGeo model card" in _refused(path)


def _with_card(path, text):
    save_file({"a": np.zeros(2)}, path, {CARD_KEY: text})


def test_a_newer_card_asks_for_an_update_only(tmp_path, model):
    with safe_open(model, framework="numpy") as file:
        plain = json.loads(file.metadata()[CARD_KEY])
    path = tmp_path / "newer.safetensors"
    _with_card(path, json.dumps({**plain, "card_version": 2, "new_field": 1}))
    message = _refused(path)
    assert "version is 2; this version of InstaGeo reads 1" in message
    assert "Update" in message
    assert "new_field" not in message


@pytest.mark.parametrize("text", ["{", "[]", '{"name": 3}'])
def test_a_damaged_card_is_refused(tmp_path, text):
    path = tmp_path / "bad.safetensors"
    _with_card(path, text)
    with pytest.raises(InstaGeoError, match="card"):
        load_card(path)
