"""Presto with its real weights against the recorded outputs of the official implementations."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from instageo_plugin.core.models.presto import (
    BANDS,
    PixelSeries,
    PrestoEncoder,
    month_table,
    normalised,
    position_table,
    presto_weights,
)
from instageo_plugin.core.models.weights import load_weights

GOLDEN = runpy.run_path(str(Path(__file__).with_name("golden.py")))
RAW_B9 = 10  # a band of the recorded raw inputs that the model does not take
MISSING = 65535


def published(shared_data, path):
    file = shared_data.parent / "weights" / path
    if not file.is_file():
        pytest.skip(f"real weights not found: {file} is absent")
    found = torch.load(file, weights_only=True, map_location="cpu")
    return {key.removeprefix("encoder."): value for key, value in found.items() if key.startswith("encoder.")}


@pytest.fixture(scope="module")
def presto(shared_data):
    encoder = PrestoEncoder().eval()
    load_weights(encoder, presto_weights(published(shared_data, "presto/default_model.pt")), "presto")
    return GOLDEN["open_golden"](shared_data.parent, "presto"), encoder


@pytest.fixture(scope="module")
def dekadal(shared_data):
    encoder = PrestoEncoder(steps=72).eval()
    weights = presto_weights(published(shared_data, "presto_prometheo/finetuned_presto_model.pt"))
    load_weights(encoder, weights, "presto_prometheo")
    return GOLDEN["open_golden"](shared_data.parent, "presto_prometheo"), encoder


def series_of(golden, case):
    x, month = golden.input(case, "x"), golden.input(case, "month")
    months = month if month.ndim == 2 else (month[:, None] + torch.arange(x.shape[1])) % 12
    return PixelSeries(
        x, golden.input(case, "mask").bool(), months, golden.input(case, "latlons"), golden.input(case, "dynamic_world")
    )


@pytest.mark.parametrize("case", GOLDEN["case_names"]("presto"))
def test_embeddings_and_tokens_are_the_recorded_ones(presto, case):
    golden, encoder = presto
    series = series_of(golden, case)
    with torch.no_grad():
        golden.compare(case, "pooled", encoder(series))
        tokens, seen = encoder.tokens(series)
        embedded = encoder.embed(series)[0]
    recorded = golden.cases[case]["outputs"]
    if "embed" in recorded:
        golden.compare(case, "embed", embedded[seen].view(len(seen), -1, encoder.dim))
    for number in range(len(seen)):
        name = f"tokens_{number}" if f"tokens_{number}" in recorded else "tokens"
        if name in recorded:
            expected = golden.output(f"{case}.{name}")
            expected = expected if name != "tokens" else expected[number]
            np.testing.assert_allclose(tokens[number][seen[number]], expected, atol=golden.atol, rtol=1e-5)


def test_raw_values_are_normalised_as_recorded(presto):
    golden, _ = presto
    for case in golden.cases:
        raw = torch.from_numpy(golden._inputs[f"{case}.raw"])
        kept = [i for i in range(raw.shape[-1] - 1) if i != RAW_B9]
        x, missing = normalised(raw[..., kept], torch.zeros(*raw.shape[:-1], len(BANDS) - 1, dtype=torch.bool))
        np.testing.assert_allclose(x, golden.input(case, "x"), atol=1e-6)
        assert not missing.any()


def test_one_batch_of_different_gaps_equals_one_by_one(presto):
    golden, encoder = presto
    series = series_of(golden, "t12_mixed")
    with torch.no_grad():
        together = encoder(series)
        alone = [
            encoder(PixelSeries(*(getattr(series, f)[i : i + 1] for f in series.__dataclass_fields__)))
            for i in range(4)
        ]
    torch.testing.assert_close(together, torch.cat(alone), atol=5e-6, rtol=1e-5)


def test_masked_values_do_not_leak(presto):
    golden, encoder = presto
    series = series_of(golden, "t12_mixed")
    wild = torch.where(series.missing, torch.tensor(float("nan")), series.x)
    with torch.no_grad():
        assert torch.equal(encoder(series), encoder(PixelSeries(wild, *list(vars(series).values())[1:])))


@pytest.mark.parametrize("case", GOLDEN["case_names"]("presto_prometheo"))
def test_dekadal_embeddings_are_the_recorded_ones(dekadal, case):
    golden, encoder = dekadal
    x, missing = (torch.from_numpy(golden.output(f"{case}.{name}")) for name in ("x", "mask"))
    latlon, stamps = golden.input(case, "latlon"), golden.input(case, "timestamps")
    n, height, width = latlon.shape[:3]
    months = (stamps[..., 1] - 1).repeat_interleave(height * width, dim=0)
    series = PixelSeries(x, missing.bool(), months, latlon.reshape(-1, 2))
    with torch.no_grad():
        pooled = encoder(series).view(n, height, width, 1, -1)
        by_step = encoder.by_step(series).view(n, height, width, *months.shape[1:], -1)
    golden.compare(case, "global", pooled)
    golden.compare(case, "time", by_step)


@pytest.mark.parametrize("case", GOLDEN["case_names"]("presto_prometheo"))
def test_dekadal_inputs_are_normalised_as_recorded(dekadal, case):
    golden, _ = dekadal
    recorded, mask = golden.output(f"{case}.x"), golden.output(f"{case}.mask").astype(bool)
    bands = {"s1": [0, 1], "s2": list(range(2, 12)), "meteo": [12, 13], "dem": [14, 15]}
    raw = torch.full((*recorded.shape[:2], 16), float(MISSING))
    for name, places in bands.items():
        values = golden.input(case, name)
        if values is None:
            continue
        if name == "s2":
            values = values[..., [1, 2, 3, 4, 5, 6, 7, 8, 11, 12]]
        flat = values.reshape(-1, *values.shape[3:]) if name != "dem" else values.reshape(-1, 1, 2)
        raw[..., places] = flat.expand(-1, raw.shape[1], -1)
    x, missing = normalised(raw, raw == MISSING)
    assert np.array_equal(missing, mask)
    np.testing.assert_allclose(x[~missing], recorded[~mask], atol=2e-6)


def test_fixed_tables_are_those_of_the_files(shared_data):
    for path, steps in (("presto/default_model.pt", 24), ("presto_prometheo/finetuned_presto_model.pt", 72)):
        weights = published(shared_data, path)
        torch.testing.assert_close(position_table(steps), weights["pos_embed"][0], atol=1e-6, rtol=0)
        torch.testing.assert_close(month_table(), weights["month_embed.weight"], atol=1e-6, rtol=0)


def test_a_series_that_is_too_long_is_refused(presto):
    series = PixelSeries(
        torch.zeros(1, 25, 17), torch.zeros(1, 25, 17, dtype=torch.bool), torch.zeros(1, 25, dtype=torch.long),
        torch.zeros(1, 2),
    )  # fmt: skip
    with pytest.raises(ValueError, match="25 timesteps; the model takes up to 24"):
        presto[1](series)
