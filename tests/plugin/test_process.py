"""Child processes by themselves."""

import os
import sys
import time

from instageo_plugin.processing_algorithms.process import ChildProcess, for_platform, output_of


def test_a_short_command_gives_its_output_and_a_failing_or_slow_one_none():
    assert output_of([sys.executable, "-c", "print(1); print(2)"], os.environ) == "1\n2"
    assert output_of([sys.executable, "-c", "raise SystemExit(3)"], os.environ) is None
    assert output_of(["/nowhere/program"], os.environ) is None
    started = time.monotonic()
    assert output_of([sys.executable, "-c", "import time; time.sleep(60)"], os.environ, timeout_s=0.3) is None
    assert time.monotonic() - started < 10


def test_leaving_the_block_by_an_error_ends_the_child(nobody_left):
    try:
        with ChildProcess(["/bin/sh", "-c", "echo $$; sleep 60"], os.environ) as child:
            pid = int(child.read(5).text)
            raise KeyError
    except KeyError:
        nobody_left([pid])


def test_the_group_is_asked_before_it_is_forced():
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: sys.exit(7)); print(1, flush=True); "
    with ChildProcess([sys.executable, "-c", code + "time.sleep(60)"], os.environ) as child:
        assert child.read(5).text == "1"
        child.end()
        assert child.exit_status == 7


def test_on_windows_the_search_path_is_reduced_to_the_backend_and_the_system():
    environment = {"Path": r"C:\Program Files\QGIS\bin", "SYSTEMROOT": r"C:\Windows", "TEMP": "t"}
    cleaned = for_platform(environment, "C:/backend/Scripts/python.exe", "win32")
    assert "QGIS" not in str(cleaned)
    assert cleaned["TEMP"] == "t"
    assert cleaned["PATH"].startswith("C:/backend/Scripts")
    assert r"C:\Windows\System32" in cleaned["PATH"]
    assert for_platform(environment, "python", "linux") == environment
