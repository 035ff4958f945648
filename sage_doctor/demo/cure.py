"""What no repair may touch, changed as a person would with an editor: a session's script. The change is shown."""

from __future__ import annotations

import difflib
from pathlib import Path

from sage_doctor.demo.incident import STANCES, Incident

# Text before, text after; each must occur exactly once.
Edit = tuple[str, str]


def edits(it: Incident) -> dict[Path, tuple[Edit, ...]]:
    """Return the changes for each file: the runner with another machine's path gets one that holds on every machine."""
    runner = it.runners[0]
    (model,) = [line for line in runner.read_text(encoding="utf-8").splitlines() if line.startswith("MODEL = ")]
    here = f'STANCES = HRM_ROOT / "{STANCES.as_posix()}"\nMODEL = str(STANCES / "{it.merged.name}")'
    return {runner: ((f"{model}\n", f"{here}\n"),)}


def apply(it: Incident) -> dict[Path, list[str]]:
    """Make the changes and return the diff of each file, in lines.

    Raises `ValueError` where a file does not read as it was laid out: nothing is written then.
    """
    written: dict[Path, tuple[str, str]] = {}
    for path, changes in edits(it).items():
        before = after = path.read_text(encoding="utf-8")
        for old, new in changes:
            if after.count(old) != 1:
                raise ValueError(f"{path}: {old.strip()!r} stands there {after.count(old)} times, not once")
            after = after.replace(old, new)
        written[path] = (before, after)
    diffs: dict[Path, list[str]] = {}
    for path, (before, after) in written.items():
        path.write_text(after, encoding="utf-8")
        name = path.relative_to(it.root).as_posix()
        diffs[path] = list(
            difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{name}", f"b/{name}", lineterm="", n=1)
        )
    return diffs
