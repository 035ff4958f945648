"""The further files that a manifest wants read: `[lint]`."""

import subprocess
from pathlib import Path

import pytest

from tests.model_directories import write_full

from .cases import Bench, Case, Cases
from .test_runners import MACHINES, ONE_MODEL

CASES = Cases()
UNIT = "[Service]\nWorkingDirectory=$ROOT\nEnvironmentFile=-/no/such/file\nExecStart={}\n"


@CASES.finds("check_lint", "script-crlf", "cannot be started by its own name", subject="scripts/run.py")
def line_ends_of_windows_in_what_a_unit_starts(bench: Bench) -> None:
    lint(bench, "deploy/sage.service", UNIT.format("$ROOT/scripts/run.py"))
    (bench.root / "scripts").mkdir()
    (bench.root / "scripts/run.py").write_bytes(b"#!/usr/bin/env python3\r\nprint()\r\n")
    (bench.root / "scripts/run.py").chmod(0o755)


def lint(bench: Bench, name: str, text: str) -> None:
    write_full(bench.here)
    path = bench.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("$ROOT", str(bench.root)), encoding="utf-8")
    bench.manifest(
        f'{ONE_MODEL}{MACHINES}[roles.r]\nmodels = ["m"]\n[lint]\npaths = ["**/*"]\nignore = ["here/**"]\n', "m"
    )


@CASES.skips("check_lint", "neither runners nor files")
def nothing_to_read(bench: Bench) -> None:
    write_full(bench.here)
    bench.manifest(ONE_MODEL, "m")


@CASES.passes("check_lint", measures=("files_read",))
def made_up_homes(bench: Bench) -> None:
    lint(bench, "tests/test_x.py", 'assert parse("/home/someone/x/y")\n')


@CASES.passes("check_lint", measures=("paths_documentation",))
def words(bench: Bench) -> None:
    lint(bench, "docs/notes.md", "It lay in /home/sprout/x/y.\n")


@CASES.finds("check_lint", "runner-hardcoded-path", "/home/sprout/x/y", severity="warning", subject="tools/x.py")
def path_that_no_role_runs(bench: Bench) -> None:
    lint(bench, "tools/x.py", 'P = "/home/sprout/x/y"\n')


@CASES.finds("check_lint", "runner-hardcoded-path", "/home/sprout/x/y", severity="warning", subject="a.yaml")
def path_in_configuration(bench: Bench) -> None:
    lint(bench, "a.yaml", "model: /home/sprout/x/y\n")


@CASES.passes("check_lint", measures=("paths_data",))
def saved_state(bench: Bench) -> None:
    lint(bench, "sessions/state/one.json", '{"model": "/home/sprout/x/y"}\n')


@CASES.finds("check_lint", "script-crlf", "CR LF", severity="warning", subject="x.sh")
def line_ends_of_a_tool(bench: Bench) -> None:
    lint(bench, "x.sh", "#!/bin/sh\r\nexit\r\n")


@CASES.passes("check_lint")
def sound_unit(bench: Bench) -> None:
    lint(bench, "deploy/sage.service", UNIT.format("/bin/sh -c true"))


@CASES.passes("check_lint")
def unit_of_another_machine(bench: Bench) -> None:
    lint(bench, "deploy/sprout/sage.service", UNIT.format("/no/such/program"))


@CASES.finds("check_lint", "unit-path-missing", "line 4: ExecStart", severity="warning", subject="deploy/sage.service")
def unit_without_its_program(bench: Bench) -> None:
    lint(bench, "deploy/sage.service", UNIT.format("/no/such/program --now"))


@CASES.finds("check_lint", "unit-path-missing", "command names /no/such", severity="warning", subject="crontab")
def crontab_without_its_program(bench: Bench) -> None:
    lint(bench, "crontab", "@reboot /no/such/program\n")


@CASES.finds(
    "check_lint", "script-not-executable", "sage.service starts it", severity="warning", subject="scripts/run.sh"
)
def unit_with_a_script_that_cannot_be_started(bench: Bench) -> None:
    lint(bench, "deploy/sage.service", UNIT.format("$ROOT/scripts/run.sh"))
    (bench.root / "scripts").mkdir()
    (bench.root / "scripts/run.sh").write_text("#!/bin/sh\n", encoding="utf-8")


@CASES.finds("check_lint", "runner-path-gone", "which commit", severity="warning", subject="tools/x.py")
def file_that_was_removed(bench: Bench) -> None:
    lint(bench, "tools/x.py", 'P = "$ROOT/old/data.json"\n')
    (bench.root / "old").mkdir()
    (bench.root / "old/data.json").write_text("{}", encoding="utf-8")
    git(bench.root, "init", "-q")
    git(bench.root, "add", "tools", "old")
    git(bench.root, "commit", "-qm", "one")
    git(bench.root, "rm", "-q", "old/data.json")
    git(bench.root, "commit", "-qm", "two")


@CASES.finds("check_lint", "runner-roots-disagree", "2 files use", severity="warning")
def roots_that_disagree(bench: Bench) -> None:
    write_full(bench.here)
    (bench.root / "scripts").mkdir()
    (bench.root / "zoo/a").mkdir(parents=True)
    for name, root in (("a.py", bench.root), ("b.py", "/home/sprout/hrm")):
        (bench.root / "scripts" / name).write_text(f'P = "{root}/zoo/a"\n', encoding="utf-8")
    bench.manifest(f'{ONE_MODEL}{MACHINES}[roles.r]\nmodels = ["m"]\nrunners = ["scripts/*"]\n', "m")


def git(directory: Path, *words: str) -> None:
    author = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(directory), *author, *words], check=True, capture_output=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
