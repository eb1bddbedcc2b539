"""From published files to encoders: real weights, subsets of bands, and files that do not fit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from instageo_plugin.core.contract.backbones import BACKBONES, GALILEO, PRITHVI, TERRAMIND, backbone
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.models.band_matching import match_bands
from instageo_plugin.core.models.checkpoints import sha256_of
from instageo_plugin.core.models.encoders import Choice, build_encoder, load_encoder

REAL = {
    "presto": "presto/default_model.pt",
    "presto_dekadal": "presto_prometheo/finetuned_presto_model.pt",
    "galileo_nano": "galileo_nano/encoder.pt",
}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def real(shared_data):
    def path(name):
        file = shared_data.parent / "weights" / REAL[name]
        if not file.is_file():
            pytest.skip(f"real weights not found: {file} is absent")
        return file

    return path


@pytest.fixture
def prithvi_file(tmp_path):
    """A file as Prithvi's are published, of a small size of the family: the tiny one."""

    def write(prefix="encoder.", **changes):
        torch.manual_seed(1)
        module = build_encoder("prithvi_v2_tiny_tl")
        found = {}
        for key, value in module.state_dict().items():
            name = key.replace("patch_embeds.0.", "patch_embed.")
            found[prefix + name] = value.view(192, 6, 1, 16, 16) if name == "patch_embed.proj.weight" else value
        found |= {f"{prefix}pos_embed": torch.zeros(1, 197, 192), "decoder.mask_token": torch.zeros(1), **changes}
        path = tmp_path / "Prithvi_tiny.pt"
        torch.save({key: value for key, value in found.items() if value is not None}, path)
        return path, module

    return write


@pytest.mark.parametrize("record", BACKBONES, ids=lambda record: record.name)
def test_parameters_are_as_published(record):
    with torch.device("meta"):
        encoder = build_encoder(record.name)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count == pytest.approx(record.parameters, rel=0.02)


@pytest.mark.parametrize("name", REAL)
def test_real_weights_load_and_their_hash_is_the_records(real, name):
    encoder, checkpoint = load_encoder(name, real(name))
    assert checkpoint.sha256 == backbone(name).weights.sha256 == sha256_of(real(name))
    assert not encoder.training
    assert not [key for key, value in encoder.state_dict().items() if value.is_meta]


@pytest.mark.parametrize("prefix", ["encoder.", "", "model.encoder.", "backbone.encoder."])
def test_a_published_prithvi_loads_whatever_stands_before_its_keys(prithvi_file, prefix):
    path, module = prithvi_file(prefix)
    encoder, _ = load_encoder("prithvi_v2_tiny_tl", path)
    image = torch.randn(1, 1, 6, 32, 32)
    with torch.no_grad():
        assert torch.equal(encoder([image]), module.eval()([image]))


def test_state_dicts_go_round(prithvi_file, tmp_path):
    path, _ = prithvi_file()
    encoder, _ = load_encoder("prithvi_v2_tiny_tl", path)
    weights = {
        f"encoder.{key}".replace("patch_embeds.0.", "patch_embed."): v for key, v in encoder.state_dict().items()
    }
    torch.save(weights, tmp_path / "again.pt")
    again, _ = load_encoder("prithvi_v2_tiny_tl", tmp_path / "again.pt")
    assert all(torch.equal(a, b) for a, b in zip(encoder.state_dict().values(), again.state_dict().values()))


def test_a_subset_of_bands_sees_what_the_whole_sees_with_the_others_at_zero(prithvi_file):
    path, _ = prithvi_file()
    whole, _ = load_encoder("prithvi_v2_tiny_tl", path)
    matches = match_bands("hls", ("swir16", "red"), backbone("prithvi_v2_tiny_tl").modalities[0])
    part, _ = load_encoder("prithvi_v2_tiny_tl", path, Choice(matches=(matches,)))
    image = torch.randn(1, 2, 6, 32, 32)
    image[:, :, [0, 1, 3, 5]] = 0
    with torch.no_grad():
        torch.testing.assert_close(part([image[:, :, [4, 2]]]), whole([image]), atol=1e-5, rtol=1e-5)


def test_terramind_takes_a_subset_too(tmp_path):
    torch.manual_seed(0)
    module = build_encoder("terramind_v1_tiny")
    key = "encoder_embeddings.untok_sen2l2a@224."
    torch.save(
        {name.replace("encoder_embeddings.0.", key): v for name, v in module.state_dict().items()}, tmp_path / "t.pt"
    )
    matches = match_bands("sentinel2", ("B12", "B02"), backbone("terramind_v1_tiny").modalities[0])
    part, _ = load_encoder("terramind_v1_tiny", tmp_path / "t.pt", Choice(matches=(matches,)))
    image = torch.zeros(1, 12, 32, 32)
    image[:, [11, 1]] = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(part([image[:, [11, 1]]]), module.eval()([image]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("terramind_v1_tiny", "holds weights of Prithvi; expected TerraMind 1.0 tiny"),
        ("presto", "holds weights of Prithvi; expected Presto"),
        ("prithvi_v2_300m", r"dimension 192; Prithvi-EO-2\.0 300M has 1024(.|\n)*fits prithvi_v2_tiny_tl"),
    ],
)
def test_weights_of_another_family_or_size_are_named(prithvi_file, name, words):
    path, _ = prithvi_file()
    with pytest.raises(InstaGeoError, match=words):
        load_encoder(name, path)


def test_all_keys_that_do_not_fit_are_in_one_message(prithvi_file):
    path, _ = prithvi_file(
        **{
            "encoder.blocks.3.norm1.weight": None,
            "encoder.surplus": torch.ones(1),
            "encoder.blocks.2.mlp.fc1.bias": torch.ones(7),
        }
    )
    with pytest.raises(InstaGeoError) as raised:
        load_encoder("prithvi_v2_tiny_tl", path)
    for words in (
        "missing weights: blocks.3.norm1.weight",
        "unexpected weights: surplus",
        "blocks.2.mlp.fc1.bias (7,)",
    ):
        assert words in str(raised.value)


def test_every_record_is_whole():
    names = [record.name for record in BACKBONES]
    assert len(set(names)) == len(names) == 16
    for record in BACKBONES:
        assert record.licence
        assert record.citation
        assert record.weights.file
        if record.family in (PRITHVI, TERRAMIND):
            for one in record.modalities:
                assert len(one.bands) == len(one.mean) == len(one.std) == len(one.wavelengths_um)
        if record.family == GALILEO:
            assert record.weights.revision


MEASURE = """
import resource, sys
sys.path.insert(0, {tests!r})
import conftest
from instageo_plugin.core.models.encoders import load_encoder
from instageo_plugin.core.models import prithvi
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
encoder, _ = load_encoder("prithvi_v2_300m", {path!r})
size = sum(p.numel() * p.element_size() for p in encoder.parameters()) / 1024
checked = sum(float(p.sum()) for p in encoder.parameters())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / size)
"""


def test_loading_takes_the_weights_memory_once(tmp_path):
    rng = np.random.default_rng(0)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in build_encoder("prithvi_v2_300m").state_dict().items()}
    weights = {
        f"encoder.{key.replace('patch_embeds.0.', 'patch_embed.')}": torch.from_numpy(
            rng.random(int(np.prod(shape)), dtype=np.float32)
        ).view(*((1024, 6, 1, 16, 16) if key == "patch_embeds.0.proj.weight" else shape))
        for key, shape in shapes.items()
    }
    path = tmp_path / "Prithvi_EO_V2_300M.pt"
    torch.save(weights, path)
    del weights
    program = MEASURE.format(tests=str(ROOT / "tests"), path=str(path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) < 1.3
