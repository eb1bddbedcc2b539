"""Prithvi's encoders against the recorded outputs of the official implementation."""

import runpy
from pathlib import Path

import pytest
import torch
from instageo_plugin.core.models.context import Context
from instageo_plugin.core.models.prithvi import PrithviEncoder, PrithviSize, prithvi_weights
from instageo_plugin.core.models.weights import load_weights

GOLDEN = runpy.run_path(str(Path(__file__).with_name("golden.py")))
SIZES = {
    "prithvi_v1_100m": (PrithviSize(768, 12, 12), False),
    "prithvi_v2_tiny_tl": (PrithviSize(192, 12, 3), True),
    "prithvi_v2_300m_tl": (PrithviSize(1024, 24, 16), True),
}
FEATURES = {"prithvi_v2_300m_tl": (5, 11, 17, 23)}


@pytest.fixture(scope="module")
def encoders(shared_data):
    """Encoders with filled weights, by name."""
    made = {}

    def encoder(name):
        if name not in made:
            golden = GOLDEN["open_golden"](shared_data.parent, name)
            size, coordinates = SIZES[name]
            module = PrithviEncoder(6, size, coordinates).eval()
            published = {key.removeprefix("encoder."): value for key, value in golden.filled().items()}
            load_weights(module, prithvi_weights(published), name)
            made.clear()  # one at a time: the large one takes a gigabyte
            made[name] = golden, module
        return made[name]

    return encoder


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in SIZES for case in GOLDEN["case_names"](name)])
def test_tokens_are_the_recorded_ones(encoders, name, case):
    golden, encoder = encoders(name)
    images = [golden.input(case, "x").transpose(1, 2)]
    context = Context(golden.input(case, "temporal_coords"), golden.input(case, "location_coords"))
    wanted = golden.manifest["constants"]["feature_indices"]
    with torch.no_grad():
        golden.compare(case, "embed", encoder.embed(images, context))
        for number, tokens in zip(wanted, encoder.features(images, wanted, context)):
            golden.compare(case, f"feat{number}", tokens)
