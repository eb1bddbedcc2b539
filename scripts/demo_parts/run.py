"""The demo: sample data or a real dataset, then the main job through `qgis_process`, then a picture and a project."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import picture
from recipes import Recipe, recipe_for, sample_recipe
from sample import make_sample

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLUGIN = "instageo_plugin"
MARKER = ".instageo_demo"


def main() -> None:
    """Run the whole demo."""
    options = _arguments()
    started = time.monotonic()
    output = _emptied(options.output.resolve())
    qgis = Qgis(output / ".qgis")
    recipe = _recipe(options.data, output, qgis)
    outputs = {step: qgis.run(step, inputs, recipe.project) for step, inputs in recipe.steps(output)}
    shown = picture.draw(recipe, output)
    project = output / "result.qgz"
    qgis.run_script("result_project.py", str(project), json.dumps(recipe.shown_layers(output)))
    shutil.rmtree(output / ".qgis")
    _summarise(outputs, output, shown, project, time.monotonic() - started)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="From labels to a styled map, in one command.")
    parser.add_argument("--data", type=Path, help="a folder of real data: leipzig, csmask or sinop; default: a sample")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "demo_output", help="emptied first (default: %(default)s)"
    )
    return parser.parse_args()


def _emptied(output: Path) -> Path:
    """The output folder, without an earlier demo's files; anybody else's files are left alone."""
    if output.exists() and any(output.iterdir()) and not (output / MARKER).exists():
        sys.exit(f"{output} is not empty and not an earlier demo's output: choose another folder with --output.")
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    (output / MARKER).touch()
    return output


def _recipe(data: Path | None, output: Path, qgis: Qgis) -> Recipe:
    if data:
        return recipe_for(data.resolve(), output)
    print("Making a sample landscape: three dates, six bands, clouds, surveyed parcels ...", flush=True)
    make_sample(output / "sample")
    qgis.run_script("sample_project.py", str(output / "sample"))
    return sample_recipe(output / "sample")


class Qgis:
    """`qgis_process` and QGIS's Python, with a profile of their own in which the plugin is enabled."""

    def __init__(self, folder: Path) -> None:
        plugins = folder / "plugins"
        plugins.mkdir(parents=True)
        (plugins / PLUGIN).symlink_to(ROOT)
        self._environment = _environment(folder)
        self._call("plugins", "enable", PLUGIN)

    def run(self, algorithm: str, inputs: dict[str, Any], project: Path | None) -> dict[str, Any]:
        """Outputs of one algorithm; ends the demo with QGIS's own words when it fails."""
        print(f"instageo:{algorithm} ...", end=" ", flush=True)
        started = time.monotonic()
        request: dict[str, Any] = {"inputs": inputs}
        if project:
            request["project_path"] = str(project)
        answer = self._call("run", f"instageo:{algorithm}", "-", request=json.dumps(request))
        print(f"{time.monotonic() - started:.0f} s", flush=True)
        results: dict[str, Any] = json.loads(answer[answer.index("{") :])["results"]
        return results

    def run_script(self, script: str, *arguments: str) -> None:
        """Run a script of this folder with the Python that QGIS uses."""
        command = [os.environ["INSTAGEO_QGIS_PYTHON"], str(HERE / script), *arguments]
        subprocess.run(command, env=self._environment, check=True)

    def _call(self, *arguments: str, request: str | None = None) -> str:
        command = ["qgis_process", *arguments]
        done = subprocess.run(
            command, input=request, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"\nqgis_process {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout


def _environment(folder: Path) -> dict[str, str]:
    """Variables that keep QGIS off the screen and out of the user's own profile."""
    runtime = folder / "runtime"
    runtime.mkdir(parents=True, exist_ok=True)
    runtime.chmod(0o700)
    return {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(runtime),
        "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
        "QGIS_PLUGINPATH": str(folder / "plugins"),
    }


def _summarise(outputs: dict[str, dict[str, Any]], output: Path, shown: Path, project: Path, seconds: float) -> None:
    figures = outputs["evaluate"]
    print("\nOn chips the model never saw:")
    for name in ("ACCURACY", "MIOU", "F1", "KAPPA"):
        print(f"  {name.lower():9s} {figures[name]:.3f}")
    print(f"map       {output / 'map.tif'}")
    print(f"report    {output / 'evaluation.html'}")
    print(f"picture   {shown}")
    print(f"project   {project}")
    print(f"{seconds:.0f} s in all")


if __name__ == "__main__":
    main()
