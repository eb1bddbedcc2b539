"""The encoder against recorded outputs of the published Prithvi-EO-2.0 tiny architecture (see the manifest)."""

import json
import zlib

import numpy as np
import pytest
import torch
from instageo_plugin.core.models.vit import PatchEmbed, VisionTransformer


@pytest.fixture(scope="module")
def golden(request):
    folder = request.getfixturevalue("shared_data").parent / "golden" / "prithvi_v2_tiny_tl"
    if not folder.is_dir():
        pytest.skip(f"recorded outputs not found: {folder} is absent")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return manifest, np.load(folder / "input.npz"), np.load(folder / "output.npz")


def _filled(key, shape, role):
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    values = generator.standard_normal(int(np.prod(shape))).astype(np.float32).reshape(shape) * np.float32(0.02)
    return values + np.float32(1) if role == "rule+1" else values


def _encoder(manifest):
    encoder = VisionTransformer([6], 192, 12, 3, 16, trained_grid=(14, 14)).eval()
    weights = {}
    for entry in manifest["state_dict"]:
        key = entry["key"].removeprefix("encoder.")
        if key == entry["key"] or not entry["role"].startswith("rule") or "_embed_enc" in key:
            continue
        value = torch.from_numpy(_filled(entry["key"], entry["shape"], entry["role"]))
        patch = key == "patch_embed.proj.weight"
        weights[key.replace("patch_embed.", "patch_embeds.0.")] = value.flatten(1) if patch else value
    encoder.load_state_dict(weights)
    return encoder


@pytest.mark.parametrize(("case", "frames"), [("t1_224", 1), ("t3_224", 3)])
def test_the_encoder_gives_the_recorded_tokens(golden, case, frames):
    manifest, inputs, outputs = golden
    encoder = _encoder(manifest)
    images = [torch.from_numpy(inputs["a.x"][:, :, :frames]).transpose(1, 2)]
    shown = outputs[f"{case}.tokens_index"]
    with torch.no_grad():
        for name, tokens in (("embed", encoder.embed(images)), ("feat11", encoder(images))):
            np.testing.assert_allclose(tokens[:, shown], outputs[f"{case}.{name}.tok"], atol=5e-5, rtol=1e-5)
            norms = tokens.norm(dim=-1)
            np.testing.assert_allclose(norms, outputs[f"{case}.{name}.l2"], atol=5e-4, rtol=1e-5)


def test_patches_are_those_of_a_convolution():
    torch.manual_seed(0)
    embed = PatchEmbed(bands=5, dim=7, patch=4)
    x = torch.randn(2, 3, 5, 8, 12)  # (N, T, C, H, W)
    weight = embed.proj.weight.view(7, 5, 1, 4, 4)
    expected = torch.nn.functional.conv3d(x.transpose(1, 2), weight, embed.proj.bias, stride=(1, 4, 4))
    torch.testing.assert_close(embed(x), expected.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_bfloat16_patches_stay_close_to_float32():
    embed, x = PatchEmbed(6, 16, 16), torch.ones(1, 1, 6, 64, 64)
    torch.nn.init.ones_(embed.proj.weight)
    torch.nn.init.zeros_(embed.proj.bias)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert (embed(x) == 1536).all()


def test_order_of_timesteps_and_place_matter():
    torch.manual_seed(0)
    encoder = VisionTransformer([2], 32, 2, 2, 4).eval()
    x = torch.randn(1, 3, 2, 8, 8)
    with torch.no_grad():
        tokens = encoder([x])
        assert not torch.allclose(encoder([x.flip(1)])[:, 0], tokens[:, 0], atol=1e-6)
        assert tokens.shape == (1, 1 + 3 * 4, 32)


def test_inputs_of_equal_content_are_told_apart():
    torch.manual_seed(0)
    encoder = VisionTransformer([2, 2], 32, 1, 2, 4).eval()
    x = torch.randn(1, 1, 2, 8, 8)
    encoder.patch_embeds[1].load_state_dict(encoder.patch_embeds[0].state_dict())
    with torch.no_grad():
        tokens = encoder.embed([x, x])[:, 1:].view(2, 4, 32)
    assert not torch.allclose(tokens[0], tokens[1])
