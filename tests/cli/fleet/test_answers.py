"""What a host's result means, whatever its login shell prints before the report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sage_doctor.cli.fleet.answers import BEGIN, Answer, exit_code_of, read_answer, silent
from sage_doctor.report import Report
from sage_doctor.report.comparison import Silence, worst
from tests.render import sample_reports


def sent(**result: Any) -> Answer:
    return read_answer("thor", result.pop("event", "runner_on_ok"), result, 60)


@pytest.mark.parametrize("before", ["", "Welcome to thor\n{not json}\n"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_the_report_is_what_follows_its_line(before: str, ends: str) -> None:
    text = f"{before}{BEGIN}\n{json.dumps(sample_reports.healthy().to_json())}\n".replace("\n", ends)
    found = sent(rc=0, stdout=text)
    assert isinstance(found, Report)
    assert found.verdict == "healthy"


def test_what_is_no_report_is_unknown_and_what_it_says_is_made_printable() -> None:
    for text in (f"{BEGIN}\n{{}}", f"{BEGIN}\n\x1b[2J", f"{BEGIN}\n{{" + "[" * 100_000, "{}"):
        answer = sent(rc=0, stdout=text, stderr="\x1b]0;owned\x07")
        assert isinstance(answer, Silence)
        assert answer.state == "unknown"
        assert "\x1b" not in answer.why


def test_a_reason_is_the_doctors_own_or_all_that_was_said_instead() -> None:
    banner = "*** Property of the lab ***\n"
    closed = sent(rc=1, stdout="This account is currently not available.\n", stderr=banner)  # nologin's words
    assert isinstance(closed, Silence)
    assert closed.state == "unknown"
    assert "This account is currently not available. (exit code 1)" in closed.why
    sudo = sent(rc=127, stdout="hello of .bashrc\n", stderr=f"{banner}bash: line 1: sudo: command not found\n")
    assert isinstance(sudo, Silence)
    assert "sudo: command not found" in sudo.why
    killed = sent(rc=137, stdout=f"Welcome\n{BEGIN}\n", stderr=f"{banner}{BEGIN}\n", msg="non-zero return code")
    assert isinstance(killed, Silence)
    assert killed.why == "non-zero return code (exit code 137)"
    shell = sent(rc=127, stderr=f"{banner}fish: Unknown command: sh\n")
    assert isinstance(shell, Silence)
    assert shell.state == "unknown"


def test_a_connection_that_is_lost_is_told_as_that() -> None:
    # What Ansible makes of a killed sshd: its sentence, then what the host wrote as errors.
    lost = sent(event="runner_on_unreachable", msg=f"Failed to connect to the host via ssh: banner\n{BEGIN}")
    assert isinstance(lost, Silence)
    assert (lost.state, lost.why) == ("unreachable", "the connection was lost during the check")


def test_the_worst_host_decides() -> None:
    well = exit_code_of(sample_reports.healthy())
    assert worst([well]) == 0
    assert worst([well, exit_code_of(silent("b", "unknown", "gone"))]) == 3
