"""ssh as the doctor calls it: a stand-in for the program, so that what it prints and how it ends are given.

A real server is asked in tests/repairs/actions/test_copy_model.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.system.ssh import Unreachable, require_programs, run_there, why_not_host


def stand_in(directory: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (directory / "ssh").write_text(f"#!/bin/sh\n{text}")
    (directory / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_only_what_the_script_prints_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    greeting = "echo Welcome; echo '*** banner ***' >&2\n"
    stand_in(tmp_path, monkeypatch, f'{greeting}printf "%s\\n" "$@" >{tmp_path}/words\nexec sh -s\n')
    assert run_there("sprout", "printf 'a\\0b'; cat; exit 3", timeout_s=20) == (3, b"a\0b")
    words = (tmp_path / "words").read_text().split("\n")
    assert words[-5:] == ["--", "sprout", "sh", "-s", ""]
    assert "BatchMode=yes" in words


@pytest.mark.parametrize(
    "text,says",
    [
        ("echo 'ssh: connect to host x: No route to host' >&2; exit 255", "connect to host x: No route to host. Try"),
        ("echo hello; exit 0", "no reason given"),  # a login shell that runs nothing
        ("sleep 60", "no answer within 1 s"),
        ("cat /dev/zero", "it printed too much"),
    ],
)
def test_a_machine_that_cannot_be_asked_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    stand_in(tmp_path, monkeypatch, f"{text}\n")
    with pytest.raises(Unreachable, match=says):
        run_there("sprout", "true", timeout_s=1 if "sleep" in text else 20)


def test_a_host_is_a_plain_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, f"touch {tmp_path}/called\n")
    for name in ("-oProxyCommand=x", "", "a b", "a\n", "user@host", "host:22", "[::1]", "$(x)", "sprout'"):
        assert why_not_host(name)
        with pytest.raises(Unreachable, match="not a host name"):
            run_there(name, "true", timeout_s=5)
    assert not (tmp_path / "called").exists()
    assert [why_not_host(n) for n in ("sprout", "orin-1.lan", "10.0.0.7")] == ["", "", ""]


def test_what_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DoctorError, match=r"ssh and rsync are not installed.*apt install openssh-client rsync"):
        require_programs("ssh", "rsync")
