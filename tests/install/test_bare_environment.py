"""What a scheduled run will lack is told, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.install.bare_environment import lacking, own_program, prove
from sage_doctor.manifest.specs import Manifest
from tests.other_hosts import load_manifest

from .conftest import AWKWARD, make_order, write_stand_in

TEXT = """schema = 1
[roles.talk]
models = ["m"]
[models.m]
kind = "service"
url = "http://127.0.0.1:1/v1"
model = "x"
api_key_env = "MY_KEY"
"""


def manifest(tmp_path: Path, text: str = TEXT) -> Manifest:
    path = tmp_path / "sage-doctor.toml"
    path.write_text(text)
    return load_manifest(path, environ={}, hostname="thor", device_tree=None, home=tmp_path)


def test_a_key_is_never_copied_and_said_to_be_needed(tmp_path: Path) -> None:
    (said,) = lacking(make_order(tmp_path), manifest(tmp_path), {"MY_KEY": "sk-secret"}, "systemd")
    assert "the key of m is in $MY_KEY" in said
    assert "EnvironmentFile=" in said
    assert "sk-secret" not in said


def test_what_changes_sessions_is_named_and_not_copied(tmp_path: Path) -> None:
    plain = manifest(tmp_path, "schema = 1\n")
    environ = {"LD_LIBRARY_PATH": "/opt/cuda/lib", "CUDA_VISIBLE_DEVICES": "1", "LANG": "C", "HF_HOME": "/data"}
    (said,) = lacking(make_order(tmp_path, environment={"HF_HOME": "/data"}), plain, environ, "cron")
    assert "this shell sets LD_LIBRARY_PATH, CUDA_VISIBLE_DEVICES" in said
    assert "crontab -e" in said


def test_an_active_environment_that_the_program_is_not_in(tmp_path: Path) -> None:
    plain = manifest(tmp_path, "schema = 1\n")
    order = make_order(tmp_path / "venv" / "bin")
    (said,) = lacking(order, plain, {"CONDA_PREFIX": "/opt/conda/envs/sage"}, "cron")
    assert "python = /opt/conda/envs/sage/bin/python" in said
    assert list(lacking(order, plain, {"VIRTUAL_ENV": str(tmp_path / "venv")}, "cron")) == []


def test_nothing_is_said_where_nothing_is_lacking(tmp_path: Path) -> None:
    assert list(lacking(make_order(tmp_path), manifest(tmp_path, "schema = 1\n"), {"LANG": "C"}, "systemd")) == []


@pytest.mark.parametrize("name", AWKWARD)
def test_the_script_it_was_called_as(tmp_path: Path, name: str) -> None:
    script = write_stand_in(tmp_path / name).path
    assert own_program(str(script)) == (str(script),)
    prove((str(script),), tmp_path, {})


def test_else_the_interpreter_and_the_module(tmp_path: Path) -> None:
    (tmp_path / "sage-doctor").write_text("no program")
    for called_as in ("/some/sage_doctor/__main__.py", str(tmp_path / "sage-doctor"), ""):
        words = own_program(called_as)
        assert (words[0], words[-2:]) == (sys.executable, ("-m", "sage_doctor"))


if sys.version_info >= (3, 11):  # older ones have no -P

    def test_a_directory_of_that_name_in_the_home_is_not_taken_for_it(tmp_path: Path) -> None:
        (tmp_path / "sage_doctor").mkdir()
        (tmp_path / "sage_doctor" / "__init__.py").write_text("raise SystemExit('the wrong one')")
        done = subprocess.run(
            [*own_program(""), "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert "the wrong one" not in done.stderr


@pytest.mark.parametrize(
    "script,said",
    [
        ("echo no module named x >&2; exit 1", "no module named x"),
        ("echo hello", "hello"),
        ("kill -9 $$", "starts it;"),
    ],
)
def test_what_does_not_start_is_told(tmp_path: Path, script: str, said: str) -> None:
    program = tmp_path / "sage-doctor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(DoctorError, match="does not start in an empty environment") as caught:
        prove((str(program),), tmp_path, {})
    assert said in str(caught.value)
    with pytest.raises(DoctorError, match="does not start"):
        prove((str(tmp_path / "gone"),), tmp_path, {})
