"""What the plugin costs QGIS's start: its import, `classFactory`, and `initGui` with the provider and all algorithms.

    eval "$(scripts/setup --print)"
    "$INSTAGEO_QGIS_PYTHON" scripts/bench/plugin_start.py [--repetitions 5]

Each repetition is a fresh QGIS process, off the screen, in which QGIS itself has started before the clock does. It
prints every repetition, the median in milliseconds and the share of imports. The bar: a median under 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "instageo_plugin"
BAR_MS = 50.0
INSIDE = "--inside"


def main() -> int:
    """Measure, print; the exit status says whether the bar is met."""
    parser = argparse.ArgumentParser(description="Time of loading the plugin in a fresh QGIS.")
    parser.add_argument("--repetitions", type=int, default=5, help="fresh processes (default: %(default)s)")
    repetitions = parser.parse_args().repetitions
    runs = [_fresh_process() for _ in range(repetitions)]
    for run in runs:
        print(f"{run['total_ms']:6.1f} ms, of which imports {run['import_ms']:5.1f} ms")
    total = statistics.median(run["total_ms"] for run in runs)
    imports = statistics.median(run["import_ms"] for run in runs)
    print(f"median {total:.1f} ms, imports {100 * imports / total:.0f} % of it; bar {BAR_MS:.0f} ms")
    return 0 if total < BAR_MS else 1


def _fresh_process() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="instageo_start_") as folder:
        plugins = Path(folder) / "plugins"
        plugins.mkdir()
        (plugins / PACKAGE).symlink_to(ROOT)
        environment = {
            **os.environ,
            "QT_QPA_PLATFORM": "offscreen",
            "XDG_RUNTIME_DIR": folder,
            "QGIS_CUSTOM_CONFIG_PATH": str(Path(folder) / "profile"),
        }
        command = [sys.executable, __file__, INSIDE, str(plugins)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


class _Interface:
    """The two calls that the plugin makes to QGIS's main window."""

    def registerOptionsWidgetFactory(self, factory: Any) -> None:  # noqa: N802 - QGIS's names
        pass

    def unregisterOptionsWidgetFactory(self, factory: Any) -> None:  # noqa: N802
        pass


def _inside(plugins: str) -> None:
    """One repetition: prints its figures as a line of JSON."""
    import qgis.gui  # noqa: F401 - QGIS has imported its own modules before it loads plugins
    from qgis.core import QgsApplication

    application = QgsApplication([], True)
    application.initQgis()
    sys.path.insert(0, plugins)
    clock = _ImportClock()
    with clock:
        started = time.perf_counter()
        plugin = __import__(PACKAGE).classFactory(_Interface())
        plugin.initGui()
        total = time.perf_counter() - started
    print(json.dumps({"total_ms": 1000 * total, "import_ms": 1000 * clock.seconds}))
    plugin.unload()
    application.exitQgis()


class _ImportClock:
    """Adds up the time of imports, those inside others once."""

    def __enter__(self) -> None:
        import builtins

        self.seconds, self._depth = 0.0, 0
        self._module, self._original = builtins, builtins.__import__
        builtins.__import__ = self._timed

    def __exit__(self, *problem: object) -> None:
        self._module.__import__ = self._original

    def _timed(self, *arguments: Any, **named: Any) -> Any:
        self._depth += 1
        started = time.perf_counter()
        try:
            return self._original(*arguments, **named)
        finally:
            self._depth -= 1
            if not self._depth:
                self.seconds += time.perf_counter() - started


if __name__ == "__main__":
    if INSIDE in sys.argv:
        _inside(sys.argv[-1])
    else:
        sys.exit(main())
