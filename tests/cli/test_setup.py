"""`setup`: this host's table is proposed, shown, and appended; then the other commands do their part."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import tomllib

from tests.model_directories import write_adapter, write_full

from .conftest import Doctor

HOST = os.uname().nodename.lower().partition(".")[0]
MANIFEST = """schema = 1   # ours
[machines.thor]
match.hostname = "thor-of-nobody"
roles = ["talk"]
home = "/home/dp"
vars.zoo = "/home/dp/zoo"
[roles.talk]
models = ["merged"]
[roles.other]
models = ["base"]
[models.base]
kind = "full"
path = "{zoo}/base"
[models.intro]
kind = "adapter"
path = "{zoo}/intro"
base = "base"
[models.merged]
kind = "merged"
path = "{zoo}/merged"
merge = { base = "base", adapter = "intro" }
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout on a machine that its manifest does not know; base and adapter are here, the merge is not."""
    place = tmp_path / "home" / "checkout"
    write_adapter(tmp_path / "home/zoo/intro", write_full(tmp_path / "home/zoo/base"))
    place.mkdir()
    (place / "sage-doctor.toml").write_text(MANIFEST)
    return place


def setup(doctor: Doctor, checkout: Path, *words: str, code: int = 0, machine: str | None = None) -> str:
    environ = {"SAGE_MACHINE": machine} if machine is not None else {}
    done = doctor("setup", "-l", "static", *words, cwd=checkout, HOME=str(checkout.parent), **environ)
    assert done.code == code, done.out + done.err
    return done.out + done.err


def test_a_dry_run_shows_the_table_and_writes_nothing(doctor: Doctor, checkout: Path) -> None:
    out = setup(doctor, checkout, "--dry-run")
    assert f"+[machines.{HOST}]" in out
    assert (checkout / "sage-doctor.toml").read_text() == MANIFEST


def test_the_machine_gets_its_table_and_its_models_and_a_second_run_changes_nothing(
    doctor: Doctor, checkout: Path
) -> None:
    out = setup(doctor, checkout, "--yes", "--role", "talk")
    text = (checkout / "sage-doctor.toml").read_text()
    assert text.startswith(MANIFEST)
    own = tomllib.loads(text)["machines"][HOST]
    home = str(checkout.parent)
    assert own == {"match": {"hostname": HOST}, "roles": ["talk"], "home": home, "vars": {"zoo": f"{home}/zoo"}}
    assert (checkout.parent / "zoo/merged/model.safetensors").is_file()
    assert "HEALTHY" in out.rpartition("4/4 check")[2]
    again = setup(doctor, checkout, "--yes")
    assert f"machine {HOST}" in again
    assert (checkout / "sage-doctor.toml").read_text() == text


def test_a_machine_that_is_there_is_named(doctor: Doctor, checkout: Path) -> None:
    theirs = MANIFEST.replace("/home/dp", str(checkout.parent / "dp"))  # directories are made there
    (checkout / "sage-doctor.toml").write_text(theirs)
    out = setup(doctor, checkout, "--yes", "--machine", "thor", code=1)
    assert "set SAGE_MACHINE=thor for sessions as well" in out
    assert (checkout / "sage-doctor.toml").read_text() == theirs


@pytest.mark.parametrize(
    "words, says",
    [
        (("--yes", "--role", "singing"), "--role singing: roles are talk, other"),
        (("--yes", "--var", "zo=/x"), "--var zo: no machine sets it; they set zoo"),
        (("--yes", "--from", "nobody"), "--from nobody: not a machine of the manifest (machines: thor)"),
        (("--yes", "--machine", "thor", "--role", "other", "--var", "zoo=/home/dp/zoo"), "something else than --role;"),
        ((), "there is no terminal to ask at; --yes consents"),
    ],
)
def test_wrong_usage_writes_nothing(doctor: Doctor, checkout: Path, words: tuple[str, ...], says: str) -> None:
    assert says in setup(doctor, checkout, *words, code=2)
    assert (checkout / "sage-doctor.toml").read_text() == MANIFEST


def test_models_are_asked_for_where_a_machine_has_them(doctor: Doctor, checkout: Path) -> None:
    (checkout.parent / "zoo").rename(checkout.parent / "taken away")
    ssh = checkout.parent / "bin/ssh"  # nobody answers
    ssh.parent.mkdir()
    ssh.write_text("#!/bin/sh\nexit 255\n")
    ssh.chmod(0o755)
    words = ("setup", "-l", "static", "--yes", "--role", "talk")
    path = f"{ssh.parent}:{os.environ['PATH']}"
    done = doctor(*words, cwd=checkout, HOME=str(checkout.parent), PATH=path)
    assert done.code == 1
    assert "$ sage-doctor sync merged --from thor --yes" in done.out + done.err
    assert os.listdir(checkout.parent / "zoo") == []


def test_a_second_machine_of_one_hostname_is_told_by_its_name_alone(doctor: Doctor, checkout: Path) -> None:
    theirs = MANIFEST.replace("thor-of-nobody", HOST).replace("/home/dp", str(checkout.parent))
    (checkout / "sage-doctor.toml").write_text(theirs)
    for machine in ("twin", None):
        words = [] if machine else ["--machine", "twin"]
        out = setup(doctor, checkout, "--yes", "--role", "talk", *words, machine=machine)
        assert "set SAGE_MACHINE=twin for sessions as well" in out
        text = (checkout / "sage-doctor.toml").read_text()
        assert text.startswith(theirs)
        own = tomllib.loads(text)["machines"]["twin"]
        assert (own["roles"], "match" in own, text.count("[machines.")) == (["talk"], False, 2)


def test_without_a_manifest_one_is_written_first(doctor: Doctor, checkout: Path) -> None:
    (checkout / "sage-doctor.toml").unlink()
    (checkout.parent / "zoo").rename(checkout / "zoo")
    setup(doctor, checkout, "--yes")
    assert "[models." in (checkout / "sage-doctor.toml").read_text()
