"""The layers, held by what the files import. `tests/architecture.py` says their order and measures."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.model_directories import write_adapter, write_full, write_sharded

from .architecture import (
    LAYERS,
    MOST_ARROWS,
    MOST_LAYERS,
    MOST_UNITS,
    ROOT,
    Architecture,
    Module,
    circles,
    imported,
    read,
)

SIBLINGS_APART = ("checks.", "sage_doctor.render.", "sage_doctor.repairs.actions.")
HEAVY = {"torch", "transformers", "peft", "accelerate", "gguf", "huggingface_hub", "numpy"}
MAY_BE_HEAVY = {
    "sage_doctor/readers/tensor_scan.py",
    *("sage_doctor/merge/deltas.py", "sage_doctor/merge/library_names.py"),
}
MOST_LINES = 300


@pytest.fixture(scope="module")
def house() -> Architecture:
    return read()


def test_the_house_is_small(house: Architecture) -> None:
    assert (len(house.units) <= MOST_UNITS, house.arrows <= MOST_ARROWS, house.layers <= MOST_LAYERS) == (True,) * 3, (
        f"{len(house.units)} units, {house.arrows} arrows, {house.layers} layers"
    )


def test_every_unit_has_one_layer(house: Architecture) -> None:
    assert sorted(unit for units in LAYERS for unit in units) == sorted(house.units)
    assert len(LAYERS) <= MOST_LAYERS


def test_imports_point_down(house: Architecture) -> None:
    assert house.upwards == []


def test_nothing_imports_in_a_circle(house: Architecture) -> None:
    assert circles(house.units) == []
    assert circles(house.files) == []


def test_a_circle_and_an_arrow_upwards_are_seen(tmp_path: Path) -> None:
    for name, text in {
        "text.py": "def late() -> None:\n    from sage_doctor.errors import DoctorError\n",
        "errors.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sage_doctor import text\n",
        "__init__.py": "",
        "system/paths.py": "from sage_doctor.subjects.host import Host\n",
        "subjects/host.py": "import sage_doctor.text\n",
    }.items():
        path = tmp_path / "sage_doctor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    broken = read(tmp_path)
    assert circles(broken.files) == [["sage_doctor.errors", "sage_doctor.text"]]
    assert circles(broken.units) == [["errors", "text"]]
    assert broken.upwards == [
        "sage_doctor.errors imports sage_doctor.text",
        "sage_doctor.system.paths imports sage_doctor.subjects.host",
        "sage_doctor.text imports sage_doctor.errors",
    ]
    assert (len(broken.units), broken.arrows, broken.layers) == (4, 4, 3)


def test_siblings_do_not_import_each_other(house: Architecture) -> None:
    found = [
        f"{name} imports {target}"
        for package in SIBLINGS_APART
        for name, targets in house.files.items()
        for target in targets
        if f"{name}.".startswith(package) and target.startswith(package)
        if name.removeprefix(package).partition(".")[0] != target.removeprefix(package).partition(".")[0]
    ]
    assert found == []


def test_rendering_reads_the_report_alone(house: Architecture) -> None:
    assert house.units["render"] <= {"report", "findings", "text", "errors"}


def test_the_ground_stands_on_the_standard_library(house: Architecture) -> None:
    ground = {*LAYERS[0], "report"}
    names = {n.split(".")[0] for m in house.modules if m.unit in ground for n in m.imports}
    assert names - {"sage_doctor"} <= set(sys.stdlib_module_names)


def heavy(names: Iterable[str]) -> bool:
    return bool(HEAVY & {n.split(".")[0] for n in names})


def at_import(module: Module) -> bool:
    """Return whether a heavy package is imported with the module, and not by a function of it."""
    return any(
        heavy(imported(node))
        for node in ast.iter_child_nodes(module.tree)
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    )


def test_heavy_packages_are_imported_inside_functions_of_few_files(house: Architecture) -> None:
    users = [m for m in house.modules if heavy(m.imports)]
    assert len(users) > len(MAY_BE_HEAVY)
    assert [m.name for m in users if m.name not in MAY_BE_HEAVY and m.unit not in ("demo", "merge")] == []
    assert [m.name for m in users if at_import(m)] == []


def test_files_are_short_and_named_by_their_noun(house: Architecture) -> None:
    assert [m.name for m in house.modules if re.match(r"(utils?|helpers?|common|misc)(_|$)", m.path.stem)] == []
    assert {m.name: m.lines for m in house.modules if m.lines > MOST_LINES} == {}


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
