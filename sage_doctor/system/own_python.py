"""Our own interpreter started again, with nothing of the working directory on its import path.

Python looks for modules in the working directory first (`-c`, `-m`), and `-P`, which stops that, came with 3.11. A
model directory may hold an `argparse.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])


def import_path() -> list[str]:
    """Return this process's import path without the working directory; where sage_doctor is found stays in any case."""
    here = _real(os.curdir)
    kept = [p for p in sys.path if os.path.isabs(p) and _real(p) != here]
    return kept if PACKAGE_ROOT in map(_real, kept) else [*kept, PACKAGE_ROOT]


def own_packages() -> tuple[Path, ...]:
    """Return the directories of this process's import path, as those in which a package's source is looked for."""
    return tuple(Path(p) for p in import_path())


def own_python(code: str, *arguments: str) -> list[str]:
    """Return the command that runs `code` in this interpreter; `sys.argv[1:]` are the arguments.

    `-I` keeps the working directory and PYTHONPATH out; the import path is this process's.
    """
    start = f"import sys; sys.path[:] = {import_path()!a}; {code}"
    return [*isolated(), "-c", start, *arguments]


def isolated() -> list[str]:
    """Return the words that start this interpreter without the working directory and PYTHON* variables."""
    return [sys.executable, "-I", *(["-B"] if sys.dont_write_bytecode else [])]


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except OSError:  # the working directory was deleted
        return path
