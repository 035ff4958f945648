"""The scripts that this machine's roles start."""

from pathlib import Path

import pytest

from tests.model_directories import write_full

from .cases import Bench, Case, Cases

CASES = Cases()
ONE_MODEL = '[models.m]\nkind = "full"\npath = "here"\n'


def runner(bench: Bench, text: str, name: str = "run.py") -> None:
    write_full(bench.here)
    (bench.root / "scripts").mkdir()
    (bench.root / "scripts" / name).write_bytes(text.encode())
    bench.manifest(f'[roles.r]\nmodels = ["m"]\nrunners = ["scripts/*"]\n{ONE_MODEL}', "m")


@CASES.passes("check_runners")
def sound(bench: Bench) -> None:
    runner(bench, '#!/usr/bin/env python3\nMODEL = "models/m"\n')


@CASES.skips("check_runners", "names runners")
def no_runners(bench: Bench) -> None:
    write_full(bench.here)
    bench.manifest(ONE_MODEL, "m")


@CASES.skips("check_runners", "names runners")
def no_manifest(bench: Bench) -> None:
    write_full(bench.here)


@CASES.finds("check_runners", "runner-missing", "no file matches scripts/*, the runners of role r", subject="scripts/*")
def gone(bench: Bench) -> None:
    runner(bench, "")
    (bench.root / "scripts" / "run.py").unlink()


@CASES.finds("check_runners", "script-crlf", "CR LF", subject="scripts/run.py")
def line_ends_of_windows(bench: Bench) -> None:
    runner(bench, "#!/usr/bin/env python3\r\nprint()\r\n")


@CASES.finds("check_runners", "runner-unverified", "only Python", severity="info", subject="scripts/run.sh")
def shell_script(bench: Bench) -> None:
    runner(bench, "#!/bin/sh\nexit\n", "run.sh")


@CASES.finds(
    "check_runners",
    "runner-hardcoded-path",
    "line 2 names /home/dp/zoo/m",
    severity="warning",
    subject="scripts/run.py",
)
def path_of_another_machine(bench: Bench) -> None:
    runner(bench, '#!/usr/bin/env python3\nMODEL = "/home/dp/zoo/m"\n')


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
