"""Recorded inputs and outputs of the official implementations: reading them, filling weights by their rule, comparing.

The rule and the tolerances are those of the folder's README.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

RTOL = 1e-5


class Golden:
    """One model's vectors."""

    def __init__(self, folder):
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self._inputs, self._outputs = np.load(folder / "input.npz"), np.load(folder / "output.npz")
        self.cases = {case["name"]: case for case in self.manifest["cases"]}
        self.atol = self.manifest["tolerance"]["atol"]

    def input(self, case, name):
        """An argument of a case as a tensor, None where it is not given."""
        wanted = self.cases[case]["inputs"].get(name)
        if wanted is None:
            return None
        array = self._inputs[wanted["npz"]]
        if "frames" in wanted:
            first, end = wanted["frames"]
            array = array[:, :, first:end] if array.ndim == 5 else array[:, first:end]
        return torch.from_numpy(np.ascontiguousarray(array))

    def output(self, name):
        return self._outputs[name]

    def filled(self):
        """The published state dict, filled by the rule and checked against the recorded sums."""
        found = {}
        for entry in self.manifest["state_dict"]:
            if entry["role"].startswith("rule"):
                value = filled(entry["key"], entry["shape"], entry["role"])
                assert f"{zlib.crc32(value.tobytes()):08x}" == entry["crc32"]
                found[entry["key"]] = torch.from_numpy(value)
        return found

    def compare(self, case, name, found):
        """Tokens (N, L, D), or a plain array, against what is recorded."""
        found = found.numpy()
        key = f"{case}.{name}"
        if key in self._outputs:
            np.testing.assert_allclose(found, self._outputs[key], atol=self.atol, rtol=RTOL)
            return
        index = f"{key}.tokens_index"
        shown = self._outputs[index if index in self._outputs else f"{case}.tokens_index"]
        np.testing.assert_allclose(found[:, shown], self._outputs[f"{key}.tok"], atol=self.atol, rtol=RTOL)
        np.testing.assert_allclose(found.mean(axis=1), self._outputs[f"{key}.mean"], atol=self.atol, rtol=RTOL)
        # A norm adds up what all dimensions are off by.
        scale = np.sqrt(found.shape[-1])
        norms = np.linalg.norm(found, axis=-1)
        np.testing.assert_allclose(norms, self._outputs[f"{key}.l2"], atol=scale * self.atol, rtol=RTOL)


def filled(key, shape, role):
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    values = generator.standard_normal(int(np.prod(shape))).astype(np.float32).reshape(shape) * np.float32(0.02)
    return values + np.float32(1) if role == "rule+1" else values


def open_golden(shared, name):
    folder = Path(shared) / "golden" / name
    if not folder.is_dir():
        pytest.skip(f"recorded outputs not found: {folder} is absent")
    return Golden(folder)


def case_names(name):
    """Names of the recorded cases, for parametrising; one that skips where they are absent."""
    import os

    root = Path(os.environ.get("INSTAGEO_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    path = root / "golden" / name / "manifest.json"
    return [case["name"] for case in json.loads(path.read_text())["cases"]] if path.is_file() else ["absent"]
