"""Published weights in all the forms they come in, and files that are not what they seem."""

import os
import pickle
import zipfile

import pytest
import torch
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.models.checkpoints import open_checkpoint, sha256_of, stripped
from safetensors.torch import save_file

WEIGHTS = {"encoder.a.weight": torch.arange(6.0).view(2, 3), "decoder.a.weight": torch.ones(2)}


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS, "epoch": 3},
        {"model": {"state_dict": WEIGHTS}},
        {"epoch": 1, "model_state_dict": WEIGHTS, "optimizer": {"state": {}}},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_come_out_of_what_is_around_them(tmp_path, content, zipped):
    path = tmp_path / "weights.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    checkpoint = open_checkpoint(path)
    assert set(checkpoint.tensors) == set(WEIGHTS)
    assert torch.equal(checkpoint.tensors["encoder.a.weight"], WEIGHTS["encoder.a.weight"])
    assert checkpoint.sha256 == sha256_of(path)


def test_safetensors_are_read(tmp_path):
    save_file(WEIGHTS, tmp_path / "weights.safetensors")
    assert torch.equal(open_checkpoint(tmp_path / "weights.safetensors").tensors["decoder.a.weight"], torch.ones(2))


@pytest.mark.parametrize(("prefix", "expected"), [("", "a.weight"), ("model.encoder.", "a.weight")])
def test_the_prefix_before_a_known_key_is_taken_off(tmp_path, prefix, expected):
    torch.save(
        {f"{prefix}a.weight": torch.ones(1), f"{prefix}b": torch.ones(1), "other": torch.ones(1)}, tmp_path / "w.pt"
    )
    found = stripped(open_checkpoint(tmp_path / "w.pt"), "a.weight", "Model")
    assert expected in found
    assert ("other" in found) is (prefix == "")


def test_a_decoder_is_not_taken_for_the_encoder(tmp_path):
    torch.save({"decoder.a.weight": torch.zeros(1), "encoder.a.weight": torch.ones(1)}, tmp_path / "w.pt")
    assert stripped(open_checkpoint(tmp_path / "w.pt"), "a.weight", "Model") == {"a.weight": torch.ones(1)}


class _Code:
    """What a malicious pickle holds."""

    def __init__(self, target):
        self._target = target

    def __reduce__(self):
        return os.mkdir, (self._target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_never_run(tmp_path, zipped):
    path, trap = tmp_path / "evil.pt", tmp_path / "trap"
    if zipped:
        torch.save({"a": torch.ones(1), "b": _Code(str(trap))}, path)
    else:
        path.write_bytes(pickle.dumps({"a": _Code(str(trap))}))
    with pytest.raises(InstaGeoError, match=r"holds more than weights(.|\n)*can run code"):
        open_checkpoint(path)
    assert not trap.exists()


def _cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_truncated_file_is_named_with_its_size(tmp_path, suffix):
    path = tmp_path / f"w.{suffix}"
    large = {"a": torch.rand(100, 100)}
    save_file(large, path) if suffix == "safetensors" else torch.save(large, path)
    _cut(path)
    with pytest.raises(InstaGeoError, match=rf"w\.{suffix} \({path.stat().st_size} bytes\) is truncated, damaged"):
        open_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"<html>not found</html>"])
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(InstaGeoError, match="no checkpoint"):
        open_checkpoint(tmp_path / "w.pt")


def test_a_file_without_weights_and_one_that_is_not_there(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(InstaGeoError, match="holds no weights"):
        open_checkpoint(tmp_path / "w.pt")
    with pytest.raises(InstaGeoError, match="does not exist"):
        open_checkpoint(tmp_path / "nothing.pt")
    assert zipfile.is_zipfile(tmp_path / "w.pt")
