"""The doctor against the corpus: the right first finding, the right exit code, and one finding for one cause."""

from __future__ import annotations

import dataclasses
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from .builders.case import Case
from .builders.stock import RECIPES
from .builders.table import CASES
from .examination import CHECKOUT, STOCK, TREE, VARIANTS, Corpus, Run, alone

SCHEMA = json.loads((CHECKOUT / "sage_doctor" / "schemas" / "report.schema.json").read_text(encoding="utf-8"))
KEEPS_SCHEMA = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
UNSAFE = {"Cc", "Cf", "Cs"}  # what moves the cursor, hides or reorders text
ALONE = pytest.mark.parametrize("case", alone(CASES), ids=lambda case: case.name)
AMONG_MANY = pytest.mark.parametrize(
    "case", [case for case in CASES if case.in_tree and case.level == "static"], ids=lambda case: case.name
)


def blamed(found: list[dict[str, Any]], severity: str) -> list[str]:
    """Return the codes of a severity, in the order of the report."""
    return [f["code"] for f in found if f["severity"] == severity]


def hold(case: Case, run: Run, subject: str) -> None:
    """Hold what was said about a subject against the table."""
    found = run.findings(subject, below=case.outcome == "healthy")
    said = [(f["subject"], f["severity"], f["code"], f["message"]) for f in found]
    errors, warnings = blamed(found, "error"), blamed(found, "warning")
    if case.outcome == "healthy":
        assert set(errors + warnings) <= case.also, said
        return
    assert found, f"nothing said of {subject!r}; subjects are {run.subjects()}"
    assert found[0]["code"] in case.codes, said
    assert found[0]["severity"] == case.outcome, said
    assert len(errors) == (1 if case.outcome == "error" else 0), f"one cause, one error: {said}"
    assert set(warnings) <= {*case.codes, *case.also}, said
    assert all(f["fix"]["summary"].strip() for f in found), said


def hold_form(run: Run) -> None:
    """Hold the form of a run: ended in time, a report that keeps its schema, and nothing wild on the terminal."""
    assert run.exit_code is not None, f"hangs: {run.stderr[-1000:]}"
    assert "Traceback" not in run.stdout + run.stderr, (run.stdout[-2000:], run.stderr[-2000:])
    wild = {c for c in run.stdout + run.stderr if unicodedata.category(c) in UNSAFE} - {"\n"}
    assert not wild, sorted(map(repr, wild))
    assert run.report is not None, (run.exit_code, run.stderr[-2000:])
    KEEPS_SCHEMA.validate(run.report)
    assert run.exit_code == run.report["exit_code"]
    crashed = [(c["id"], c["subject"], c.get("reason")) for c in run.report["checks"] if c["status"] == "error"]
    assert not crashed, crashed


@ALONE
def test_alone(examined: Corpus, case: Case) -> None:
    """As the only target: exit code, first finding, and no second error."""
    run = examined.run(case.name)
    assert run.exit_code == case.exits, (run.stdout[-3000:], run.stderr[-3000:])
    hold(case, run, case.subject)


@ALONE
def test_form(examined: Corpus, case: Case) -> None:
    """The terminal gets no control character of the model's and no traceback; the report keeps its schema."""
    hold_form(examined.run(case.name))


@AMONG_MANY
def test_among_many(examined: Corpus, case: Case) -> None:
    """As one of many below one target: the same finding, under the path relative to the target."""
    case = dataclasses.replace(case, outcome=case.among_many or case.outcome)
    hold(case, examined.run(TREE), os.path.normpath(Path(case.name) / case.target / case.subject))


def test_runs_no_code_of_a_model(examined: Corpus) -> None:
    """No pickle was loaded and no module imported."""
    assert [case.name for case in CASES if examined.bench(case).bait.exists()] == []


@pytest.mark.parametrize("name", [TREE, STOCK, VARIANTS])
def test_form_of_many(examined: Corpus, name: str) -> None:
    """A run over many directories has the same form."""
    hold_form(examined.run(name))


def test_tree(examined: Corpus) -> None:
    """A tree with one ill model is ill, and no subject in it has two errors."""
    run = examined.run(TREE)
    assert run.exit_code == 1
    ill = [f["subject"] for f in (run.report or {})["findings"] if f["severity"] == "error"]
    assert sorted(ill) == sorted(set(ill))


@pytest.mark.parametrize("name", [STOCK, VARIANTS])
def test_healthy_trees(examined: Corpus, name: str) -> None:
    """Whole trees of healthy models, their every value read: exit code 0, no error and no warning."""
    run = examined.run(name)
    warned = {case.name.rpartition("/")[2] for case in CASES if case.name.startswith("stock/") and case.codes}
    found = [f for f in (run.report or {})["findings"] if f["severity"] != "info"]
    assert [f for f in found if f["severity"] == "error" or f["subject"] not in warned] == []
    assert run.exit_code == 0


def test_corpus_is_large_enough() -> None:
    """At least 15 healthy directories of 12 architectures, and 60 ill ones."""
    assert len({recipe.model_type for recipe in RECIPES.values()}) >= 12
    assert sum(case.outcome == "healthy" for case in CASES) >= 15
    assert sum(case.outcome != "healthy" for case in CASES) >= 60
