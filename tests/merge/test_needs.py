"""What a merge asks for before it begins, seen from an interpreter that lacks it."""

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_an_interpreter_without_torch_is_told_so_before_anything_is_read(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    code = (
        "from pathlib import Path\n"
        "from sage_doctor.merge.needs import ResourceEstimate, require_resources\n"
        "from sage_doctor.merge.refusal import MergeRefused\n"
        "try:\n"
        f"    need = ResourceEstimate(disk_bytes=1, memory_bytes=1, seconds=0)\n"
        f"    require_resources(need, Path({str(tmp_path / 'out')!r}))\n"
        "except MergeRefused as refusal:\n"
        "    print(refusal.message)\n"
    )
    done = subprocess.run(
        [str(tmp_path / "bare/bin/python"), "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch, which is not installed" in done.stdout, done.stderr
    assert str(tmp_path / "bare") in done.stdout
    assert sys.prefix not in done.stdout
