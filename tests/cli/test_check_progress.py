"""What somebody sees who waits at a terminal while a model is examined deeply."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

import pytest

from tests.model_directories import write_full

# Speaks for a probe of a slow model: what it imports and computes would cost the seconds that this waits.
SLOW = """
import json, sys, time
with open(int(sys.argv[2]), "w") as answers:
    def say(**answer): print(json.dumps(answer), file=answers, flush=True)
    for stage in ("start", "import", "generate"):
        say(event="stage", name=stage)
    for done in range(1, 8):
        time.sleep(0.6)
        say(event="tokens", done=done, most=32)
    say(event="stage", name="done")
"""
PYTHON = """#!/bin/sh
case "$*" in *probe/script.py*) shift 2; exec {python} {slow} "$@";; *) exec {python} "$@";; esac
"""


def test_a_deep_check_says_every_second_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_full(tmp_path / "talker")
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "python").write_text(PYTHON.format(python=sys.executable, slow=tmp_path / "slow.py"))
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "sage-doctor.toml").write_text(
        f'schema = 1\npython = "{tmp_path}/python"\n[models.talker]\nkind = "full"\npath = "talker"\n'
    )
    monkeypatch.chdir(tmp_path)
    for name, value in {"HOME": str(tmp_path), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}.items():
        monkeypatch.setenv(name, value)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "sage_doctor", "check", "--no-history"])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    written = b""
    try:
        while part := os.read(terminal, 65536):
            written += part
    except OSError:  # the end, as Linux has it
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    clock = {int(n) for n in re.findall(r"talker: generating (?:\d/32 tokens )?· (\d) s", text)}
    assert len(clock) >= 3, text
    assert len(set(re.findall(r"talker: generating (\d)/32 tokens", text))) >= 3
    assert not re.search(r"\b[a-z_]+\.[a-z_]+\b: |load\.loads", text)  # the id of a check
    assert "sage-doctor" in text.rpartition("talker: ending")[2]  # the report comes after
