"""What may be ordered: roles of this machine, paths that a file can carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.errors import UsageError
from sage_doctor.install.order import carried, chosen_roles, mounts_of
from sage_doctor.manifest.specs import Manifest
from tests.other_hosts import load_manifest

from .conftest import make_order

TEXT = """schema = 1
[machines.thor]
match.hostname = "thor"
roles = ["raising", "training"]
[machines.idle]
match.hostname = "idle"
roles = []
[roles.raising]
models = ["stance"]
[roles.training]
[roles.analysis]
[models.stance]
kind = "adapter"
path = "stance"
base = "base"
[models.base]
kind = "full"
path = "hf:org/name"
"""


def manifest(tmp_path: Path, text: str = TEXT, hostname: str = "thor") -> Manifest:
    path = tmp_path / "sage-doctor.toml"
    path.write_text(text)
    return load_manifest(path, environ={}, hostname=hostname, device_tree=None, home=tmp_path)


def test_all_roles_of_this_machine_or_those_asked_for(tmp_path: Path) -> None:
    assert chosen_roles(manifest(tmp_path), []) == ("raising", "training")
    assert chosen_roles(manifest(tmp_path), ["training", "training"]) == ("training",)


@pytest.mark.parametrize(
    "asked,hostname,said",
    [
        (["rasing"], "thor", "role rasing not found in .*; did you mean raising?"),
        (["xyz"], "thor", "role xyz not found in .*; roles: raising, training, analysis"),
        (["analysis"], "thor", "analysis is not a role of thor, whose roles are: raising, training; add it"),
        ([], "elsewhere", "has no machine that matches this host"),
        ([], "idle", "this machine has no role"),
    ],
)
def test_other_roles_are_refused(tmp_path: Path, asked: list[str], hostname: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen_roles(manifest(tmp_path, hostname=hostname), asked)


def test_a_manifest_without_roles(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no roles; add \[roles.NAME\]"):
        chosen_roles(manifest(tmp_path, "schema = 1\n"), [])


def test_what_must_be_mounted(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert mounts_of(manifest(tmp_path), "raising", cache) == (
        tmp_path / "sage-doctor.toml",
        tmp_path / "stance",
        cache,
    )


def test_variables_that_only_the_shell_has_are_carried() -> None:
    environ = {"SAGE_MACHINE": "thor", "HF_HOME": "", "ZOO": "/zoo", "PATH": "/bin", "SECRET": "x"}
    assert carried(environ, 'path = "{env:ZOO}/a"  # {env:GONE}') == {"SAGE_MACHINE": "thor", "ZOO": "/zoo"}


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb", "a\udcffb", "a\0b"])
def test_names_no_file_can_carry_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="control character or a byte that is not UTF-8"):
        make_order(tmp_path, manifest=tmp_path / name)
