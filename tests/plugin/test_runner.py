"""The runner against workers that do well, fail, crash, hang, chatter and do not listen."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from instageo_plugin.core.contract.jobs import CheckBackendJob, job_from_plain
from instageo_plugin.processing_algorithms import runner
from instageo_plugin.processing_algorithms.runner import Patience, out_of_memory, run_job, write_job
from qgis.core import QgsProcessingException

FAKE = Path(__file__).with_name("fake_worker.py")
SHORT = Patience(cancel_s=1.0, exit_s=1.0, warn_s=0.3, give_up_s=1.0)


@pytest.fixture
def play(tmp_path, monkeypatch, feedback, nobody_left):
    """Runs a job with a worker that plays a scenario, then sees to it that nobody is left."""

    def run(scenario, **options):
        command = [sys.executable, str(FAKE), scenario, str(tmp_path)]
        monkeypatch.setattr(runner, "worker_command", lambda python: command)
        try:
            return run_job(CheckBackendJob(), feedback, python="fake", patience=SHORT, **options)
        finally:
            nobody_left([int(line) for line in (tmp_path / "pids").read_text().split()])

    return run


def cancel_when(feedback, condition):
    def watch():
        while not condition():
            time.sleep(0.02)
        feedback.cancel()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_success_gives_the_outputs_and_passes_on_what_the_worker_says(play, feedback):
    assert play("success") == {"OUTPUT": "/data/map.tif", "CHIP_COUNT": 12}
    assert feedback.texts == ["Reading", "Writing"]
    assert feedback.percents == pytest.approx([25, 100], abs=1e-5)
    assert feedback.said("info") == "a line of info"
    assert feedback.said("warning") == "a line of warning"
    assert feedback.said("error") == "a line of error"
    assert "loss 0.5, epoch 1" in feedback.said("debug")
    assert "/data/map.tif" in feedback.said("debug")


def test_foreign_lines_are_kept_in_the_log_and_do_no_harm(play, feedback):
    assert play("garbage") == {"OUTPUT": "x"}
    assert "a library says hello" in feedback.said("debug")
    assert "broken bytes" in feedback.said("debug")


def test_an_error_reads_as_message_and_hint(play):
    with pytest.raises(QgsProcessingException) as error:
        play("error")
    assert str(error.value) == "Raster has 3 bands; this model expects 6.\nMap the bands with BANDS."


def test_a_defect_leaves_its_traceback_in_the_log(play, feedback):
    with pytest.raises(QgsProcessingException, match="KeyError"):
        play("defect")
    assert "Traceback: line 7" in feedback.said("debug")


def test_a_crash_names_the_signal_and_the_last_lines(play):
    with pytest.raises(QgsProcessingException) as error:
        play("crash")
    assert "SIGSEGV" in str(error.value)
    assert "stderr line 299" in str(error.value)
    assert "stderr line 200" not in str(error.value)


def test_an_exit_without_a_word_names_the_status(play):
    with pytest.raises(QgsProcessingException, match="exit status 3"):
        play("quiet_exit")


def test_an_interpreter_that_cannot_start_the_worker(play):
    with pytest.raises(QgsProcessingException, match="the interpreter is broken"):
        play("dead_at_once")


def test_signal_9_reads_out_of_memory(play):
    with pytest.raises(QgsProcessingException, match=r"out of memory(.|\n)*smaller batch size"):
        play("killed")


@pytest.mark.parametrize(
    ("status", "expected"), [(-9, True), (137, True), (0xC0000017, True), (-11, False), (1, False), (0, False)]
)
def test_exit_statuses_that_mean_memory(status, expected):
    assert out_of_memory(status) is expected


def test_a_silent_worker_is_announced_and_then_ended(play, feedback):
    started = time.monotonic()
    with pytest.raises(QgsProcessingException, match="hung"):
        play("hang")
    assert "said nothing" in feedback.said("warning")
    assert time.monotonic() - started < 6


def test_cancel_lets_the_worker_clean_up(play, feedback, tmp_path):
    cancel_when(feedback, lambda: "Busy" in feedback.texts)
    started = time.monotonic()
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        play("busy")
    assert time.monotonic() - started < 1
    assert not list(tmp_path.glob("*.tif")) + list(tmp_path.glob(".*.tif"))


def test_cancel_ends_a_worker_that_does_not_listen_and_its_children(play, feedback):
    cancel_when(feedback, lambda: "Busy" in feedback.texts)
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        play("stubborn")


def test_a_child_that_the_worker_left_behind_is_ended(play):
    assert play("leaves_a_child") == {"OUTPUT": "x"}


def test_a_child_of_a_killed_worker_is_ended(play):
    with pytest.raises(QgsProcessingException, match="out of memory"):
        play("dies_with_a_child")


def test_the_heartbeat_moves_the_progress_that_qgis_polls_on(play, feedback):
    play("beats")
    assert len(feedback.percents) == 5
    assert feedback.percents == pytest.approx([50] * 5, abs=0.5)


def test_the_request_carries_job_and_secrets_and_nothing_else_does(play, tmp_path):
    play("success", secrets={"token": "s3cret"})
    request = json.loads((tmp_path / "request.json").read_text())
    assert request["protocol"] == 1
    assert job_from_plain(request["job"]) == CheckBackendJob()
    assert request["secrets"] == {"token": "s3cret"}
    for name in ("environment.json", "command.json"):
        assert "s3cret" not in (tmp_path / name).read_text()


def test_the_environment_is_cleaned_and_knows_the_proxy(play, tmp_path, monkeypatch, settings):
    for name in ("PYTHONHOME", "PROJ_LIB", "GDAL_DATA", "QGIS_PREFIX_PATH", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "")
    for key, value in {
        "proxyEnabled": True, "proxyType": "HttpProxy", "proxyHost": "proxy.test", "proxyPort": "8080",
        "proxyUser": "ada", "proxyPassword": "p@ss:word", "noProxyUrls": ["http://intranet.test/x"],
    }.items():  # fmt: skip
        settings.setValue(f"proxy/{key}", value)
    play("success")
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert not {"PYTHONHOME", "PROJ_LIB", "GDAL_DATA", "QGIS_PREFIX_PATH", "LD_LIBRARY_PATH"} & set(environment)
    assert environment["https_proxy"] == environment["HTTP_PROXY"] == "http://ada:p%40ss%3Aword@proxy.test:8080"
    assert environment["no_proxy"] == "intranet.test"
    assert "p%40ss" not in (tmp_path / "command.json").read_text()


def test_an_interpreter_that_is_none_is_a_clear_error(feedback, tmp_path):
    with pytest.raises(QgsProcessingException, match=r"cannot be started(.|\n)*Set up backend"):
        run_job(CheckBackendJob(), feedback, python=str(tmp_path / "python"))


def test_a_missing_backend_is_a_clear_error(feedback, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(QgsProcessingException, match=r"no backend yet(.|\n)*Set up backend"):
        run_job(CheckBackendJob(), feedback)


def test_the_real_worker_checks_its_backend(feedback, backend_python, tmp_path):
    report = tmp_path / "report.html"
    outputs = run_job(CheckBackendJob(report=str(report)), feedback, python=backend_python)
    assert outputs["OK"] is True
    assert outputs["DEVICE"]
    assert outputs["REPORT"] == str(report)
    assert "PyTorch: 2.13.0" in feedback.said("info")
    assert os.path.expanduser("~") + "/" not in report.read_text()


def test_a_failure_of_the_real_worker_arrives(feedback, backend_python, tmp_path):
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(QgsProcessingException, match=r"cannot be made(.|\n)*Choose another place"):
        run_job(CheckBackendJob(report=str(tmp_path / "file" / "x.html")), feedback, python=backend_python)


def test_a_job_file_reads_back(tmp_path):
    job = CheckBackendJob(report="/tmp/größer.html")
    write_job(job, str(tmp_path / "new" / "job.json"))
    assert job_from_plain(json.loads((tmp_path / "new" / "job.json").read_text(encoding="utf-8"))) == job


def test_a_job_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "job.json").mkdir()
    with pytest.raises(QgsProcessingException, match="cannot be written"):
        write_job(CheckBackendJob(), str(tmp_path / "job.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]
