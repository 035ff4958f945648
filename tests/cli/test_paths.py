"""`sage-doctor paths`, as a person and a program see it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.model_directories import write_full
from tests.warm_python import run_warm

ROOT = Path(__file__).parents[2]
MANIFEST = """schema = 1
[machines.here]
match.hostname = "*"
[machines.sprout]
match.hostname = "no-such-host"
home = "/home/sprout"
[roles.r]
models = ["m"]
runners = ["scripts/*.py"]
[models.m]
kind = "full"
path = "zoo/m"
"""
SCRIPT = '''"""Of /home/sprout."""
MODEL = "/home/sprout/hrm/zoo/m"
BIN = "/usr/bin/env"
LOG = f"/home/sprout/hrm/zoo/{BIN}"
'''


Doctor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def doctor(warm_doctor: Path) -> Doctor:
    """Run `sage-doctor` in a directory, on the machine `here`."""

    def run(directory: Path, *words: str, home: str = "home") -> subprocess.CompletedProcess[str]:
        (directory / home).mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(directory / home), "SAGE_MACHINE": "here"}
        done = run_warm(warm_doctor, ("-m", "sage_doctor", *words), cwd=directory, env=environment)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def paths(doctor: Doctor) -> Doctor:
    """Run `sage-doctor paths` in a directory."""
    return lambda directory, *words: doctor(directory, "paths", *words)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    write_full(tmp_path / "zoo/m")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "sage-doctor.toml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "scripts/run.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path


def test_a_path_that_was_mapped_and_is_missing_is_counted_as_it_is_listed(paths: Doctor, checkout: Path) -> None:
    script = checkout / "scripts/run.py"
    script.write_text(SCRIPT.replace("hrm/zoo/m", "hrm/zoo/m2") + 'OTHER = "/home/sprout/hrm/zoo/m"\nopen(OTHER)\n')
    done = paths(checkout)
    assert "scripts/run.py:2:9: not found here: /home/sprout/hrm/zoo/m2\n" in done.stdout
    assert "1 file read; paths: 1 documentation, 1 not found here, 2 found here\n" in done.stdout


def test_what_a_run_would_take_is_listed_with_how_to_write_it(paths: Doctor, checkout: Path) -> None:
    done = paths(checkout)
    assert done.returncode == 1, done.stderr
    assert "scripts/run.py:2:9: found here: /home/sprout/hrm/zoo/m\n" in done.stdout
    assert f"    here       {checkout}/zoo/m\n" in done.stdout
    assert '    write      str(Path(__file__).resolve().parents[1] / "zoo/m")\n' in done.stdout
    assert '    suggested  f"{Path(__file__).resolve().parents[1]}/zoo/{BIN}"\n' in done.stdout
    assert "/usr/bin" not in done.stdout
    assert done.stdout.endswith(
        "1 file read; paths: 1 documentation, 2 found here\n"
        "1 suggested: `sage-doctor paths --patch` prints a patch for `git apply`\n"
    )


def test_files_are_read_without_a_manifest_or_a_model(paths: Doctor, tmp_path: Path) -> None:
    (tmp_path / "home/models/m").mkdir(parents=True)
    (tmp_path / "night.sh").write_text("#!/bin/sh\nrun --model /home/thor/models/m\n")
    done = paths(tmp_path, "night.sh")
    assert (done.returncode, "2:13: found here: /home/thor/models/m" in done.stdout) == (1, True), done.stderr
    (words,) = re.findall("`sage-doctor paths (.+)` prints a patch", done.stdout)
    assert '+run --model "$HOME"/models/m' in paths(tmp_path, *words.split()).stdout
    done = paths(tmp_path)
    assert (done.returncode, "name the FILEs" in done.stderr) == (3, True)


def test_a_program_reads_it_too(paths: Doctor, checkout: Path) -> None:
    done = paths(checkout, "-f", "json", "--all", "scripts/run.py")
    said = json.loads(done.stdout)
    assert [(p["line"], p["class"], p["certain"]) for p in said["paths"]] == [
        *((1, "documentation", None), (2, "mappable", True), (3, "external", None), (4, "mappable", False))
    ]


def test_nothing_wrong_is_0(paths: Doctor, checkout: Path) -> None:
    (checkout / "scripts/run.py").write_text("print()\n", encoding="utf-8")
    done = paths(checkout)
    assert (done.returncode, done.stdout) == (0, "1 file read; paths: none\n")


def test_a_file_that_is_not_there_is_wrong_usage(paths: Doctor, checkout: Path) -> None:
    assert paths(checkout, "nowhere.py").returncode == 2


def test_what_is_only_suggested_is_a_patch_for_git(paths: Doctor, checkout: Path) -> None:
    (checkout / "scripts/run.sh").write_text("#!/bin/sh\nls /home/sprout/hrm/zoo/m\n", encoding="utf-8")
    done = paths(checkout, "--patch", "scripts/run.py", "scripts/run.sh")
    assert (done.returncode, done.stderr) == (0, "")
    assert "+++ b/scripts/run.py\n" in done.stdout
    assert '+LOG = f"{Path(__file__).resolve().parents[1]}/zoo/{BIN}"\n' in done.stdout
    assert 'MODEL = "/home/sprout/hrm/zoo/m"\n' in done.stdout
    assert '+ls "$repo_root"/zoo/m\n' in done.stdout
    subprocess.run(["git", "-C", str(checkout), "apply", "-"], input=done.stdout, text=True, check=True)
    ran = subprocess.run(["sh", "scripts/run.sh"], cwd=checkout, capture_output=True, text=True, check=True)
    assert "config.json" in ran.stdout.split()
    listed = paths(checkout, "scripts/run.sh")
    assert (listed.returncode, listed.stdout) == (0, "1 file read; paths: none\n")
    again = paths(checkout, "--patch", "scripts/run.sh")
    assert (again.returncode, again.stdout) == (0, "")
    assert "no suggestions" in again.stderr


def test_a_shell_script_is_listed_with_the_line_that_it_needs(paths: Doctor, checkout: Path) -> None:
    (checkout / "run.sh").write_text("#!/bin/sh\nls '/home/sprout/hrm/zoo/m'\n", encoding="utf-8")
    done = paths(checkout, "run.sh")
    assert '    suggested  "$repo_root/zoo/m"\n    with       repo_root=$(CDPATH= cd -- ' in done.stdout


def test_patches_of_two_repositories_are_not_mixed(paths: Doctor, checkout: Path) -> None:
    for name in ("a", "b"):
        (checkout / name / ".git").mkdir(parents=True)
        (checkout / name / "run.sh").write_text("#!/bin/sh\nls /home/sprout/hrm/zoo/m\n", encoding="utf-8")
    done = paths(checkout, "--patch", "a/run.sh", "b/run.sh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "several repositories" in done.stderr
    assert "+++ b/run.sh\n" in paths(checkout, "--patch", "a/run.sh").stdout


def test_a_fix_shows_it_where_there_is_nothing_else_to_do(doctor: Doctor, checkout: Path) -> None:
    (checkout / "scripts/run.py").write_text('LOG = "--model=/home/sprout/hrm/zoo/m"\n', encoding="utf-8")
    done = doctor(checkout, "fix", "--rewrite-paths", "--dry-run", "--level", "static", home=".")
    heading = "rewrite-paths: scripts/run.py\n  suggested  NOT applied; review it, then apply it:\n"
    assert heading in done.stdout, done.stderr
    assert '    +LOG = f"--model={Path(__file__).resolve().parents[1]}/zoo/m"\n' in done.stdout
    how = f"sage-doctor paths --patch {checkout}/scripts/run.py | git -C {checkout} apply"
    assert f"  apply      {how}\n" in done.stdout
    assert (checkout / "scripts/run.py").read_text() == 'LOG = "--model=/home/sprout/hrm/zoo/m"\n'


def test_what_this_machine_starts_by_itself_is_read_where_that_is_asked_for(
    paths: Doctor, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "scripts/run.py").write_text("print()\n", encoding="utf-8")
    units = checkout / "home/.config/systemd/user"
    units.mkdir(parents=True)
    (units / "session.service").write_text(
        f"[Service]\nExecStart={checkout}/scripts/gone.py\nEnvironment=M=/home/sprout/hrm/zoo/m\n", encoding="utf-8"
    )
    (units / "other.service").write_text("[Service]\nExecStart=/usr/bin/nothing-of-ours\n", encoding="utf-8")
    command = checkout / "bin/crontab"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho '@reboot cd /home/sprout/hrm/zoo/m && ls'\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert paths(checkout).stdout == "1 file read; paths: none\n"
    done = paths(checkout, "--installed")
    assert done.returncode == 1, done.stderr
    unit = units / "session.service"
    assert (
        f"{unit}: unit-path-missing: line 2: ExecStart names {checkout}/scripts/gone.py, which does not exist\n"
        in done.stdout
    )
    assert f"{unit}:3:1: found here: /home/sprout/hrm/zoo/m\n" in done.stdout
    assert "crontab -l:1:1: found here: /home/sprout/hrm/zoo/m\n" in done.stdout
    assert "other.service" not in done.stdout
    said = json.loads(paths(checkout, "--installed", "-f", "json").stdout)
    assert [(f["file"], f["code"]) for f in said["lacking"]] == [(str(unit), "unit-path-missing")]
