"""A small pure package as a wheel, so that an installation needs no network."""

import zipfile

import pytest
from instageo_plugin.core.contract.launch import process_environment
from instageo_plugin.processing_algorithms.setup.console import Console


@pytest.fixture
def wheels(tmp_path):
    """A folder with the wheel of `fieldkit` 1.0."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "fieldkit-1.0.dist-info"
    with zipfile.ZipFile(folder / "fieldkit-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("fieldkit.py", "ANSWER = 42\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: fieldkit\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"fieldkit.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return folder


@pytest.fixture
def console(feedback):
    return Console(feedback, process_environment())
