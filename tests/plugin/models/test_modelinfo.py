"""Model info as a user runs it."""

import pytest


def test_the_card_is_a_page_with_the_classes(run, trained, out):
    page = out / "card.html"
    outputs = run("modelinfo", MODEL=str(trained / "model.safetensors"), OUTPUT_HTML=str(page))
    assert outputs["BACKBONE"] == "pixels"
    assert outputs["PARAMETERS"] > 0
    assert "Open water" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("damage", ["half a model", "another format", "a pickle", "no card", "nothing at all"])
def test_a_file_that_is_no_model_is_refused(refusal, broken_model, out, damage):
    path, words = broken_model(damage)
    message = refusal("modelinfo", MODEL=path, OUTPUT_HTML=str(out / "card.html"))
    assert words in message
    assert path in message
    assert "\n" in message  # the remedy
    assert list(out.iterdir()) == []


def test_a_lost_file_is_refused_by_name(refusal, out):
    message = refusal("modelinfo", MODEL=str(out / "lost.safetensors"), OUTPUT_HTML=str(out / "card.html"))
    assert "lost.safetensors" in message
    assert list(out.iterdir()) == []
