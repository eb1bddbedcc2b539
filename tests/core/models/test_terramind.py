"""TerraMind's encoder against the recorded outputs of the official implementation."""

import runpy
from pathlib import Path

import pytest
import torch
from instageo_plugin.core.models.terramind import TerraMindEncoder, TerraMindSize, terramind_weights
from instageo_plugin.core.models.weights import load_weights

GOLDEN = runpy.run_path(str(Path(__file__).with_name("golden.py")))
NAME = "terramind_v1_tiny"


@pytest.fixture(scope="module")
def golden(shared_data):
    return GOLDEN["open_golden"](shared_data.parent, NAME)


@pytest.mark.parametrize("case", GOLDEN["case_names"](NAME))
def test_tokens_are_the_recorded_ones(golden, case):
    build = golden.cases[case]["build"]
    encoder = TerraMindEncoder(build["modalities"], TerraMindSize(192, 12, 3)).eval()
    load_weights(encoder, terramind_weights(golden.filled(), build["modalities"]), NAME)
    images = [golden.input(case, name) for name in build["modalities"]]
    wanted = golden.manifest["constants"]["feature_indices"]
    with torch.no_grad():
        golden.compare(case, "embed", encoder.embed(images))
        for number, tokens in zip(wanted, encoder.features(images, wanted)):
            merged = encoder.merged(tokens) if build["merge_method"] == "mean" else tokens
            golden.compare(case, f"feat{number}", merged)


def test_the_large_sizes_have_no_biases_and_a_gated_network():
    encoder = TerraMindEncoder(["S2L2A", "DEM"], TerraMindSize(48, 2, 3, gated=True))
    names = set(encoder.state_dict())
    assert "encoder.0.mlp.fc3.weight" in names
    assert not [name for name in names if name.endswith("bias")]
    assert encoder([torch.zeros(1, 12, 32, 48), torch.zeros(1, 1, 32, 48)]).shape == (1, 6, 48)


def test_parameters_are_as_published():
    sizes = {"tiny": (192, 12, 3, False), "small": (384, 12, 6, False), "base": (768, 12, 12, True)}
    published = {"tiny": 5.9e6, "small": 22.5e6, "base": 87.3e6}
    for name, constants in sizes.items():
        with torch.device("meta"):
            encoder = TerraMindEncoder(["S2L2A"], TerraMindSize(*constants))
        assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(published[name], rel=0.02), name
