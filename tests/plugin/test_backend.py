"""Where the backend is looked for, and what the user reads when it is not there."""

from pathlib import Path

import pytest
from instageo_plugin.core.contract.errors import InstaGeoError
from instageo_plugin.processing_algorithms.backend import (
    COMPLETE,
    CURRENT,
    SETTING,
    backend_problem,
    environment_python,
    find_python,
    installed_python,
    managed_folder,
)


@pytest.fixture(autouse=True)
def nothing_configured(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def make_interpreter(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def make_managed(folder, complete=True):
    python = make_interpreter(environment_python(folder / "backend-1"))
    (folder / CURRENT).write_text("backend-1\n")
    if complete:
        (folder / "backend-1" / COMPLETE).touch()
    return python


def test_the_setting_comes_before_the_variable_and_that_before_the_managed_one(settings, tmp_path, monkeypatch):
    managed = make_managed(managed_folder())
    assert find_python() == managed
    monkeypatch.setenv("INSTAGEO_PYTHON", make_interpreter(tmp_path / "by_variable"))
    assert find_python() == str(tmp_path / "by_variable")
    settings.setValue(SETTING, make_interpreter(tmp_path / "by_setting"))
    assert find_python() == str(tmp_path / "by_setting")
    assert backend_problem() == ""


def test_without_any_the_user_is_told_to_set_one_up():
    with pytest.raises(InstaGeoError) as error:
        find_python()
    assert "instageo:setupbackend" in error.value.hint
    assert "Set up backend" in backend_problem()


def test_a_configured_one_that_is_missing_is_named_with_its_place(settings, tmp_path, monkeypatch):
    make_managed(managed_folder())
    monkeypatch.setenv("INSTAGEO_PYTHON", "/nowhere/python")
    assert "/nowhere/python" in backend_problem()
    assert "variable INSTAGEO_PYTHON" in backend_problem()
    settings.setValue(SETTING, str(tmp_path))
    assert f"setting {SETTING}" in backend_problem()


def test_an_unfinished_environment_is_none(tmp_path):
    make_managed(tmp_path, complete=False)
    assert installed_python(tmp_path) is None
    assert installed_python(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "/home/ada/.local/share/instageo/backend"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/instageo/backend"),
        ("darwin", {}, "/home/ada/Library/Application Support/InstaGeo"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/InstaGeo"),
        ("win32", {}, "/home/ada/AppData/Local/InstaGeo"),
    ],
)
def test_the_managed_folder_lies_outside_the_profile(platform, environment, expected):
    assert managed_folder(platform, environment, Path("/home/ada")) == Path(expected)
