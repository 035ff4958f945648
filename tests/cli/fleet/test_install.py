"""`fleet install`: what it says of a host that cannot take the doctor, and what `--check` says would change."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.cli.fleet_install import _Told

from .conftest import told

# As Debian's and Ubuntu's python3 says it, on standard output, where python3-venv is not installed.
NO_VENV = """The virtual environment was not created successfully because ensurepip is not
available.  On Debian/Ubuntu systems, you need to install the python3-venv
package using the following command.

    apt install python3.10-venv
"""


@pytest.mark.parametrize(
    "result, says",
    [
        ({"rc": 1, "stdout": NO_VENV, "stderr": "", "msg": "non-zero return code"}, "apt install python3.10-venv"),
        ({"rc": 2, "msg": "Error executing command.", "cmd": ["python9", "-m", "venv"]}, "command. python9 -m venv"),
        ({"rc": 2, "msg": "Error executing command.", "cmd": "python9 -m venv"}, "command. python9 -m venv"),
        ({"rc": 1, "stderr": "Traceback\nERROR: No matching distribution\n", "cmd": ["pip"]}, "ERROR: No matching"),
    ],
)
def test_a_failure_says_what_is_missing(result: dict[str, Any], says: str) -> None:
    heard = _Told()
    heard("thor", "runner_on_failed", result)
    assert says in heard.of("thor", only_checked=False)


def test_a_check_tells_another_version_and_changes_nothing(tmp_path: Path) -> None:
    programs = tmp_path / "home" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "pip"):
        (programs / name).write_text("#!/bin/sh\necho 0.1.0\n")
        (programs / name).chmod(0o755)
    (tmp_path / "sage_doctor-0.2.0-py3-none-any.whl").write_bytes(b"")
    (tmp_path / "hosts.ini").write_text(f"here ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    before = sorted(os.listdir(programs.parent))
    words = ("fleet install", "-i", str(tmp_path / "hosts.ini"), "--home", str(programs.parent), "--check")
    code, out, progress = told(*words, "--source", str(tmp_path / "sage_doctor-0.2.0-py3-none-any.whl"))
    assert code == 0, progress
    assert "there: 0.1.0" in progress
    assert "here: 2 changes to make" in out
    assert sorted(os.listdir(programs.parent)) == before
