import hashlib

import numpy as np
import pytest
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.core.contract.jobs import ModelInfoJob
from instageo_plugin.core.models.info import model_info
from instageo_plugin.core.models.modelfile import save_model


@pytest.fixture
def model(tmp_path, make_card):
    card = make_card(
        "unet",
        name="maize <b>",
        parameters=1234,
        macs=5678,
        metrics={"split": "test", "miou": 0.81239, "iou": {"water": 0.9}},
        training={"seed": 3, "classes": [1, 2]},
    )
    path = tmp_path / "m.safetensors"
    save_model(path, card, {"a": np.zeros(3)})
    return path


def test_the_page_shows_the_card(tmp_path, model, recorder):
    page = tmp_path / "card.html"
    outputs = model_info(ModelInfoJob(str(model), str(page)), recorder)
    assert outputs == {"OUTPUT_HTML": str(page), "PARAMETERS": 1234, "BACKBONE": "unet"}
    text = page.read_text(encoding="utf-8")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    for shown in ("maize &lt;b&gt;", "Small U-Net", "1 234", "5 678", "0.8124", "iou.water", "blue", "elevation",
                  "forest", "32 x 32 pixels of 10 x 10 metre", "2 timesteps", digest):  # fmt: skip
        assert shown in text
    assert "has not been measured" not in text
    assert recorder.shares[-1] == 1.0
    assert recorder.artifacts == [("OUTPUT_HTML", str(page))]


def test_without_a_page_the_figures_come_back(model, recorder):
    assert model_info(ModelInfoJob(str(model)), recorder)["PARAMETERS"] == 1234


def test_a_file_that_is_no_model_writes_no_page(tmp_path, recorder):
    (tmp_path / "m.safetensors").write_text("a text, not a model")
    with pytest.raises(InstaGeoError, match="is not a model file"):
        model_info(ModelInfoJob(str(tmp_path / "m.safetensors"), str(tmp_path / "card.html")), recorder)
    assert not (tmp_path / "card.html").exists()
