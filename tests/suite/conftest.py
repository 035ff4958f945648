"""Examinations below a test's own directory, and a user's own checks in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.report import Report
from sage_doctor.subjects.selection import Request
from sage_doctor.suite.examine import examine
from tests.model_directories import (
    write_adapter,
    write_full,
)

Examine = Callable[..., Report]
HEAD = "from sage_doctor.check import Fix, check, finding\nfrom sage_doctor.errors import NotApplicable\n"
CHECKED = '[checks]\npaths = ["own"]\n[models.m]\nkind = "full"\npath = "m"\n[models.a]\nkind = "adapter"\npath = "a"\n'


@pytest.fixture
def look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Examine targets, or the models of a manifest given as its text, below the test's own directory."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in list(os.environ):
        if name.startswith(("SAGE_", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")):
            monkeypatch.delenv(name)

    def run(*targets: str, manifest: str | None = None, jobs: int = 1, **request: Any) -> Report:
        if manifest is not None:
            (tmp_path / "sage-doctor.toml").write_text("schema = 1\n" + manifest, encoding="utf-8")
            request["manifest"] = "sage-doctor.toml"
        return examine(Request(targets=targets, cwd=str(tmp_path), **{"level": "static", **request}), jobs=jobs)

    return run


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The directory of a user's own checks, with two healthy models beside it."""
    write_adapter(tmp_path / "a", write_full(tmp_path / "m"))
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def found(report: Report, subject: str) -> list[str]:
    return [f.code for f in report.findings if f.subject == subject and f.severity != "info"]


def status(report: Report, check: str, subject: str) -> tuple[str, str | None]:
    (result,) = [c for c in report.checks if c.id == check and c.subject == subject]
    return result.status, result.reason
