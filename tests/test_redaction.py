"""Secrets are neither shown nor stored, whoever put them into a text."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sage_doctor import text as module
from sage_doctor.repairs.journal import Journal
from sage_doctor.text import is_secret_name, learn_secrets, printable, redact_values, redacted, remember_secret


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_secrets", [])
    monkeypatch.setattr(module, "_learned", True)


@pytest.mark.parametrize(
    "said, shown",
    [
        ("clone https://user:TOKEN@host/x.git", "clone https://***@host/x.git"),
        ("https://ghp_TOKEN@host, http://a@b", "https://***@host, http://***@b"),
        ("ssh://git:TOKEN@host/x", "ssh://***@host/x"),
        ("https://user:p@ss@host/x", "https://***@host/x"),
        ("ssh://git@host/x and git@host:x", "ssh://git@host/x and git@host:x"),
        ("https://host/a@b", "https://host/a@b"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_what_stands_before_the_host_of_a_url(said: str, shown: str) -> None:
    assert redacted(said) == shown
    assert printable(said) == shown


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_PASSWORD", "OPENAI_API_KEY", "KEY", "db_pass"],
)
def test_variables_with_secrets(name: str) -> None:
    assert is_secret_name(name)
    learn_secrets({name: "S1SECRET"})
    assert redacted("x S1SECRETy") == "x ***y"
    assert redact_values({"S1SECRET": ["S1SECRET", 1, {"a": ("S1SECRET",)}]}) == {"***": ["***", 1, {"a": ("***",)}]}


@pytest.mark.parametrize(
    "name, value",
    [
        ("TOKENIZERS_PARALLELISM", "sometimes"),
        ("SSH_AUTH_SOCK", "agent.sock"),
        ("HF_TOKEN_PATH", "tokens"),
        ("KEYBOARD", "german"),
        ("MONKEY", "banana"),
        ("SSH_KEY", "/home/me/.ssh/id"),
        ("API_KEY", "short"),
        ("MAX_TOKENS", "1000000"),
        ("AUTH", "disabled"),
        ("PATH", "models"),
    ],
)
def test_what_is_no_secret(name: str, value: str) -> None:
    learn_secrets({name: value})
    assert redacted(f"in {value} x") == f"in {value} x"


def test_one_secret_within_another() -> None:
    remember_secret("abcdef")
    remember_secret("abcdefgh")
    assert redacted("abcdefgh abcdef") == "*** ***"


def test_the_journal(tmp_path: Path) -> None:
    remember_secret("S1SECRET")
    journal = Journal(path=tmp_path / "repairs.jsonl")
    key = journal.begin(writes=("https://u:S2SECRET@host",), diff=("S1SECRET",), kept="/S1SECRET")
    journal.append("failed", key, reason="no S1SECRET")
    first, second = map(json.loads, journal.path.read_text().splitlines())
    assert (first["writes"], first["diff"], first["kept"]) == (["https://***@host"], ["***"], "/S1SECRET")
    assert second["reason"] == "no ***"


@pytest.mark.parametrize("unit", ["://", "a://b", "://a", "@", "s://:"])
def test_the_time_is_linear(unit: str) -> None:
    begun = time.monotonic()
    redacted(unit * 200_000)
    assert time.monotonic() - begun < 1
