"""The seams of DESIGN.md, proved on the source itself."""

import ast
import configparser
import sys
from pathlib import Path

import pytest
import tomllib
from instageo_plugin.core.contract.version import __version__

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_FOLDERS = ("core", "processing_algorithms", "instageo_qgis")
QGIS_SIDE_LIBRARIES = {"qgis", "osgeo", "processing"}
FORBIDDEN_IN_CORE = {"qgis", "osgeo", "processing", "PyQt5", "PyQt6", "sip"}


def _sources(folder):
    return sorted(path for path in (ROOT / folder).rglob("*.py"))


def _imports(path):
    """(level, dotted name) of every import of a file, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, _joined(node.module, alias.name)) for alias in node.names)


def _joined(module, name):
    return f"{module}.{name}" if module else name


def _inside(path):
    """Dotted names, from the root, of what a file imports relatively."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    for level, name in _imports(path):
        if level:
            yield ".".join((*parts[: len(parts) - level], name))


def _outside(path):
    return {name.partition(".")[0] for level, name in _imports(path) if not level}


ALL = [path for folder in PACKAGE_FOLDERS for path in _sources(folder)]
QGIS_SIDE = _sources("processing_algorithms") + _sources("instageo_qgis")


def _named(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", ALL, ids=_named)
def test_imports_inside_the_repository_are_relative(path):
    assert not _outside(path) & {"instageo_plugin", *PACKAGE_FOLDERS}


@pytest.mark.parametrize("path", _sources("core"), ids=_named)
def test_core_knows_nothing_of_qgis(path):
    assert not _outside(path) & FORBIDDEN_IN_CORE
    assert not [name for name in _inside(path) if not name.startswith("core")]


@pytest.mark.parametrize("path", QGIS_SIDE, ids=_named)
def test_the_qgis_side_uses_only_the_contract_and_its_own_libraries(path):
    of_core = [name for name in _inside(path) if name.startswith("core")]
    assert not [name for name in of_core if not name.startswith("core.contract.")]
    assert not _outside(path) - QGIS_SIDE_LIBRARIES - sys.stdlib_module_names


@pytest.mark.parametrize("path", _sources("processing_algorithms"), ids=_named)
def test_algorithms_do_not_know_the_plugin(path):
    assert not [name for name in _inside(path) if name.startswith("instageo_qgis")]


@pytest.mark.parametrize("path", _sources("core/contract"), ids=_named)
def test_the_contract_is_standard_library_only(path):
    assert not _outside(path) - sys.stdlib_module_names
    assert not [name for name in _inside(path) if not name.startswith("core.contract.")]


def test_no_file_changes_the_search_path():
    assert not [_named(path) for path in ALL if "sys.path" in path.read_text(encoding="utf-8")]


def test_init_files_hold_a_docstring_only():
    for path in ALL:
        if path.name == "__init__.py":
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, _named(path)
            assert isinstance(body[0], ast.Expr), _named(path)


def test_every_test_is_collected():
    for path in (ROOT / "tests").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        holds_tests = any(isinstance(n, ast.FunctionDef) and n.name.startswith("test_") for n in ast.walk(tree))
        parts = path.relative_to(ROOT / "tests").parts
        assert not holds_tests or (path.name.startswith("test_") and parts[0] in ("core", "plugin")), _named(path)


def test_every_package_of_core_is_installed_as_a_library():
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    folders = {path.parent.relative_to(ROOT) for path in _sources("core") if path.name == "__init__.py"}
    assert listed == {"instageo_plugin", *(".".join(("instageo_plugin", *folder.parts)) for folder in folders)}


def test_there_is_one_version():
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "metadata.txt", encoding="utf-8")
    assert metadata["general"]["version"] == __version__


def test_there_is_one_place_that_starts_processes_on_the_qgis_side():
    starting = [_named(path) for path in QGIS_SIDE if "Popen(" in path.read_text(encoding="utf-8")]
    assert len(starting) <= 1, starting
