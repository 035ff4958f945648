"""The doctor as a warm Python imports it: a healthy directory was examined, so that a run has nothing to import."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import tempfile
from pathlib import Path

from tests.model_directories import write_full

# What commands import beside an examination; a name that another version of the doctor does not have is left out.
_PACKAGES = (
    *("cli", "facts", "findings", "gate", "history", "init", "install", "launchers", "lock", "manifest", "paths.find"),
    *("readers", "render", "repairs", "services", "subjects", "suite", "system"),
)
_MODULES = (
    *("concurrent.futures.thread", "ctypes", "encodings.utf_8_sig", "numpy", "rich.table", "rich.text", "runpy"),
    *("sage_doctor.probe", "sqlite3"),
)


def _import_commands() -> None:
    """Import every module of the packages that commands are made of, but what is a program of its own."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's threads would not be there in a fork
    names = list(_MODULES)
    for package in _PACKAGES:
        with contextlib.suppress(ImportError):
            found = importlib.import_module(f"sage_doctor.{package}")
            below = pkgutil.walk_packages(found.__path__, f"{found.__name__}.")
            names += [m.name for m in below if not m.name.endswith("_child")]
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def warm_up() -> None:
    """Examine a healthy directory in this process; forks of it have the modules, the checks and what they compile."""
    _import_commands()
    try:
        from sage_doctor import text
        from sage_doctor.findings.catalogue import families
        from sage_doctor.subjects.selection import Request
        from sage_doctor.suite.examine import examine
    except ImportError:  # another version of the doctor: its runs take longer
        return
    families()
    with tempfile.TemporaryDirectory() as place:
        write_full(Path(place) / "model")
        examine(Request(targets=("model",), level="static", cwd=place))
    text._learned = False  # the secrets of an environment that is not the forks'


def leave_garbage() -> None:
    """Collect no garbage in forks: a run is short, and a collection would copy every page that is shared."""
    gc.collect()
    gc.freeze()
    gc.disable()
