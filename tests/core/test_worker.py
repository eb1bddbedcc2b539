"""The worker as a process: what it writes, what it obeys, what it is safe from."""

import json
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from instageo_plugin.core.contract import events
from instageo_plugin.core.contract.jobs import CheckBackendJob, job_to_plain
from instageo_plugin.core.contract.launch import process_environment, worker_command

ROOT = Path(__file__).resolve().parents[2]
JOB = job_to_plain(CheckBackendJob())

# Stands in for the handlers: the worker is the real one, and so is the process.
PLAYED = """
import pathlib, runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path({starter!r}, run_name="starter")
from instageo_plugin.core import handlers, worker
{handler}
handlers.run_job = worker.run_job = lambda job, reporter, secrets=None: handle(job, reporter)
worker.ORPHAN_GRACE_S = 0.3
from instageo_plugin.core.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


class Worker:
    """A worker process and the events it has sent."""

    def __init__(self, command, **options):
        pipe = subprocess.PIPE
        environment = options.pop("env", process_environment())
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", env=environment,
            start_new_session=True, **options,
        )  # fmt: skip

    def send(self, event, **fields):
        self.process.stdin.write(events.encode(event, **fields) + "\n")
        self.process.stdin.flush()

    def request(self, job=JOB, protocol=events.PROTOCOL_VERSION):
        self.send(events.REQUEST, protocol=protocol, job=job, secrets={})

    def event(self):
        """The next event; None at the end of the stream. Every line must be one."""
        line = self.process.stdout.readline()
        return events.decode(line) or pytest.fail(f"a foreign line: {line}") if line else None

    def until(self, kind):
        """Events up to the first of a kind."""
        found = []
        while event := self.event():
            found.append(event)
            if event["event"] == kind:
                break
        return found

    def rest(self):
        return list(iter(self.event, None))


@pytest.fixture
def start():
    """Starts workers, and ends those that a failing test leaves."""
    workers = []

    def run(command, **options):
        workers.append(Worker(command, **options))
        return workers[-1]

    yield run
    for worker in workers:
        with worker.process as process:
            process.kill()


@pytest.fixture
def play(start):
    """A worker with a handler made of source text."""

    def run(handler, *arguments):
        source = PLAYED.format(starter=str(ROOT / "core" / "start.py"), handler=textwrap.dedent(handler))
        return start([sys.executable, "-I", "-X", "utf8", "-c", source, "worker", *arguments])

    return run


def test_hello_comes_first_and_the_result_last(play):
    worker = play("""
        def handle(job, reporter):
            reporter.progress(0.5, "half")
            reporter.artifact("OUTPUT", "/x")
            return {"OUTPUT": "/x"}
    """)
    hello = worker.event()
    worker.request()
    sent = worker.rest()
    assert hello["event"] == "hello"
    assert hello["protocol"] == events.PROTOCOL_VERSION
    assert hello["pid"] > 0
    assert sent[-1] == {"event": "result", "outputs": {"OUTPUT": "/x"}}
    assert {"event": "artifact", "name": "OUTPUT", "path": "/x"} in sent
    assert worker.process.wait(10) == 0


def test_the_last_progress_is_always_sent_and_floods_are_thinned(play):
    worker = play("""
        def handle(job, reporter):
            for i in range(10000):
                reporter.progress((i + 1) / 10000, f"step {i + 1}")
            return {}
    """)
    worker.request()
    steps = [event for event in worker.rest() if event["event"] == "progress"]
    assert len(steps) < 50
    assert steps[-1]["share"] == 1.0
    assert steps[-1]["message"] == "step 10000"


def test_a_busy_worker_shows_that_it_is_alive(play):
    worker = play("""
        import time
        def handle(job, reporter):
            reporter.progress(0.3, "long step")
            time.sleep(2.5)
            return {}
    """)
    worker.request()
    beats = [event for event in worker.rest() if event["event"] == "progress"]
    assert len(beats) >= 3
    assert beats[-1]["share"] == 0.3


def test_what_libraries_print_does_not_get_among_the_events(play):
    worker = play("""
        import ctypes, os, subprocess, sys
        def handle(job, reporter):
            print("python prints")
            sys.__stdout__.write("and so")
            sys.__stdout__.flush()
            os.write(1, b"C prints")
            subprocess.run(["echo", "a child prints"])
            return {"READ": sys.stdin.read()}
    """)
    worker.request()
    assert worker.rest()[-1] == {"event": "result", "outputs": {"READ": ""}}
    printed = worker.process.stderr.read()
    assert all(text in printed for text in ("python prints", "and so", "C prints", "a child prints"))


def test_figures_that_json_lacks_become_null(play):
    worker = play("""
        import numpy as np, pathlib
        def handle(job, reporter):
            reporter.metric("loss", float("nan"), epoch=np.int64(3))
            return {"MIOU": np.float32("nan"), "COUNT": np.int64(4), "LIST": np.array([1.5, np.inf]),
                    "OUTPUT": pathlib.Path("/x"), "OK": np.bool_(True)}
    """)
    worker.request()
    sent = worker.rest()
    assert {"event": "metric", "name": "loss", "value": None, "context": {"epoch": 3}} in sent
    assert sent[-1]["outputs"] == {"MIOU": None, "COUNT": 4, "LIST": [1.5, None], "OUTPUT": "/x", "OK": True}


LOOPING = """
    import pathlib, time
    def handle(job, reporter):
        path = pathlib.Path({path!r})
        path.write_text("half")
        try:
            while True:
                reporter.progress(0.1, "at it")
                time.sleep(0.02)
        finally:
            path.unlink()
"""


def test_cancel_stops_the_job_in_good_order(play, tmp_path):
    worker = play(LOOPING.format(path=str(tmp_path / "part")))
    worker.request()
    worker.until("progress")
    assert (tmp_path / "part").exists()
    worker.send(events.CANCEL)
    assert worker.rest()[-1]["code"] == "cancelled"
    assert worker.process.wait(10) == 1
    assert not list(tmp_path.iterdir())


def test_the_end_of_stdin_stops_the_job_in_good_order(play, tmp_path):
    worker = play(LOOPING.format(path=str(tmp_path / "part")))
    worker.request()
    worker.until("progress")
    assert (tmp_path / "part").exists()
    worker.process.stdin.close()
    worker.process.wait(10)
    assert not list(tmp_path.iterdir())


def test_the_end_of_stdin_ends_a_job_that_does_not_listen_and_its_children(play, tmp_path):
    worker = play("""
        import subprocess, time
        def handle(job, reporter):
            child = subprocess.Popen(["sleep", "60"])
            reporter.log(str(child.pid))
            time.sleep(60)
    """)
    worker.request()
    child = int(worker.until("log")[-1]["message"])
    started = time.monotonic()
    worker.process.stdin.close()
    worker.process.wait(10)
    assert time.monotonic() - started < 5
    time.sleep(0.2)
    stat = Path(f"/proc/{child}/stat")
    assert not stat.exists() or " Z " in stat.read_text()


def test_the_end_of_stdin_before_any_request_ends_the_worker(start):
    worker = start(worker_command(sys.executable))
    worker.process.stdin.close()
    assert worker.process.wait(10) == 1


@pytest.mark.parametrize(
    ("job", "protocol", "words"),
    [
        ({"kind": "paint"}, 1, "Unknown job kind 'paint'"),
        ({"kind": "checkbackend", "colour": "red"}, 1, "unknown field 'colour'"),
        (None, 1, "Unknown job kind"),
        (JOB, 99, "protocol 99"),
    ],
)
def test_a_wrong_request_is_a_clear_error(start, job, protocol, words):
    worker = start(worker_command(sys.executable))
    worker.request(job, protocol)
    error = worker.rest()[-1]
    assert error["event"] == "error"
    assert words in error["message"]
    assert worker.process.wait(10) == 1


def test_a_defect_is_named_as_one_with_its_traceback_on_stderr(play):
    worker = play("""
        def handle(job, reporter):
            return {}["missing"]
    """)
    worker.request()
    error = worker.rest()[-1]
    assert error["code"] == "internal"
    assert "defect" in error["hint"]
    assert "Traceback" in worker.process.stderr.read()


def test_folders_on_the_search_path_cannot_shadow_a_library(start, tmp_path):
    for name in ("numpy", "json", "instageo_plugin"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    environment = {**process_environment(), "PYTHONPATH": str(tmp_path)}
    worker = start(worker_command(sys.executable), env=environment, cwd=tmp_path)
    worker.request()
    assert worker.rest()[-1]["outputs"]["OK"] is True


def test_the_checkout_may_be_called_anything(start, tmp_path):
    odd = tmp_path / "my plugin é%1;2"
    shutil.copytree(ROOT / "core", odd / "core", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "__init__.py", odd)
    starter = str(odd / "core" / "start.py")
    worker = start([starter if part.endswith("start.py") else part for part in worker_command(sys.executable)])
    worker.request()
    assert worker.rest()[-1]["outputs"]["OK"] is True


def test_a_spawned_child_finds_the_package(play):
    worker = play(
        """
        import multiprocessing
        def handle(job, reporter):
            from instageo_plugin.core.contract.launch import process_environment
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return {"NAMES": len(pool.apply(process_environment))}
        sys.modules["__main__"].__file__ = {!r}
    """.replace("{!r}", repr(str(ROOT / "core" / "start.py")))
    )
    worker.request()
    assert worker.rest()[-1]["outputs"]["NAMES"] > 0


def test_a_light_job_shows_its_first_progress_in_time(start):
    """The issue's bound is 1.5 s where PyTorch is not needed; the median of three is taken on a busy machine."""
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        worker = start(worker_command(sys.executable))
        worker.request()
        while not worker.event().get("message"):
            pass
        seconds.append(time.monotonic() - started)
        worker.process.kill()
    assert sorted(seconds)[1] < 1.5


def run_cli(*arguments, **options):
    command = worker_command(sys.executable, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def test_the_command_line_runs_a_job_file(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps(JOB))
    done = run_cli("run", str(tmp_path / "job.json"))
    assert done.returncode == 0
    assert json.loads(done.stdout)["OK"] is True
    assert "100%" in done.stderr
    assert "PyTorch" in done.stderr


@pytest.mark.parametrize("text", ["{", '{"kind": "paint"}', None])
def test_the_command_line_names_what_is_wrong_with_a_job_file(tmp_path, text):
    if text is not None:
        (tmp_path / "job.json").write_text(text)
    done = run_cli("run", str(tmp_path / "job.json"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_has_help():
    done = run_cli("--help")
    assert done.returncode == 0
    assert "run a job file" in done.stdout


def test_wrong_arguments_have_their_own_status():
    assert run_cli("walk").returncode == 2


def test_ctrl_c_cancels_in_good_order(play, tmp_path):
    (tmp_path / "job.json").write_text(json.dumps(JOB))
    handler = """
        import os, pathlib, signal, time
        from instageo_plugin.core import cli
        def handle(job, reporter):
            path = pathlib.Path(sys.argv[2]).with_name("part")
            path.write_text("half")
            try:
                os.kill(os.getpid(), signal.SIGINT)
                while True:
                    reporter.progress(0.1)
            finally:
                path.unlink()
        cli.run_job = lambda job, reporter, secrets=None: handle(job, reporter)
    """
    worker = play(handler, "run", str(tmp_path / "job.json"))
    _, said = worker.process.communicate(timeout=30)
    assert worker.process.returncode == 130
    assert "error: Cancelled." in said
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_the_end_of_stdin_leaves_a_group_alone_that_the_worker_does_not_lead():
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='s'); "
        "from instageo_plugin.core.worker import end_group; end_group()"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code, str(ROOT / "core" / "start.py")], check=False, timeout=30)
    assert done.returncode == 1  # and this test, which leads the group or belongs to it, is still there
