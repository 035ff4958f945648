"""`fleet check` on hosts behind a real sshd: each answers in a way of its own, and each is told apart."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from sage_doctor.cli import fleet_check
from sage_doctor.errors import UsageError

from .conftest import HOSTS, Fleet, told


def test_reports_come_from_the_hosts_that_have_a_doctor(fleet: Fleet) -> None:
    verdicts = {m["label"]: m["report"]["verdict"] for m in fleet.answer["machines"]}
    assert verdicts == {"healthy": "healthy", "ill": "unhealthy"}
    assert fleet.answer["roles"][0]["sentence"] == "runs on healthy"


def test_an_unhealthy_host_counts_more_than_what_is_not_known(fleet: Fleet) -> None:
    assert fleet.code == 1


@pytest.mark.parametrize(
    "host, state, why",
    [
        ("dead", "unreachable", "Connection refused"),
        ("refused", "unreachable", "Permission denied"),
        ("newcomer", "unreachable", "Host key verification failed"),
        ("bare", "not installed", "no no-such-doctor found there; sage-doctor fleet install"),
        ("old", "unknown", "unrecognized arguments: --fail-on (exit code 2)"),
        ("newer", "unknown", "written by a newer sage-doctor"),
        ("hung", "unknown", "no answer within 8 s"),
        ("talks", "unknown", "Segmentation fault (exit code 139)"),
    ],
)
def test_a_host_without_a_report_is_told_with_its_reason(fleet: Fleet, host: str, state: str, why: str) -> None:
    said = fleet.silence(host)
    assert said[0] == state
    assert why in said[1]


def test_each_host_is_told_as_it_answers_and_the_slow_one_last(fleet: Fleet) -> None:
    lines = [line for line in fleet.progress.splitlines() if line.startswith("[")]
    assert len(lines) == len(HOSTS)
    assert "hung: unknown" in lines[-1]


def test_hosts_are_named_without_an_inventory_a_limit_holds_and_no_key_is_learned_by_asking(fleet: Fleet) -> None:
    words = ("fleet check", "-i", "sprout,mute,stranger", "--limit", "sprout,mute", "-l", "static")
    code, out, _ = told(*words, environ=fleet.environ)
    assert code == 3
    assert "sprout: not installed: no sage-doctor found there" in out
    assert "mute: unreachable: " in out
    assert "stranger" not in out
    known = (fleet.inventory.parent / "sshd/known_hosts").read_text()
    assert known.count("\n") == 1


@pytest.mark.parametrize(
    "words, why",
    [
        (("-i", "thor,-oProxyCommand=x"), "ssh would take -oProxyCommand=x for an option"),
        (("-i", "/nowhere/hosts"), "no inventory at /nowhere/hosts"),
        (("-i", "thor,", "--limit", "nobody"), "no hosts match nobody"),
        (("-i", "thor,", "-o", "junit:x.xml"), "shown as html, json, markdown, terminal, not as junit"),
        (("-i", "thor,", "--role", "{{ lookup('pipe', 'id') }}"), "take this for a template"),
    ],
)
def test_wrong_usage_runs_nothing(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(UsageError, match=why.replace("{", "").replace("(", ".")):
        told("fleet check", *words)


def test_an_inventory_of_which_a_part_cannot_be_read_asks_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("all:\n  hosts:\n  thor\n   x: [\n")
    (tmp_path / "b.ini").write_text("sprout\n")
    with pytest.raises(UsageError, match=r"read no inventory: Failed to parse .* could not find expected .*a.yml"):
        told("fleet check", "-i", str(tmp_path))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files of Ansible's, left by the way
def test_an_interrupt_ends_what_runs_here(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_check, "_tell", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    words = ("fleet check", "-i", str(fleet.inventory), "--limit", "bare:hung", "-l", "static")
    with pytest.raises(KeyboardInterrupt):
        told(*words, environ=fleet.environ)
    until = time.monotonic() + 10
    while _sshs(fleet, "hung-doctor") and time.monotonic() < until:
        time.sleep(0.05)
    assert _sshs(fleet, "hung-doctor") == []


def _sshs(fleet: Fleet, word: str) -> list[str]:
    """Return the command lines of this fleet's ssh clients that hold this word; other workers' run beside it."""
    found, own = [], fleet.inventory.parent
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if "ssh" in line.split(" ")[0] and word in line and str(own) in line]


def test_what_one_host_lacks_and_another_has_is_told(fleet: Fleet) -> None:
    (copy,) = fleet.answer["copies"]
    assert (copy["model"], copy["source"], copy["target"]) == ("m", "healthy", "ill")
