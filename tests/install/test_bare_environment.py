"""What a scheduled run will lack is told, and nothing else."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.install.bare_environment import lacking
from sage_doctor.manifest.load import load_manifest
from sage_doctor.manifest.specs import Manifest

from .conftest import make_order

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
