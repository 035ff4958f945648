"""The doctor as a warm Python imports it: a healthy directory was examined, so that a run has nothing to import."""

from __future__ import annotations

import gc
import importlib
import tempfile
from pathlib import Path

from tests.model_directories import write_full

# What a command imports beside an examination; a name that another version of the doctor does not have is left out.
_IMPORTED = ("cli.app", "cli.check", "cli.outputs", "render.terminal", "render.json_format", "lock")


def warm_up() -> None:
    """Examine a healthy directory in this process; forks of it have the modules, the checks and what they compile."""
    for name in _IMPORTED:
        try:
            importlib.import_module(f"sage_doctor.{name}")
        except ImportError:
            continue
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
    gc.collect()
    gc.freeze()
    gc.disable()  # a run is short, and a collection would copy every page that it shares with the others
