"""Foundation models as networks of the zoo: any size and dates, published weights, and inputs they cannot take."""

import pytest
import torch
from instageo_plugin.core.contract.dataset import REFLECTANCE, InputSpec
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import PATCH_HEADS
from instageo_plugin.core.models.context import Context
from instageo_plugin.core.models.foundation import load_pretrained, pretrained_normalisation
from instageo_plugin.core.models.normalise import normalise
from instageo_plugin.core.models.zoo import build_module

SMALL = {"dim": 48, "depth": 2, "heads": 3, "head_width": 16}
HLS = InputSpec("hls", ("red", "nir08"), "int16", REFLECTANCE, -9999, 3)
S2 = InputSpec("sentinel2", ("B04", "B08", "B12"), "int16", REFLECTANCE, -9999, 2)
RADAR = InputSpec("sentinel1", ("vv", "vh"), "float32", "linear power", "nan", 2)
DEM = InputSpec("dem", ("elevation",), "float32", "metres", "nan")
PRITHVI, TERRAMIND = "prithvi_v2_tiny_tl", "terramind_v1_tiny"


def images_of(inputs, height=32, width=48):
    torch.manual_seed(0)
    return [torch.randn(2, spec.timesteps, len(spec.bands), height, width) for spec in inputs]


def built(name, inputs, **constants):
    torch.manual_seed(1)
    return build_module(name, {**SMALL, **constants}, inputs, 4).eval()


@pytest.mark.parametrize(
    ("name", "inputs", "constants"),
    [
        (PRITHVI, (HLS,), {}),
        (PRITHVI, (HLS,), {"patch": 14}),
        (TERRAMIND, (S2,), {}),
        (TERRAMIND, (S2, DEM), {"gated": True}),
    ],
)
@pytest.mark.parametrize("size", [(32, 48), (21, 13)])
def test_any_size_and_number_of_dates(name, inputs, constants, size):
    with torch.no_grad():
        logits = built(name, inputs, **constants)(images_of(inputs, *size))
    assert logits.shape == (2, 4, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("head", PATCH_HEADS)
@pytest.mark.parametrize(("name", "inputs"), [(PRITHVI, (HLS,)), (TERRAMIND, (S2, DEM, RADAR))])
def test_every_head_on_every_encoder(name, inputs, head):
    network = built(name, inputs, head=head)
    with torch.no_grad():
        logits = network(images_of(inputs))
    assert logits.shape == (2, 4, 32, 48)
    assert logits.isfinite().all()


def test_radar_is_scaled_in_decibels():
    [_, radar] = pretrained_normalisation(TERRAMIND, (S2, RADAR))
    assert (radar.mean, radar.std, radar.decibel) == ((-10.93, -17.329), (4.391, 4.459), True)
    power = torch.tensor([0.1, 0.0]).view(1, 1, 1, 1, 2).expand(1, 2, 2, 1, 2)
    scaled = normalise(power, radar)
    assert scaled[0, 0, 0, 0].tolist() == pytest.approx([(-10 + 10.93) / 4.391, 0.0], abs=1e-5)


def test_a_model_with_coordinates_uses_time_and_place_as_far_as_they_are_known():
    network, images = built(PRITHVI, (HLS,)), images_of((HLS,))
    times = torch.tensor([[[2021.0, 5], [2021, 40], [2021, 70]], [[2021, 5], [2021, 40], [2021, 70]]])
    places = torch.tensor([[51.0, 12.0], [-3.0, 30.0]])
    later = torch.where(torch.arange(3)[:, None] == 1, times + 5, times)
    unknown = torch.full_like(times, torch.nan)
    with torch.no_grad():
        plain = network(images)
        found = [network(images, Context(*one)) for one in ((times, places), (later, places), (times, places.flip(0)))]
        assert torch.equal(network(images, Context(unknown, places * torch.nan)), plain)
        known_first = network(images, Context(torch.stack([times[0], unknown[1]]), None))
    assert all(not torch.allclose(a, b) for a, b in zip((plain, found[0], found[0]), found))
    assert torch.allclose(known_first[1], plain[1], atol=1e-6)
    assert not torch.allclose(known_first[0], plain[0])


@pytest.mark.parametrize(("name", "inputs"), [(PRITHVI, (HLS,)), (TERRAMIND, (S2, DEM))])
def test_every_input_and_timestep_counts(name, inputs):
    images = [image.requires_grad_() for image in images_of(inputs)]
    built(name, inputs).train()(images).square().mean().backward()
    for image in images:
        assert (image.grad.abs().sum(dim=(0, 2, 3, 4)) > 0).all()


def test_published_weights_fill_the_encoder_for_the_bands_at_hand(tmp_path):
    torch.manual_seed(3)
    published = build_module(PRITHVI, {}, (InputSpec("hls", tuple("abcdef"), "int16", REFLECTANCE),), 2).encoder
    weights = {f"encoder.{k}".replace("patch_embeds.0.", "patch_embed."): v for k, v in published.state_dict().items()}
    torch.save(weights, tmp_path / "p.pt")
    network = build_module(PRITHVI, {}, (HLS,), 2)
    assert len(load_pretrained(network, PRITHVI, tmp_path / "p.pt", (HLS,))) == 64
    whole = torch.zeros(1, 3, 6, 32, 32)
    part = torch.randn(1, 3, 2, 32, 32)
    whole[:, :, [2, 3]] = part
    with torch.no_grad():
        torch.testing.assert_close(network.encoder([part]), published([whole]), atol=1e-5, rtol=1e-5)


def test_statistics_are_those_of_the_weights_for_the_bands_at_hand():
    [norm] = pretrained_normalisation(PRITHVI, (HLS,))
    assert (norm.mean, norm.std) == ((1433.0, 2734.0), (2178.0, 1850.0))
    optical, ground = pretrained_normalisation(TERRAMIND, (S2, DEM))
    assert optical.mean == (1853.91, 3083.234, 1857.648)
    assert ground.std == (951.272,)


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        (PRITHVI, (HLS, DEM), "one optical input; the dataset has hls, dem"),
        (TERRAMIND, (S2, HLS), "one optical input; the dataset has sentinel2, hls"),
    ],
)
def test_inputs_that_the_model_cannot_take_are_refused(name, inputs, words):
    with pytest.raises(InstaGeoError, match=words):
        built(name, inputs)


def test_units_that_the_weights_do_not_know_are_refused():
    raw = InputSpec("custom", ("red", "nir08"), "uint16", timesteps=1)
    with pytest.raises(InstaGeoError, match=r"'as in the source'; Prithvi.*'reflectance x 10000'(.|\n)*SCALE"):
        pretrained_normalisation(PRITHVI, (raw,))
