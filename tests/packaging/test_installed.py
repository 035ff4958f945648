"""The doctor as installed from the wheel, in another directory, finds what the checkout finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.model_directories import MODEL, POINTER, write_adapter, write_full, write_sharded

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment that has the wheel, and finds its dependencies where this one has them.

    Nothing is fetched. The dependencies' directory comes after the environment's own, and files in it that lead to the
    checkout (an editable installation) are not read: `.pth` files count in the environment's own directory only.
    """
    place = tmp_path_factory.mktemp("installed") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=60)
    python = place / "bin" / "python"
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True, timeout=60).stdout.strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--force-reinstall", str(wheel)], check=True, timeout=120)
    return python


def broken_tree(root: Path) -> None:
    base = write_full(root / "base")
    write_adapter(root / "adapter", base)
    write_adapter(root / "lost", "./nowhere/at/all")
    (write_full(root / "pointer") / MODEL).write_text(POINTER)
    (write_full(root / "hollow") / MODEL).unlink()
    write_full(write_sharded(root / "ambiguous"))
    write_full(root / "misfit", vocab_size=7)


def examined(python: Path | str, cwd: Path, **changes: str) -> dict[str, Any]:
    """Return the report without what no two runs have in common."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHONUTF8": "1", **changes}
    done = subprocess.run(
        [str(python), "-m", "sage_doctor", "check", "./tree", "-l", "integrity", "-f", "json"],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (1, "")
    report: dict[str, Any] = json.loads(done.stdout)
    for key in ("started_at", "duration_s"):
        del report[key]
    for check in report["checks"]:
        del check["duration_s"]
    return report


def test_the_wheel_is_what_runs_there(installed: Path, tmp_path: Path) -> None:
    code = "import sage_doctor, sage_doctor.suite.suite_files as s; print(sage_doctor.__file__); print(s.CHECKS)"
    told = subprocess.run([str(installed), "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    module, checks = told.split()
    assert Path(module).is_relative_to(installed.parents[1])
    assert Path(checks) == Path(module).parent / "_suite" / "checks"
    assert (installed.parent / "sage-doctor").exists()


def test_installed_and_checkout_report_alike(installed: Path, tmp_path: Path) -> None:
    broken_tree(tmp_path / "tree")
    from_wheel = examined(installed, tmp_path)
    # The same interpreter both times: the sessions' packages are part of what is examined.
    from_checkout = examined(installed, tmp_path, PYTHONPATH=str(ROOT))
    assert {f["code"] for f in from_wheel["findings"]} >= {"weights-lfs-pointer", "adapter-base-missing"}
    assert from_wheel == from_checkout


def test_the_command_runs_in_parallel_as_well(installed: Path, tmp_path: Path) -> None:
    broken_tree(tmp_path / "tree")
    done = subprocess.run(
        [str(installed.parent / "sage-doctor"), "check", "./tree", "-j", "2", "-f", "json"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["verdict"] == "unhealthy"
