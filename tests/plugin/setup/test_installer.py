"""Real environments with one tiny package: made, kept, replaced, and left alone when something fails."""

import subprocess
import threading
import time

import pytest
from instageo_plugin.core.contract.errors import Cancelled, InstaGeoError
from instageo_plugin.processing_algorithms.backend import installed_python
from instageo_plugin.processing_algorithms.setup import installer, interpreters
from instageo_plugin.processing_algorithms.setup.console import Console, StepFailed
from instageo_plugin.processing_algorithms.setup.installer import Order, install


@pytest.fixture(autouse=True)
def no_uv(monkeypatch):
    """venv and pip do the work, also where uv is installed."""
    monkeypatch.setattr(installer, "find_uv", lambda: "")


def works(python):
    code = "import fieldkit, sys; sys.exit(fieldkit.ANSWER != 42)"
    if subprocess.run([python, "-I", "-c", code], check=False).returncode:
        raise InstaGeoError("fieldkit does not work")


@pytest.fixture
def order(tmp_path, wheels):
    return Order(tmp_path / "backend", ("fieldkit==1.0",), "cpu", str(wheels))


def test_an_environment_is_made_kept_and_survives_a_failure(order, console, feedback):
    python = install(order, console, works)
    works(python)
    assert str(installed_python(order.folder)) == python
    assert "fieldkit" in feedback.said("console")
    assert max(feedback.percents) > 80

    started = time.monotonic()
    assert install(order, console, works) == python
    assert "up to date" in feedback.said("info")
    assert time.monotonic() - started < 2

    impossible = Order(order.folder, ("fieldkit==1.0", "fieldkit-that-is-missing==3"), "cpu", order.wheels)
    with pytest.raises(InstaGeoError, match=r"fieldkit-that-is-missing(.|\n)*wheel of every package"):
        install(impossible, console, works)
    assert str(installed_python(order.folder)) == python
    works(python)
    assert len(list(order.folder.glob("backend-*"))) == 1


def installed(folder):
    """As `installed_python`, for environments that hold nothing."""
    current = folder / "current"
    return folder / current.read_text().strip() / "bin" / "python" if current.exists() else None


def test_a_damaged_environment_is_replaced(order, console, feedback, monkeypatch):
    monkeypatch.setattr(installer, "_build", lambda order, target, console: (target / "bin").mkdir(parents=True))
    monkeypatch.setattr(installer, "installed_python", installed)

    first = install(order, console, lambda python: None)
    broken = {first}

    def verify(python):
        if python in broken:
            raise InstaGeoError("numpy is gone")

    second = install(order, console, verify)
    assert second != first
    assert "numpy is gone" in feedback.said("warning")
    assert installed(order.folder) == order.folder / second.split("/")[-3] / "bin" / "python"


def test_one_that_does_not_work_is_not_taken_into_use(order, console, monkeypatch):
    monkeypatch.setattr(installer, "_build", lambda order, target, console: target.mkdir(parents=True))
    with pytest.raises(InstaGeoError, match="does not work"):
        install(order, console, works_never)
    assert installed_python(order.folder) is None
    assert list(order.folder.iterdir()) == []


def works_never(python):
    raise InstaGeoError("It does not work.")


def test_cancel_ends_the_installer_and_leaves_nothing(order, feedback, console, nobody_left, tmp_path, monkeypatch):
    script = tmp_path / "slow_python"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho working\nsleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(installer, "find_base_python", lambda wheels, environment: str(script))
    feedback.on_line = lambda level, text: feedback.cancel() if text == "working" else None
    started = time.monotonic()
    with pytest.raises(Cancelled):
        install(order, console, works)
    assert time.monotonic() - started < 5
    nobody_left([int((tmp_path / "pid").read_text())])
    assert list(order.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_clear_error(order, console, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InstaGeoError, match="LOCATION"):
        install(Order(tmp_path / "file" / "x", order.requirements, "cpu"), console, works)


def test_too_little_space_is_a_clear_error(order, console, monkeypatch):
    monkeypatch.setitem(installer.NEEDED_GB, "cpu", 1e6)
    with pytest.raises(InstaGeoError, match="GB are free"):
        install(order, console, works)


def test_without_a_python_the_user_is_told_what_to_install(order, console, monkeypatch):
    monkeypatch.setattr(interpreters, "candidates", lambda minors: [])
    with pytest.raises(InstaGeoError, match="python3-venv"):
        install(order, console, works)


def test_where_pip_finds_no_cpu_build_of_torch_uv_is_tried(order, console, monkeypatch, tmp_path):
    commands = []

    def run(self, command, packages=0):
        commands.append(" ".join(command))
        (tmp_path / "backend" / order.name).mkdir(parents=True, exist_ok=True)
        if "-r" in command and "--torch-backend" not in command:
            raise StepFailed(["ERROR: No matching distribution found for torch==2.13.0+cpu"])

    monkeypatch.setattr(Console, "run", run)
    online = Order(order.folder, ("torch==2.13.0+cpu",), "cpu", torch_backend="cpu")
    monkeypatch.setattr(Order, "name", order.name)
    install(online, console, lambda python: None)
    assert commands[-2].endswith("--only-binary :all: uv")
    assert "-m uv pip install --torch-backend cpu" in commands[-1]


def test_uv_comes_first_and_pip_where_it_fails(order, console, feedback, monkeypatch):
    commands = []

    def run(self, command, packages=0):
        commands.append(command[0])
        (order.folder / order.name).mkdir(parents=True, exist_ok=True)
        if command[:2] == ["/bin/uv", "pip"]:
            raise StepFailed(["error: no network"])

    monkeypatch.setattr(Console, "run", run)
    monkeypatch.setattr(installer, "find_uv", lambda: "/bin/uv")
    install(order, console, lambda python: None)
    assert commands[:2] == ["/bin/uv", "/bin/uv"]
    assert "/bin/uv" not in commands[2:]
    assert "uv failed" in feedback.said("warning")


def test_an_installer_that_is_not_there_is_a_failed_step(console):
    with pytest.raises(StepFailed, match="No such file"):
        console.run(["/nowhere/python"])


def test_no_thread_is_left(console):
    console.run(["/bin/sh", "-c", "echo done"])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("instageo-")]
