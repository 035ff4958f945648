"""Every repair is found, in an order that serves, for findings that exist; and checks name no other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sage_doctor.findings import catalogue
from sage_doctor.findings.scripts import REWRITE
from sage_doctor.repairs.registry import RENAMED, all_repairs, in_order
from sage_doctor.repairs.repair import Plan, Repair, RepairContext

ROOT = Path(__file__).resolve().parents[2]
FOUND = all_repairs()


def test_every_file_is_one_repair() -> None:
    files = {p.stem for p in (ROOT / "sage_doctor" / "repairs" / "actions").glob("*.py")} - {"__init__"}
    assert {name.replace("-", "_") for name in FOUND} == files


@pytest.mark.parametrize("made", FOUND.values(), ids=FOUND.keys())
def test_its_codes_are_the_catalogues_and_its_page_is_written(made: Repair) -> None:
    assert made.codes
    assert [c for c in made.codes if catalogue.find(c) is None] == []
    assert f"## {made.name}\n" in (ROOT / "docs" / "repairs.md").read_text(encoding="utf-8")


def test_a_base_is_named_before_anything_is_merged_into_it() -> None:
    order = list(FOUND)
    assert order.index("set-base") < order.index("merge")
    assert order.index("download") < order.index("merge")
    assert order.index("fix-modes") < order.index("lfs-pull") < order.index("merge")


def test_checks_name_repairs_that_are_there() -> None:
    sources = [*(ROOT / "checks").glob("*.py"), *(ROOT / "sage_doctor" / "findings").glob("*.py")]
    named = [
        node.args[2].value
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "with_repair" and len(node.args) > 2
        if isinstance(node.args[2], ast.Constant)
    ]
    assert {*named, REWRITE} == set(FOUND)  # what no model has to do with is named by a constant


def test_old_names_stand_for_repairs_that_are_there() -> None:
    assert set(RENAMED.values()) <= set(FOUND)
    assert not set(RENAMED) & set(FOUND)


def plan(_context: RepairContext) -> Plan:
    raise NotImplementedError


def a_repair(name: str, *after: str) -> Repair:
    return Repair(name=name, codes=frozenset(), after=after, plan=plan)


def test_order_is_by_what_comes_before_then_by_name() -> None:
    found = {r.name: r for r in (a_repair("a", "c"), a_repair("b"), a_repair("c"), a_repair("d", "b", "a"))}
    assert list(in_order(found)) == ["c", "a", "b", "d"]


@pytest.mark.parametrize(
    "found,says",
    [([a_repair("a", "b"), a_repair("b", "a")], "each other"), ([a_repair("a", "gone")], "does not exist")],
)
def test_an_order_that_cannot_be_is_refused(found: list[Repair], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        in_order({r.name: r for r in found})
