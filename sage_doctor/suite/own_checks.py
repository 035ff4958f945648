"""A user's own checks: the files that the manifest names, and the `conftest.py` that lies beside them.

pytest by itself would import `conftest.py` and `__init__.py` of every directory above them, whoever wrote those. Here
a file is loaded as a module of its directory, and that directory is a package without a parent.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

import pytest

from sage_doctor.manifest.problems import shown_path


def place_of(error: BaseException, file: Path) -> str:
    """Return where in a file of checks an error arose, such as `my-checks/licence.py:6`."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{shown_path(Path(error.filename))}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{shown_path(file)}:{lines[-1]}" if lines else shown_path(file)


def is_own(path: Path, config: pytest.Config) -> bool:
    """Return whether a directory is one of the named ones, below one, or the one that a named file lies in."""
    named = [Path(argument) for argument in config.args[1:]]
    return any(path.is_relative_to(p) if p.is_dir() else path == p.parent for p in named)


def register_conftest(directory: Path, config: pytest.Config) -> None:
    """Load the `conftest.py` of a directory, where it has one. pytest tells by the name for which tests it counts."""
    path = directory / "conftest.py"
    if path.is_file() and not config.pluginmanager.has_plugin(str(path)):
        config.pluginmanager.register(load_beside(path), str(path))


def load_beside(path: Path) -> ModuleType:
    """Return the module in this file, as part of a package that is its directory and has no parent."""
    package = f"sage_doctor_own_checks_{str(path.parent).encode('utf-8', 'surrogateescape').hex()}"
    if package not in sys.modules:
        beside = path.parent / "__init__.py"
        if beside.is_file():
            load_file(package, beside)
        else:
            sys.modules[package] = ModuleType(package)
            sys.modules[package].__path__ = [str(path.parent)]
    if path.name == "__init__.py":
        return sys.modules[package]
    return load_file(f"{package}.{path.stem}", path)


def load_file(name: str, path: Path) -> ModuleType:
    """Return the module in a file under a name of its own, loaded once; what it raises, this raises."""
    if name in sys.modules:
        return sys.modules[name]
    below = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=below)
    assert spec is not None  # a .py file always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
