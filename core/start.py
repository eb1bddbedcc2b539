"""Starts `core` from a checkout: a script, run by `contract.launch.worker_command`.

It registers the root folder as the package, whatever the folder is called, and leaves the search path alone. A process
that `multiprocessing` spawns runs this file again, as `__mp_main__`, and so finds the package too.
"""

import importlib.util
import runpy
import sys
from pathlib import Path

PACKAGE = "instageo_plugin"


def register() -> None:
    """Make the checkout importable as `PACKAGE`."""
    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(PACKAGE, root / "__init__.py", submodule_search_locations=[str(root)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{root} is not the plugin's folder")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


if PACKAGE not in sys.modules:
    register()
if __name__ == "__main__":
    runpy.run_module(f"{PACKAGE}.core", run_name="__main__", alter_sys=False)
