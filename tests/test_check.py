"""The checks where Python drops docstrings, which are their titles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.model_directories import write_full


def test_a_python_without_docstrings_checks_all_the_same(tmp_path: Path) -> None:
    write_full(tmp_path / "m")
    command = [sys.executable, "-OO", "-m", "sage_doctor", "check", "--no-history", str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
