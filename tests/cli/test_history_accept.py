"""A counter that was set back on purpose, from the finding to the run that is content again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Doctor, answered

MANIFEST = """
schema = 1
[state.identity]
path = "state.json"
counter = "n"
min_from_glob = "s/*.txt"
[state.plain]
path = "plain.json"
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "sage-doctor.toml").write_text(MANIFEST)
    (tmp_path / "plain.json").write_text("{}")
    count(tmp_path, 43)
    return tmp_path


def count(repository: Path, value: object) -> None:
    (repository / "state.json").write_text(json.dumps({"n": value}))


def lines(repository: Path, name: str) -> list[dict[str, Any]]:
    path = repository / "home/.local/state/sage-doctor" / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def highest(repository: Path) -> int:
    record = json.loads((repository / "home/.local/state/sage-doctor/highest.json").read_text())
    value: int = record["highest"][0]["value"]
    return value


def test_from_the_finding_to_health(doctor: Doctor, repository: Path) -> None:
    assert doctor("check", "-l", "static").code == 0
    count(repository, 41)
    ill = doctor("check", "-f", "json")
    assert ill.code == 1
    finding = ill.report["findings"][0]
    assert (finding["code"], finding["subject"]) == ("state-regressed", "state:identity")
    command = shlex.split(finding["fix"]["commands"][-1])
    assert command[:3] == ["sage-doctor", "history", "accept"]

    refused = doctor(*command[1:])
    assert (refused.code, highest(repository)) == (3, 43)
    assert "no terminal to ask at; use --yes" in refused.err
    assert lines(repository, "repairs.jsonl") == []

    done = doctor(*command[1:], "--yes")
    assert (done.code, done.err, highest(repository)) == (0, "", 41)
    assert done.out.splitlines()[-1] == "accepted: 41 is now the recorded highest value"
    begun, ended = lines(repository, "repairs.jsonl")
    assert (begun["repair"], begun["subject"], begun["before"], begun["value"]) == ("accept", "state:identity", 43, 41)
    assert (ended["event"], ended["key"]) == ("repaired", begun["key"])
    assert doctor("check").code == 0

    again = doctor("history", "accept", "identity")
    assert (again.code, len(lines(repository, "repairs.jsonl"))) == (0, 2)
    assert "which is the recorded highest value" in again.out


@pytest.mark.parametrize("answer, code, value", [(b"y\n", 0, 41), (b"\n", 3, 43), (b"no\n", 3, 43)])
def test_a_person_is_asked(
    doctor: Doctor,
    repository: Path,
    warm_doctor: Path,
    environment: dict[str, str],
    answer: bytes,
    code: int,
    value: int,
) -> None:
    assert doctor("check", "-l", "static").code == 0
    count(repository, 41)
    words = ("-m", "sage_doctor", "history", "accept", "identity")
    done = answered(answer, warm_doctor, *words, cwd=repository, env={**environment, "PYTHONPATH": str(ROOT)})
    assert (done.code, highest(repository)) == (code, value)
    assert "41; recorded highest value: 43 (" in done.out
    assert "Accept the lower value? [y/N]" in done.err


def test_a_higher_value_needs_no_consent(doctor: Doctor, repository: Path) -> None:
    for value in (43, 50):
        count(repository, value)
        assert (doctor("history", "accept", "state:identity").code, highest(repository)) == (0, value)


def test_a_file_that_says_otherwise_is_told(doctor: Doctor, repository: Path) -> None:
    (repository / "s").mkdir()
    (repository / "s/session_44.txt").write_text("")
    done = doctor("history", "accept", "identity")
    assert (done.code, highest(repository)) == (0, 43)
    assert "session_44.txt still has a higher number" in done.err


def test_a_damaged_record_is_kept_aside(doctor: Doctor, repository: Path) -> None:
    directory = repository / "home/.local/state/sage-doctor"
    directory.mkdir(parents=True)
    (directory / "highest.json").write_text("torn")
    done = doctor("history", "accept", "identity")
    assert (done.code, highest(repository)) == (0, 43)
    assert "highest.json.damaged-1" in done.err
    assert (directory / "highest.json.damaged-1").read_text() == "torn"


@pytest.mark.parametrize(
    "words, code, says",
    [
        (["history", "accept"], 2, "required: STATE"),
        (["history", "accept", "identty"], 2, "states: identity, plain"),
        (["history", "accept", "plain"], 2, "[state.plain] has no counter to accept"),
        (["history", "accept", "identity", "-m", "none.toml"], 2, "no such file"),
    ],
)
def test_what_cannot_be_accepted(doctor: Doctor, repository: Path, words: list[str], code: int, says: str) -> None:
    done = doctor(*words, cwd=repository)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_a_broken_state_is_not_accepted(doctor: Doctor, repository: Path) -> None:
    (repository / "state.json").write_text('{"n": ')
    done = doctor("history", "accept", "identity", "--yes")
    assert (done.code, done.out) == (3, "")
    assert "not valid JSON" in done.err


def test_without_a_manifest(doctor: Doctor) -> None:
    done = doctor("history", "accept", "identity")
    assert (done.code, done.out) == (2, "")
    assert "--manifest" in done.err
