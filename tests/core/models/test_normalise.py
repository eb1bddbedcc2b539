import torch
from instageo_plugin.core.contract.card import Normalisation
from instageo_plugin.core.models.normalise import normalise


def test_each_band_by_its_own_figures_and_no_data_becomes_the_mean():
    x = torch.tensor([[10.0, 200.0], [float("nan"), 400.0], [30.0, float("inf")]]).view(1, 3, 2, 1, 1)
    result = normalise(x, Normalisation((10.0, 200.0), (10.0, 100.0)))
    expected = torch.tensor([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0]]).view(1, 3, 2, 1, 1)
    assert torch.equal(result, expected)
