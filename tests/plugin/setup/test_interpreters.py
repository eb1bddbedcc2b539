"""Which Python makes the environment."""

import sys

from instageo_plugin.core.contract.launch import process_environment
from instageo_plugin.processing_algorithms.setup import interpreters
from instageo_plugin.processing_algorithms.setup.interpreters import find_base_python, wheel_minors


def test_this_computer_has_one():
    python = find_base_python("", process_environment())
    assert python
    assert python != sys.executable


def test_a_candidate_that_does_not_run_or_is_too_old_is_passed_over(tmp_path, monkeypatch):
    made = {}
    for name, body in {"broken": "exit 3", "old": "echo 3.9", "odd": "echo QGIS", "good": "echo 3.12"}.items():
        made[name] = tmp_path / name
        made[name].write_text(f"#!/bin/sh\n{body}\n")
        made[name].chmod(0o755)
    monkeypatch.setattr(interpreters, "candidates", lambda minors: [str(tmp_path / "none"), *map(str, made.values())])
    assert find_base_python("", process_environment()) == str(made["good"])


def test_the_wheels_at_hand_decide_the_version(tmp_path):
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    (tmp_path / "torchmetrics-1.9.0-py3-none-any.whl").touch()
    assert wheel_minors(str(tmp_path)) == (11,)
    assert wheel_minors("") == ()
