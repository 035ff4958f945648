"""The journal survives what kills whoever writes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.repairs.journal import Journal
from sage_doctor.system.state_directory import state_directory

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(path=tmp_path / "state" / "repairs.jsonl")


@pytest.mark.parametrize(
    "environ,where",
    [
        ({}, "/home/u/.local/state/sage-doctor"),
        ({"XDG_STATE_HOME": "/s"}, "/s/sage-doctor"),
        ({"XDG_STATE_HOME": "relative"}, "/home/u/.local/state/sage-doctor"),
        ({"XDG_STATE_HOME": "/s", "STATE_DIRECTORY": "/var/lib/doctor:/var/lib/two"}, "/var/lib/doctor"),
        ({"STATE_DIRECTORY": ""}, "/home/u/.local/state/sage-doctor"),
    ],
)
def test_where_it_lies(environ: dict[str, str], where: str) -> None:
    assert state_directory(environ, Path("/home/u")) == Path(where)


def test_what_is_written_is_read_again_in_order(journal: Journal) -> None:
    key = journal.begin(repair="merge", subject="m\n\x1b[31m\udcff", kept=None)
    journal.append("repaired", key)
    assert [(e["event"], e["key"]) for e in journal.entries()] == [("begun", key), ("repaired", key)]
    assert journal.entries()[0]["subject"] == "m\n\x1b[31m\udcff"
    assert journal.path.read_bytes().count(b"\n") == 2
    assert journal.path.read_bytes().isascii()


def test_others_may_not_read_it(journal: Journal) -> None:
    journal.begin(repair="merge")
    assert journal.path.stat().st_mode & 0o077 == 0
    assert journal.path.parent.stat().st_mode & 0o077 == 0


def test_a_torn_last_line_costs_that_line_only(journal: Journal) -> None:
    first = journal.begin(repair="one")
    with journal.path.open("ab") as file:
        file.write(b'{"event": "begun", "key": "to')
    journal.append("repaired", first)
    assert [e["event"] for e in journal.entries()] == ["begun", "repaired"]


@pytest.mark.parametrize("line", [b"\0" * 4096, b"[" * 100_000, b"3", b'{"event": 3, "key": "x"}', b"\xff\xfe", b"{}"])
def test_lines_that_are_no_entries_are_read_over(journal: Journal, line: bytes) -> None:
    key = journal.begin(repair="one")
    with journal.path.open("ab") as file:
        file.write(line + b"\n")
    journal.append("failed", key)
    assert [e["event"] for e in journal.entries()] == ["begun", "failed"]


def test_only_what_a_process_that_is_gone_left_open_is_unfinished(journal: Journal) -> None:
    mine = journal.begin(repair="mine")
    ended = journal.begin(repair="ended")
    journal.append("rolled-back", ended)
    code = (
        "import sys; from pathlib import Path; from sage_doctor.repairs.journal import Journal\n"
        "print(Journal(path=Path(sys.argv[1])).begin(repair='theirs'))\n"
    )
    theirs = subprocess.run(
        [sys.executable, "-c", code, str(journal.path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout.strip()
    assert [e["key"] for e in journal.unfinished()] == [theirs]
    journal.append("noted", theirs)
    assert not journal.unfinished()
    assert mine


@pytest.mark.parametrize("pid", [None, "1", -1, 0, 10**30, True])
def test_a_process_that_is_none_counts_as_gone(journal: Journal, pid: object) -> None:
    journal.append("begun", "k", pid=pid)
    assert [e["key"] for e in journal.unfinished()] == ["k"]


def test_many_writers_lose_no_line(journal: Journal) -> None:
    def write() -> None:
        for _ in range(20):
            journal.append("begun", "k" * 3000)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.entries()) == 80
    assert all(json.loads(line) for line in journal.path.read_bytes().splitlines())


def test_a_journal_that_is_no_file_raises_and_never_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/full/repairs.jsonl")):
        journal = Journal(path=path)
        with pytest.raises(DoctorError, match="no repair runs without it"):
            journal.begin(repair="merge")
        assert journal.entries() == []


def test_a_link_in_its_place_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs\n")
    (tmp_path / "repairs.jsonl").symlink_to(tmp_path / "theirs")
    with pytest.raises(DoctorError):
        Journal(path=tmp_path / "repairs.jsonl").begin(repair="merge")
    assert (tmp_path / "theirs").read_text() == "theirs\n"
