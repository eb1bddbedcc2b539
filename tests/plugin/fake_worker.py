"""Plays a worker: `fake_worker.py SCENARIO FOLDER`. Each process writes its id into FOLDER/pids."""

# ruff: noqa: T201 - printing is what a worker does

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def send(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def note_pid(folder, pid):
    with (folder / "pids").open("a") as file:
        file.write(f"{pid}\n")


def main(scenario, folder):
    note_pid(folder, os.getpid())
    if scenario == "dead_at_once":
        sys.exit("the interpreter is broken")
    send("hello", protocol=1, version="0", pid=os.getpid(), python="3")
    request = json.loads(sys.stdin.readline())
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "environment.json").write_text(json.dumps(dict(os.environ)))
    (folder / "command.json").write_text(json.dumps(sys.argv))
    globals()[scenario](folder)


def success(folder):
    send("progress", share=0.25, message="Reading")
    for level in ("info", "warning", "error", "debug"):
        send("log", level=level, message=f"a line of {level}")
    send("metric", name="loss", value=0.5, context={"epoch": 1})
    send("artifact", name="OUTPUT", path="/data/map.tif")
    send("progress", share=1.0, message="Writing")
    send("result", outputs={"OUTPUT": "/data/map.tif", "CHIP_COUNT": 12})


def garbage(folder):
    print("a library says hello")
    print('{"event": "nonsense"}')
    print("[1, 2]")
    sys.stdout.buffer.write(b"\xff\xfe broken bytes\n")
    sys.stdout.flush()
    print("on stderr", file=sys.stderr)
    send("result", outputs={"OUTPUT": "x"})


def error(folder):
    send("error", code="input", message="Raster has 3 bands; this model expects 6.", hint="Map the bands with BANDS.")
    sys.exit(1)


def defect(folder):
    print("Traceback: line 7", file=sys.stderr, flush=True)
    send("error", code="internal", message="KeyError: 'x'", hint="Report it.")
    sys.exit(1)


def crash(folder):
    (folder / ".map.part.tif").write_text("half")
    for i in range(300):
        print(f"stderr line {i}", file=sys.stderr)
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)


def quiet_exit(folder):
    sys.exit(3)


def killed(folder):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(folder):
    time.sleep(60)


def busy(folder):
    """At work until told to cancel; cleans up then."""
    part = folder / ".map.part.tif"
    part.write_text("half")
    send("progress", share=0.1, message="Busy")
    for line in sys.stdin:
        if json.loads(line)["event"] == "cancel":
            part.unlink()
            send("error", code="cancelled", message="Cancelled.", hint="")
            sys.exit(1)


def stubborn(folder):
    """Ignores cancel and every polite signal, and has a child that does so too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _child(folder)
    while True:
        send("progress", share=0.1, message="Busy")
        time.sleep(0.1)


def leaves_a_child(folder):
    _child(folder)
    send("result", outputs={"OUTPUT": "x"})


def dies_with_a_child(folder):
    _child(folder)
    os.kill(os.getpid(), signal.SIGKILL)


def beats(folder):
    """Repeats one progress, as the worker's heartbeat does."""
    for _ in range(5):
        send("progress", share=0.5, message="Still at it")
        time.sleep(0.05)
    send("result", outputs={})


def _child(folder):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    note_pid(folder, subprocess.Popen([sys.executable, "-c", code]).pid)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
