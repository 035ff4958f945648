"""`fleet check` on hosts behind a real sshd: each answers in a way of its own, and each is told apart."""

from __future__ import annotations

import pytest

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
        ("bare", "not installed", "no sage-doctor on its PATH"),
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


def test_a_limit_asks_only_those(fleet: Fleet) -> None:
    words = ("fleet check", "-i", str(fleet.inventory), "--limit", "dead", "-l", "static")
    code, out, _ = told(*words, environ=fleet.environ)
    assert code == 3
    assert "dead: unreachable" in out
    assert "healthy" not in out


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


def test_what_one_host_lacks_and_another_has_is_told(fleet: Fleet) -> None:
    (copy,) = fleet.answer["copies"]
    assert (copy["model"], copy["source"], copy["target"]) == ("m", "healthy", "ill")
