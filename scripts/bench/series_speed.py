#!/usr/bin/env python3
"""How fast Presto embeds pixel series of 12 months on two threads, every band given.

    "$INSTAGEO_PYTHON" scripts/bench/series_speed.py

Prints pixels a second in float32 and in bfloat16, in which prediction and frozen training run where the processor has
instructions for it, the relative difference of the embeddings, and both as multiples of the 870 pixels a second that
the published code reaches (the bar: 8 times). The median of five runs of 4,096 pixels; the machine's noise shows in
the spread.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("INSTAGEO_SHARED", ROOT.parent / "shared"))
WEIGHTS = SHARED / "weights" / "presto" / "default_model.pt"
PUBLISHED, BAR = 870, 8
PIXELS, STEPS, RUNS = 4096, 12, 5


def main() -> int:
    """Exit status 1 when the bar is missed or the embeddings differ by more than bfloat16 may."""
    runpy.run_path(str(ROOT / "core" / "start.py"))  # registers the package
    from instageo_plugin.core.models.encoders import load_encoder
    from instageo_plugin.core.models.mixed import LARGEST_RELATIVE_DIFFERENCE
    from instageo_plugin.core.models.series import SeriesContext, SeriesNetwork
    from instageo_plugin.core.models.series_predictor import PIXELS_AT_ONCE

    torch.set_num_threads(2)
    network = SeriesNetwork(load_encoder("presto", WEIGHTS)[0], torch.nn.Identity()).eval()
    generator = torch.Generator().manual_seed(0)
    typical = torch.tensor([-12.0, -18.0] + [1500.0] * 10 + [285.0, 0.05, 300.0, 5.0])
    raw = typical * (0.8 + 0.4 * torch.rand(PIXELS, STEPS, 16, generator=generator))
    months = torch.arange(STEPS).expand(PIXELS, -1)
    places = 40 + torch.rand(PIXELS, 2, generator=generator)

    def embedded(bfloat16: bool) -> torch.Tensor:
        parts = []
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            for at in range(0, PIXELS, PIXELS_AT_ONCE):
                part = slice(at, at + PIXELS_AT_ONCE)
                parts.append(network.embed(raw[part], SeriesContext(months[part], places[part])).float())
        return torch.cat(parts)

    found = {}
    for name, bfloat16 in (("float32", False), ("bfloat16", True)):
        embedded(bfloat16)
        rates = []
        for _ in range(RUNS):
            started = time.perf_counter()
            embedded(bfloat16)
            rates.append(PIXELS / (time.perf_counter() - started))
        found[name] = float(np.median(rates))
        print(f"{name:9s} {found[name]:6.0f} pixels/s ({min(rates):.0f} to {max(rates):.0f}), "
              f"{found[name] / PUBLISHED:.1f} x {PUBLISHED}")  # fmt: skip
    exact, reduced = embedded(False), embedded(True)
    difference = float((reduced - exact).norm() / exact.norm())
    print(f"bfloat16 differs by {difference:.2e} of the embeddings' norm (allowed: {LARGEST_RELATIVE_DIFFERENCE:g})")
    return int(max(found.values()) < BAR * PUBLISHED or difference > LARGEST_RELATIVE_DIFFERENCE)


if __name__ == "__main__":
    sys.exit(main())
