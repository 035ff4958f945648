"""The floors of the house, held by what the files import. `docs/architecture.md` is the map."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.model_directories import write_adapter, write_full, write_sharded

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sage_doctor"
FLOORS = (
    {"errors", "report", "catalogue", "text", "version"},
    {
        *("readers", "files", "journal", "watermarks", "manifest", "check", "facts", "probe", "merge", "services"),
        "machine_paths",
    },
    {
        *("render", "host", "model", "selection", "probing", "advice", "mendable", "repair", "changes"),
        *("completeness", "declared_models", "directory_targets", "old_state", "resolving"),
        *("environment_findings", "hub_findings", "probe_findings", "service_findings", "weight_findings"),
        *("asking", "discovery", "history", "locking", "memory_need", "service"),
        *("rewriting", "scripts", "script_findings", "unit_findings"),
        *("accelerator_findings", "device_findings", "disk_need", "package_findings"),
    },
    {"checks", "fixtures", "repairs"},
    {"run", "plugin", "suite", "suite_files", "workers", "mending", "contentment", "gate", "install"},
    {"cli", "demo", "__main__"},
)
# What each room of the first three floors may use besides the floor below and the standard library.
SIBLINGS_APART = ("checks", "facts", "render", "repairs")
HEAVY = {"torch", "transformers", "peft", "accelerate", "gguf", "huggingface_hub", "numpy"}
MAY_BE_HEAVY = {
    *("sage_doctor/probe/script.py", "sage_doctor/readers/tensor_scan.py"),
    *("sage_doctor/merge/deltas.py", "sage_doctor/merge/library_names.py"),
}
MOST_LINES = 300
# Runs in an interpreter that has nothing of sage-doctor, so it is one file.
LONGER = {"sage_doctor/probe/script.py"}


@dataclass(frozen=True)
class Module:
    """One source file: its path in the repository, and the room it is in."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def room(self) -> str:
        parts = self.path.relative_to(ROOT).parts
        return (parts[1] if parts[0] == "sage_doctor" else parts[0]).removesuffix(".py")

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))


SOURCES = [Module(p) for top in (PACKAGE, ROOT / "checks", ROOT / "fixtures") for p in sorted(top.rglob("*.py"))]
MODULES = [m for m in SOURCES if "demo/thor" not in m.name]  # what the demo lays out is no part of the package
EVERY = pytest.mark.parametrize("module", MODULES, ids=lambda m: m.name)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full names of what is imported anywhere in a tree; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_used(module: Module) -> set[str]:
    """Return the rooms of the house that a file imports from."""
    names = [n.split(".") for n in imported(module.tree)]
    own = {parts[1] for parts in names if parts[0] == "sage_doctor" and len(parts) > 1}
    # `from sage_doctor import catalogue` names a room, `from sage_doctor import __version__` the package itself.
    return {room for room in own if not room.startswith("__")} | {p[0] for p in names if p[0] in ("checks", "fixtures")}


def floor_of(room: str) -> int:
    """Return the number of the floor a room is on."""
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_every_room_has_a_floor() -> None:
    placed = {room for rooms in FLOORS for room in rooms}
    assert {m.room for m in MODULES} - {"__init__"} <= placed


@EVERY
def test_imports_point_down(module: Module) -> None:
    if module.name == "sage_doctor/__init__.py":
        return  # fetches the public nouns by name, when they are asked for
    here = floor_of(module.room)
    above = {room for room in rooms_used(module) if floor_of(room) > here}
    assert not above, f"{module.name} is on floor {here} and imports {sorted(above)} from above"


@EVERY
def test_nobody_imports_the_command_line(module: Module) -> None:
    if module.room not in ("cli", "__main__"):
        assert "cli" not in rooms_used(module)


@pytest.mark.parametrize("module", [m for m in MODULES if m.room in SIBLINGS_APART], ids=lambda m: m.name)
def test_siblings_do_not_import_each_other(module: Module) -> None:
    below = module.path.relative_to(ROOT / "sage_doctor" if "sage_doctor" in module.name else ROOT).parts
    own = below[1].removesuffix(".py")
    prefix = f"sage_doctor.{module.room}." if "sage_doctor" in module.name else f"{module.room}."
    siblings = {n.removeprefix(prefix).split(".")[0] for n in imported(module.tree) if n.startswith(prefix)}
    files = {p.stem for p in module.path.parents[len(below) - 2].iterdir() if p.suffix == ".py" or p.is_dir()}
    assert siblings & files <= {own}


def test_rendering_reads_the_report_alone() -> None:
    used = {room for m in MODULES if m.room == "render" for room in rooms_used(m)}
    assert used <= {"render", "report", "catalogue", "text", "errors"}


def test_the_ground_floor_stands_on_the_standard_library() -> None:
    names = {n.split(".")[0] for m in MODULES if m.room in FLOORS[0] for n in imported(m.tree)}
    assert names - {"sage_doctor"} <= set(sys.stdlib_module_names)


@EVERY
def test_heavy_packages_are_imported_inside_functions_of_few_files(module: Module) -> None:
    if HEAVY & {n.split(".")[0] for n in imported(module.tree)}:
        assert module.name in MAY_BE_HEAVY or module.room in ("demo", "merge"), module.name
    for node in ast.iter_child_nodes(module.tree):
        only_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not only_for_types:
            assert not HEAVY & {n.split(".")[0] for n in imported(node)}, module.name


@EVERY
def test_files_are_short_and_named_by_their_noun(module: Module) -> None:
    assert not re.match(r"(utils?|helpers?|common|misc)(_|$)", module.path.stem)
    lines = len(module.path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES or module.name in LONGER, f"{module.name} has {lines} lines"


def test_no_file_names_a_place_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    checkout = re.escape(str(ROOT)) if len(ROOT.parts) > 2 else r"\0"
    foreign = re.compile(rf"\.\./shared\b|{checkout}|/work/(?:main|shared|\.library)\b")
    named = []
    for name in filter(None, tracked.split("\0")):
        path = ROOT / name
        if (
            path.suffix in (".py", ".md", ".toml", ".ini", ".json", ".sh", "")
            and path.is_file()
            and path != Path(__file__)
        ):
            text = path.read_bytes().decode("utf-8", "replace")
            named += [f"{name}: {m[0]}" for m in foreign.finditer(text)]
    assert not named


def test_the_static_suite_brings_no_torch(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write_adapter(tree / "adapter", write_full(tree / "full"))
    write_sharded(tree / "sharded")
    code = (
        "import json, sys\n"
        "from sage_doctor.subjects.selection import Request\n"
        "from sage_doctor.suite.examine import examine\n"
        f"report = examine(Request(targets=({str(tree)!r},), cwd={str(tmp_path)!r}, level='static'))\n"
        "print(json.dumps([report.verdict, len(report.checks), sorted(sys.modules)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    verdict, checks, modules = json.loads(done.stdout)
    assert verdict in ("healthy", "degraded")
    assert checks > 30
    assert not HEAVY & set(modules)
