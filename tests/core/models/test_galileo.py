"""Galileo nano with its real weights against the recorded outputs of the official implementation."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from instageo_plugin.core.models.galileo import (
    SPACE,
    SPACE_TIME,
    STATIC,
    TIME,
    GalileoEncoder,
    GalileoInput,
    GalileoSize,
    galileo_weights,
    resizing,
    sincos,
)
from instageo_plugin.core.models.presto import month_table, without_unseen
from instageo_plugin.core.models.weights import load_weights

GOLDEN = runpy.run_path(str(Path(__file__).with_name("golden.py")))
NAME = "galileo_nano"
KINDS = {SPACE_TIME: "s_t", SPACE: "sp", TIME: "t", STATIC: "st"}


@pytest.fixture(scope="module")
def published(shared_data):
    file = shared_data.parent / "weights" / NAME / "encoder.pt"
    if not file.is_file():
        pytest.skip(f"real weights not found: {file} is absent")
    return torch.load(file, weights_only=True, map_location="cpu")


@pytest.fixture(scope="module")
def galileo(shared_data, published):
    encoder = GalileoEncoder(GalileoSize(128, 4, 8)).eval()
    load_weights(encoder, galileo_weights(published), NAME)
    return GOLDEN["open_golden"](shared_data.parent, NAME), encoder


def input_of(golden, case):
    settings = golden.cases[case]
    return GalileoInput(
        {kind: golden.input(case, f"{name}_x") for kind, name in KINDS.items()},
        {kind: golden.input(case, f"{name}_m").bool() for kind, name in KINDS.items()},
        golden.input(case, "months"),
        settings["patch_size"],
        settings["input_resolution_m"],
    )


@pytest.mark.parametrize("case", GOLDEN["case_names"](NAME))
def test_tokens_and_averages_are_the_recorded_ones(galileo, case):
    golden, encoder = galileo
    given = input_of(golden, case)
    with torch.no_grad():
        entering, found = encoder.embed(given), encoder(given)
    tokens = torch.cat([part.flatten(1, -2) for part in entering.tokens.values()], dim=1)
    seen = torch.cat([part.flatten(1) for part in entering.seen.values()], dim=1)
    few, known = without_unseen(tokens, seen)
    golden.compare(case, "block0_in", few * known[..., None])
    for kind, name in KINDS.items():
        if name in golden.cases[case]["outputs"]:
            golden.compare(case, name, found.tokens[kind].flatten(1, -2))
    golden.compare(case, "avg", found.mean())
    golden.compare(case, "per_patch", found.by_patch())


def test_fixed_tables_are_those_of_the_file(published):
    torch.testing.assert_close(sincos(32, np.arange(24)), published["pos_embed"], atol=2e-6, rtol=0)
    torch.testing.assert_close(month_table(32), published["month_embed.weight"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("patch", [1, 2, 4, 6, 7])
def test_a_kernel_made_for_shrunk_patches_comes_back(patch):
    torch.manual_seed(0)
    kernel = torch.randn(patch * patch)
    basis = torch.eye(64).view(-1, 1, 8, 8)
    shrink = torch.nn.functional.interpolate(basis, size=(patch, patch), mode="bicubic", antialias=True)
    # On 8 x 8 patches the matrix, transposed, does what `kernel` does on shrunk ones.
    torch.testing.assert_close(resizing(patch) @ (shrink.view(64, -1) @ kernel), kernel, atol=1e-4, rtol=1e-4)


def test_masked_values_do_not_leak(galileo):
    golden, encoder = galileo
    given = input_of(golden, "img16_p4_t4_all_masks")
    wild = dict(given.values)
    gone = given.missing[TIME][..., 2]
    wild[TIME] = wild[TIME].clone()
    wild[TIME][..., 5] = torch.where(gone, torch.tensor(1e6), wild[TIME][..., 5])
    with torch.no_grad():
        other = encoder(GalileoInput(wild, given.missing, given.months, given.patch, given.pixel_m))
        assert torch.equal(encoder(given).mean(), other.mean())


def test_what_the_model_cannot_take_is_refused(galileo):
    golden, encoder = galileo
    given = input_of(golden, "img32_p8_t3_s1s2")
    with pytest.raises(ValueError, match="whole patches of 5"):
        encoder(GalileoInput(given.values, given.missing, given.months, 5))
