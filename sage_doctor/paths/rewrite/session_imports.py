"""Whether the sessions' interpreter finds what a script imports: looked up, never imported."""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.paths.find.python_script import parse
from sage_doctor.paths.rewrite.roots import added_to_path
from sage_doctor.system.child import run
from sage_doctor.text import printable

DEADLINE_S = 60.0
_MARKER = "SAGE-DOCTOR-IMPORTS "
# Packages on the way are not imported: from the first one on, their files are looked for.
_SCRIPT = r"""
import json, os, sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
asked, marker = json.loads(sys.stdin.read()), sys.argv[1]
plain = [p for p in sys.path if p]
def there(name):
    parts = name.split(".")
    try:
        spec = find_spec(parts[0])
        below = list(spec.submodule_search_locations or []) if spec is not None else []
        for number in range(1, len(parts)):
            if not below:
                return False
            try:
                spec = PathFinder.find_spec(".".join(parts[:number + 1]), below)
            except KeyError:  # a namespace, which asks for its parent, and that one is not imported
                below = [p for p in (os.path.join(place, parts[number]) for place in below) if os.path.isdir(p)]
                continue
            if spec is None:
                return False
            below = list(spec.submodule_search_locations or [])
        return spec is not None
    except Exception:
        return False
answers = []
for paths, names in asked:
    sys.path[:] = paths + plain
    sys.path_importer_cache.clear()
    answers.append([name for name in names if not there(name)])
print("\n" + marker + json.dumps(answers))
"""


def imports_of(raw: bytes) -> list[str]:
    """Return the modules that a script imports by their full names, without those below `try`. Raises `ValueError`."""
    module = parse(raw)
    guarded = {id(n) for t in ast.walk(module) if isinstance(t, ast.Try) for s in t.body for n in ast.walk(s)}
    names: dict[str, None] = {}
    for node in ast.walk(module):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            names.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names[node.module] = None
    return list(names)


def unresolved_imports(
    scripts: Sequence[tuple[Path, bytes]], *, python: Path | None, environ: Mapping[str, str]
) -> list[list[str]]:
    """Return, for each script, what it imports and the sessions' interpreter would not find.

    Directories that it puts on `sys.path` from constants count. Raises `DoctorError` if it fails.
    """
    asked = []
    for path, raw in scripts:
        found = [str(p) for p in added_to_path(parse(raw), path)]
        asked.append([[*found, str(path.parent)], imports_of(raw)])
    command = [str(python or sys.executable), "-c", _SCRIPT, _MARKER]
    done = run(command, timeout_s=DEADLINE_S, env=environ, cwd=Path("/"), ask=json.dumps(asked).encode())
    said = done.out.rpartition(_MARKER.encode())[2] if done is not None and done.code == 0 else b""
    try:
        answers = json.loads(said)
    except ValueError as error:
        raise DoctorError(
            f"the sessions' interpreter {printable(command[0])} does not say whether the imports are there"
        ) from error
    return [[str(name) for name in names] for names in answers]


def lost_imports(
    before: Sequence[tuple[Path, bytes]],
    after: Sequence[tuple[Path, bytes]],
    *,
    python: Path | None,
    environ: Mapping[str, str],
) -> str:
    """Return the first import that is no longer found, or is new and not found; an empty text if there is none.

    What was not found before the change does not count. Raises `DoctorError`.
    """
    answers = unresolved_imports([*before, *after], python=python, environ=environ)
    old, new = answers[: len(before)], answers[len(before) :]
    for (path, _), was, now in zip(after, old, new, strict=True):
        missing = [name for name in now if name not in was]
        if missing:
            return f"{os.path.basename(path)}: {', '.join(missing)} is not found by the sessions' interpreter"
    return ""
