"""Repairs on directories written by hand: a model, its finding, the plan, and what the checks say afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sage_doctor.repairs import repair_session
from sage_doctor.repairs.journal import Journal
from sage_doctor.repairs.repair import Plan, RepairOptions
from sage_doctor.repairs.repair_report import RepairReport
from sage_doctor.repairs.repair_session import RepairCallbacks
from sage_doctor.subjects.selection import Request
from tests.repairs import sshd

collect_ignore = [] if shutil.which("git-lfs") else ["actions/test_lfs_pull.py"]
collect_ignore += [] if sshd.CAN_RUN else ["actions/test_copy_model.py"]


def contents(directory: Path) -> dict[str, str]:
    """Return everything below a directory: names with modes, and what they hold or lead to."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            readable = os.access(path, os.R_OK)
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if readable else "closed"
            found[name] = f"{path.stat().st_mode:o} {digest}"
        else:
            found[name] = f"{path.stat().st_mode:o}"
    return found


@dataclass
class Fixer:
    """Runs repairs below a directory, and records the plans that were shown."""

    root: Path
    journal: Journal
    plans: list[Plan]

    def __call__(
        self,
        *targets: str,
        yes: bool = True,
        dry_run: bool = False,
        write_config: bool = False,
        bases: Mapping[str, str] | None = None,
        choose: Callable[[str, Sequence[Path]], Path | None] = lambda _adapter, _choices: None,
        before_consent: Callable[[Plan], object] = lambda _plan: None,
    ) -> RepairReport:
        def consent(plan: Plan) -> bool:
            self.plans.append(plan)
            before_consent(plan)
            return yes

        request = Request(targets=targets, cwd=str(self.root), level="static")
        options = RepairOptions(dry_run=dry_run, write_config=write_config, bases=bases or {})
        return repair_session.run_repairs(
            request, RepairCallbacks(consent=consent, choose=choose), options=options, journal=self.journal
        )

    def statuses(self, *targets: str, **words: bool) -> list[tuple[str, str]]:
        """Run the repairs, and return their names and results."""
        return [(a.repair, a.status) for a in self(*targets, **words).attempts]  # type: ignore[arg-type]

    def manifest(self, text: str) -> Path:
        """Write the manifest and return its path."""
        path = self.root / "sage-doctor.toml"
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def fixer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fixer:
    root = tmp_path / "world"
    root.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    for name in (
        "SAGE_MACHINE",
        "SAGE_DOCTOR_MANIFEST",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "HF_HOME",
        "HF_HUB_CACHE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    return Fixer(root=root, journal=Journal(path=tmp_path / "state" / "repairs.jsonl"), plans=[])


@pytest.fixture
def failing_verification(monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """Verification always fails: every change must be rolled back."""
    said: list[str] = []

    def never(*_: object) -> str:
        said.append("no")
        return "the test says so"

    monkeypatch.setattr(repair_session, "verification_failure", never)
    return said
