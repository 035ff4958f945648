"""Whether the user that runs sessions may read the weight files."""

import os
from pathlib import Path

import pytest

from tests.model_directories import ADAPTER, MODEL, write_adapter, write_full

from .cases import Bench, Case, Cases

CASES = Cases()
NOBODY = 65534


@CASES.passes("check_weights_readable")
def open_to_all(bench: Bench) -> None:
    write_full(bench.here)


@CASES.passes("check_weights_readable")
def private_and_ours(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).chmod(0o600)


@CASES.finds("check_weights_readable", "path-unreadable", MODEL)
def closed(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).chmod(0o000)


@CASES.finds("check_weights_readable", "path-unreadable", ADAPTER)
def closed_adapter(bench: Bench) -> None:
    (write_adapter(bench.here, "org/name") / ADAPTER).chmod(0o000)


# Only root can give a file to somebody else; to anybody else such a file is simply closed, which is told above.
if os.getuid() == 0:

    @CASES.finds("check_weights_readable", "weights-private-mode", f"(user {NOBODY})", severity="warning")
    def private_and_somebody_elses(bench: Bench) -> None:
        file = write_full(bench.here) / MODEL
        os.chown(file, NOBODY, NOBODY)
        file.chmod(0o600)

    @CASES.passes("check_weights_readable")
    def somebody_elses_and_open(bench: Bench) -> None:
        os.chown(write_full(bench.here) / MODEL, NOBODY, NOBODY)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
