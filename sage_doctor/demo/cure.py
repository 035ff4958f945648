"""The cure, as a person would apply it with an editor after reading the diagnosis; every change is shown as a diff."""

from __future__ import annotations

import difflib
from pathlib import Path

from sage_doctor.demo.incident import ADAPTER, BASE, MERGED, STANCES, Incident

# Text before, text after; each must occur exactly once.
Edit = tuple[str, str]


def edits(it: Incident) -> dict[Path, tuple[Edit, ...]]:
    """Return the changes for each file: the adapter gets its base, and sessions run from the adapter.

    The merged model stays as it is: rebuilding it is another day's work, and nothing needs it any more.
    """
    stances = "MODEL = " + f'str(HRM_ROOT / "{STANCES}/Introspective-v2.1/model")'
    base = f'BASE = str(HRM_ROOT / "{it.base.relative_to(it.root).as_posix()}")'
    changed: dict[Path, tuple[Edit, ...]] = {
        it.manifest: (
            (f'models = ["{MERGED}"]\n', f'models = ["{ADAPTER}"]\n'),
            ('Introspective-v2.1/model"\n', f'Introspective-v2.1/model"\nbase = "{BASE}"\n'),
        )
    }
    for runner in it.runners:
        lines = runner.read_text(encoding="utf-8").splitlines(keepends=True)
        (model,) = [line for line in lines if line.startswith("MODEL = ")]
        (none,) = [line for line in lines if line.startswith("BASE = ")]
        changed[runner] = ((model, f"{stances}\n"), (none, f"{base}\n"))
    return changed


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
