"""One job, one place: what `system/` does is done nowhere else, but for exceptions that are listed with a reason."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    p
    for top in ("sage_doctor", "checks", "fixtures")
    for p in sorted((ROOT / top).rglob("*.py"))
    if "demo/thor" not in str(p)  # what the demo lays out is no part of the package
]
WALKS = {"glob", "rglob", "iglob", "os.walk", "os.fwalk"}
JOBS: dict[str, tuple[set[str], dict[str, str]]] = {
    "locks": (
        {"fcntl", "flock", "lockf"},
        {
            "sage_doctor/system/file_lock.py": "the one file lock",
            "sage_doctor/system/message_pipe.py": "a pipe that tells of its end by a signal: no lock",
        },
    ),
    "files put in place of others": (
        {"os.replace", "os.rename", "tempfile.mkstemp", "tempfile.NamedTemporaryFile"},
        {
            "sage_doctor/system/atomic_write.py": "the one atomic write",
            "sage_doctor/system/file_steps.py": "puts a backup back in its place",
            "sage_doctor/merge/staging.py": "exchanges whole directories",
            "sage_doctor/merge/leftovers.py": "puts a whole directory back after a kill",
            "sage_doctor/history/store.py": "sets a damaged database and its journal aside",
            "sage_doctor/history/watermarks.py": "sets a damaged record aside",
        },
    ),
    "child processes": (
        {"subprocess", "os.fork", "os.posix_spawn", "os.system", "os.popen", "multiprocessing", "pty"},
        {
            "sage_doctor/system/child.py": "the one way to run a child",
            "sage_doctor/probe/handle.py": "the probe: a child with a protocol, and stages that have deadlines",
            "sage_doctor/system/guard.py": "a process that cannot hang, of the gate and of a check: forks itself",
        },
    ),
    "globs and walks": (
        WALKS,
        {
            "sage_doctor/init/draft.py": "glob.escape: text, no search",
            "sage_doctor/suite/plugin.py": "the package's own fixtures",
            "sage_doctor/demo/incident.py": "the demo's own files",
            "sage_doctor/demo/smollm2.py": "the files of an installed package",
        },
    ),
}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def used(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a file imports or calls: whole, its first and its last part."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func)
            if node.func.attr in WALKS and not _is_a_resolver(node.func.value):
                yield node.func.attr


def _is_a_resolver(value: ast.expr) -> bool:
    """Return whether it is the manifest's reader of globs, whose method has the same name."""
    return ast.unparse(value).endswith(("filler", "resolver"))


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_done_in_its_place(job: str) -> None:
    names, allowed = JOBS[job]
    doing = {
        str(path.relative_to(ROOT)): found for path in SOURCES if (found := sorted(names & set(used(tree_of(path)))))
    }
    assert {file: found for file, found in doing.items() if file not in allowed} == {}
    assert set(allowed) <= set(doing), "an exception that is none any more"


def test_git_is_asked_in_one_place() -> None:
    asking = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, (ast.List, ast.Tuple))
        and node.elts
        and isinstance(node.elts[0], ast.Constant)
        and node.elts[0].value == "git"
    ]
    assert asking == ["sage_doctor/system/git.py"]
