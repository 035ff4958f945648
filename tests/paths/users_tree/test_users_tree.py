"""Every line that the commands print about the users' tree is true, seen from two of its machines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from sage_doctor.paths.rewrite.patch import plan_all
from sage_doctor.paths.scan import scan
from sage_doctor.report import Finding, Report
from sage_doctor.subjects.selection import Request, select
from sage_doctor.suite.examine import examine
from tests.warm_python import run_warm

from .layout import Tree, git, lay_out
from .score import SEEN_FROM, score

ROOT = Path(__file__).parents[3]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(params=SEEN_FROM)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tree]:
    made = lay_out(tmp_path, request.param)
    environ = {"HOME": str(made.home), "SAGE_MACHINE": made.machine, "XDG_STATE_HOME": str(tmp_path / "state")}
    with mock.patch.dict(os.environ, environ):
        yield made


@pytest.fixture
def command(tree: Tree, warm_doctor: Path) -> Command:
    """Run `sage-doctor` with these words in the checkout; returns its exit code, output and errors."""

    def run(*words: str, cwd: Path = tree.checkout) -> tuple[int, str, str]:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = run_warm(warm_doctor, ["-m", "sage_doctor", *words], cwd=cwd, env=environ)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


def report_of(tree: Tree) -> Report:
    request = Request(cwd=str(tree.checkout), level="integrity", history=False)
    return examine(request, fail_on="error")


def test_precision_and_recall(tree: Tree) -> None:
    found = score(tree)
    assert found.wrong == ()
    assert found.lost == ()


def test_every_finding_is_true(tree: Tree) -> None:
    findings = [f for f in report_of(tree).findings if f.code.startswith(("runner-", "script-", "unit-"))]
    assert {"runner-path-missing", "runner-hardcoded-path", "script-crlf"} <= {f.code for f in findings}
    silent = {label.file for label in tree.labels if label.right != "nothing"}
    for finding in findings:
        for path in finding.evidence.get("paths", ()):
            assert finding.code == "runner-hardcoded-path" or not Path(path["path"]).exists()
            assert "here" not in path or Path(path["here"]).exists()
        assert finding.code not in ("runner-path-missing", "runner-hardcoded-path") or finding.subject in silent
    assert severities(findings, tree) == {}
    (crlf,) = (f for f in findings if f.code == "script-crlf")
    assert (crlf.severity, len(crlf.evidence["files"])) == ("warning", 12)


def severities(findings: list[Finding], tree: Tree) -> dict[str, str]:
    """Return the files whose severity is wrong: an error is what a run needs, whatever it is given."""
    wanted = {x.file for x in tree.labels if x.right != "nothing" and x.sure}
    told = {f.subject for f in findings if f.code in ("runner-path-missing", "runner-hardcoded-path")}
    errors = {f.subject for f in findings if f.severity == "error"}
    return {name: "error" if name in errors else "warning" for name in told if (name in errors) != (name in wanted)}


def test_every_edit_leads_to_what_exists(tree: Tree, command: Command) -> None:
    host = select(Request(cwd=str(tree.checkout), level="static")).host
    edits = 0
    for plan in plan_all(host, scan(host, lint=True).files):
        for edit in plan.edits:
            value = eval(edit.source, {"Path": Path, "__file__": str(plan.path)})
            assert Path(value).exists(), (plan.path, edit.source)
            edits += 1
    assert edits >= 4
    _, out, err = command("fix", "--rewrite-paths", "--yes", "--level", "static")
    assert "fixed (verified)" in out, out + err
    for name in git(tree.checkout, "diff", "--name-only").split():
        assert name not in tree.others
        compile((tree.checkout / name).read_text(), name, "exec")
    # What taught a root may be written anew: then a path that has nothing but the root is not found any more. What is
    # missing below a root that is right now is told, and was missing before: it undoes no rewriting.
    assert [w for w in score(tree).wrong if "not found here" not in w and "/zoo/lost" not in w] == []


def test_the_commands_of_the_gate_do_what_they_say(tree: Tree, command: Command, tmp_path: Path) -> None:
    manifest = str(tree.checkout / "sage-doctor.toml")
    code, _, err = command("gate", "raising", "--level", "static", "--manifest", manifest, cwd=tmp_path)
    assert code == 1, err
    lines = [line.strip().removeprefix("$ ") for line in err.splitlines() if " sage-doctor " in line]
    assert lines
    assert all(" --manifest " in line for line in lines)
    for line in lines:
        _, out, err = command(*line.split()[1:], *(["--dry-run"] if " fix " in line else []), cwd=tmp_path)
        told = out + err
        assert "Nothing" not in told.split("\n")[0], told
        assert "missing" in told or "found here" in told or "rewrite-paths" in told


def test_a_script_is_no_target_without_the_option(command: Command) -> None:
    code, _, err = command("fix", "runners/other_machine.py")
    assert code == 2
    assert "sage-doctor fix --rewrite-paths runners/other_machine.py" in err


def test_one_script_can_be_rewritten_alone(tree: Tree, command: Command) -> None:
    name = "runners/drive_below.py"
    _, out, err = command("fix", "--rewrite-paths", "--yes", "--level", "static", name)
    assert "fixed (verified)" in out, out + err
    assert git(tree.checkout, "diff", "--name-only").split() == [name]
