"""The history's file among kills, crowds, full disks and rubbish: the run goes on, and what was whole stays whole."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.history import store
from sage_doctor.history.runs import last_good_run, record
from sage_doctor.history.store import MOST_ASIDE

from .runs import SNAPSHOT, finding, report, series, write

ROOT = Path(__file__).resolve().parents[2]
KILLS = 30
WRITERS = 20

# Forks a writer for each number on its input: that many runs. A writer says its number, then `+` before each run it
# writes and `-` after; whatever else is told of the history follows. One process imports: writers begin at once.
NURSERY = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from sage_doctor.history.runs import record
from tests.history.runs import SNAPSHOT, report, series
place = Path(sys.argv[1])
runs = [report(number=number, measured={"load_s": 1.0}) for number in range(5)]
for line in sys.stdin:
    pid = os.fork()
    if pid:
        continue
    own = os.getpid()
    os.write(1, f"{own} born\\n".encode())
    for number in range(int(line)):
        os.write(1, f"{own} +\\n".encode())
        told = record(runs[number % 5], SNAPSHOT, series(place), verb="check")
        os.write(1, f"{own} {told or '-'}\\n".encode())
    os._exit(0)
for _ in range(10_000):
    try:
        os.wait()
    except ChildProcessError:
        break
"""


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY, tmp_path, ROOT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1,
    ) as process:  # fmt: skip
        yield process


def counted(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        runs: int = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        # A run is there as a whole, or not at all.
        measured = connection.execute("SELECT count(*) FROM runs WHERE measured").fetchone()
        assert connection.execute("SELECT count(*) FROM measurements").fetchone() == measured
        assert connection.execute("SELECT count(*) FROM runs JOIN snapshots ON digest = snapshot").fetchone()[0] == runs
        return runs


def test_a_writer_killed_at_any_moment_leaves_whole_runs(tmp_path: Path, nursery: subprocess.Popen[str]) -> None:
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    dice = random.Random(7)
    written = midway = 0
    for _ in range(KILLS):
        nursery.stdin.write("100000\n")
        pid = nursery.stdout.readline().split()[0]
        time.sleep(dice.uniform(0, 0.15))
        os.kill(int(pid), signal.SIGKILL)
        # What was told to be written is there; of the one under way, all or nothing.
        write(series(tmp_path), report())
        written += 1
        nursery.stdin.write("0\n")  # its cry ends what the killed one said
        said = []
        while (line := nursery.stdout.readline().split())[0] == pid:
            said.append(line[1])
        assert set(said) <= {"+", "-"}, said
        written += said.count("-")
        midway += said[-1:] == ["+"]
        found = counted(tmp_path / "history.sqlite3")
        assert written <= found <= written + midway
    assert midway > KILLS / 3, "the kills did not hit the writing"
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_many_writers_at_once_lose_nothing_in_silence(tmp_path: Path, nursery: subprocess.Popen[str]) -> None:
    out, _ = nursery.communicate("5\n" * WRITERS, timeout=120)
    said = [line.partition(" ")[2] for line in out.splitlines()]
    assert said.count("born") == WRITERS
    assert said.count("+") == WRITERS * 5
    told = [line for line in said if line not in ("born", "+", "-")]
    assert all("another process held it for two seconds" in line for line in told), told
    assert counted(tmp_path / "history.sqlite3") == said.count("-") == WRITERS * 5 - len(told)
    assert said.count("-") > WRITERS
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_another_writer_that_does_not_let_go_is_not_waited_for(tmp_path: Path) -> None:
    write(series(tmp_path), report())
    with contextlib.closing(sqlite3.connect(tmp_path / "history.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        (told,) = record(report(), SNAPSHOT, series(tmp_path), verb="check")
        assert last_good_run(series(tmp_path), report(finding("weights-missing"))) is None
        assert time.monotonic() - begun < 20  # 2 s and 0.5 s, on a machine that may be very busy
    assert "could not be written: another process held it" in told
    assert counted(tmp_path / "history.sqlite3") == 1


FULL_DISK = """
import sys
from pathlib import Path
from dataclasses import replace
sys.path.insert(0, sys.argv[1])
from sage_doctor.history.runs import record
from sage_doctor.system.fingerprint import Fingerprint
from tests.history.runs import SNAPSHOT, report, series
disk = Path(sys.argv[2])
where = series(disk)
assert record(report(), SNAPSHOT, where, verb="check") == []
(disk / "filler").write_bytes(b"")
with open(disk / "filler", "ab", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(4096))
    except OSError:
        pass
files = {f"shard-{n}.safetensors": Fingerprint(n, n, n, n, n) for n in range(1900)}
large = replace(SNAPSHOT, models={"m": replace(SNAPSHOT.models["m"], files=files)})
print(record(report(number=1), large, where, verb="check"))
(disk / "filler").unlink()
print(record(report(number=2), large, where, verb="check"))
import sqlite3
connection = sqlite3.connect(where.path)
print(connection.execute("SELECT count(*) FROM runs").fetchone()[0], connection.execute("PRAGMA integrity_check").fetchone()[0])
print(sorted(p.name for p in disk.iterdir()))
"""  # noqa: E501


def on_own_disk(place: Path, script: str, *, options: str, after: str = "true") -> list[str]:
    """Run a script where `place/disk` is a small file system of its own, and return the lines it printed."""
    disk = place / "disk"
    disk.mkdir()
    mounted = f'mount -t tmpfs -o {options} none "$2" && {after} && exec {sys.executable} -c "$0" "$1" "$2"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, script, ROOT, disk],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.stdout.splitlines()


def test_a_full_disk_costs_that_run_and_no_other(tmp_path: Path) -> None:
    said = on_own_disk(tmp_path, FULL_DISK, options="size=1M")
    assert "could not be written: " in said[0]
    assert "full" in said[0] or "disk I/O error" in said[0]
    assert said[1:] == ["[]", "2 ok", "['history.sqlite3']"]


READ_ONLY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from sage_doctor.history.runs import last_good_run, record
from tests.history.runs import SNAPSHOT, finding, report, series
where = series(Path(sys.argv[2]))
print(record(report(number=1), SNAPSHOT, where, verb="check"))
print(last_good_run(where, report(finding("weights-missing"))) is not None)
print(sorted(p.name for p in Path(sys.argv[2]).iterdir()))
"""


def test_a_read_only_state_directory_is_said_and_still_read(tmp_path: Path) -> None:
    write(series(tmp_path), report())
    after = f'cp {tmp_path}/history.sqlite3 "$2" && mount -o remount,ro "$2"'
    said = on_own_disk(tmp_path, READ_ONLY, options="size=4M", after=after)
    assert "could not be written: " in said[0]
    assert said[1:] == ["True", "['history.sqlite3']"]


def rubbish(path: Path, kind: str) -> None:
    raw = path.read_bytes()
    dice = random.Random(kind)
    if kind == "random bytes":
        path.write_bytes(dice.randbytes(20_000))
    elif kind == "cut off":
        path.write_bytes(raw[: len(raw) // 2])
    elif kind == "page of zeros":
        path.write_bytes(raw[:4096] + bytes(4096) + raw[8192:])
    elif kind == "directory":
        path.unlink()
        (path / "below").mkdir(parents=True)
    elif kind == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif kind == "loop":
        path.unlink()
        path.symlink_to(path)
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99" if kind == "newer version" else "PRAGMA user_version = 0")
            connection.commit()


@pytest.mark.parametrize(
    "kind,says",
    [
        ("random bytes", "is damaged (file is not a database)"),
        ("cut off", "is damaged (database disk image is malformed)"),
        ("page of zeros", "is damaged (database disk image is malformed)"),
        ("directory", "is a directory, not a file"),
        ("fifo", "is a named pipe, not a file"),
        ("loop", "not a file"),
        ("newer version", "has schema version 99, of a newer sage-doctor than this one"),
        ("foreign", "is a database of another program"),
    ],
)
def test_what_cannot_be_used_is_set_aside_and_a_new_history_begins(tmp_path: Path, kind: str, says: str) -> None:
    where = series(tmp_path)
    write(where, report())
    rubbish(where.path, kind)
    before = os.lstat(where.path).st_ino
    assert last_good_run(where, report(finding("weights-missing"))) is None
    if kind != "page of zeros":  # a page that nobody asks for is not missed
        with pytest.raises(DoctorError, match="the next check sets it aside"):
            store.read(where.path, lambda connection: connection.execute("SELECT * FROM runs").fetchall(), [])

    (told,) = record(report(number=1), SNAPSHOT, where, verb="check")
    (aside,) = tmp_path.glob("history.sqlite3.corrupt-*")
    assert says in told
    assert f"was kept as {aside.name}, and a new one was started" in told
    assert os.lstat(aside).st_ino == before
    assert counted(where.path) == 1
    write(where, report(number=2))


def test_a_journal_of_the_old_file_never_reaches_the_new_one(tmp_path: Path) -> None:
    where = series(tmp_path)
    where.path.mkdir()
    (tmp_path / "history.sqlite3-journal").write_bytes(b"y" * 5000)
    assert len(record(report(), SNAPSHOT, where, verb="check")) == 1
    (aside,) = tmp_path.glob("history.sqlite3.corrupt-*-journal")
    assert aside.read_bytes() == b"y" * 5000
    assert counted(where.path) == 1


def test_damage_anywhere_never_raises_and_never_lasts(tmp_path: Path) -> None:
    where = series(tmp_path)
    for number in range(30):
        write(where, report(finding("weights-missing"), number=number), report(number=number))
    whole = where.path.read_bytes()
    dice = random.Random(1)
    for _ in range(150):
        raw = bytearray(whole)
        for _ in range(dice.choice([1, 4, 64])):
            # Half of the damage goes to the header, which decides how all else is read.
            raw[dice.randrange(100 if dice.random() < 0.5 else len(raw))] = dice.randrange(256)
        where.path.write_bytes(raw)
        for left in tmp_path.glob("history.sqlite3-*"):
            left.unlink()
        last_good_run(where, report(finding("weights-missing")))
        record(report(), SNAPSHOT, where, verb="check")
        assert record(report(), SNAPSHOT, where, verb="check") == []
    assert 0 < len(list(tmp_path.glob("history.sqlite3.corrupt-*Z*"))) <= MOST_ASIDE


def test_an_empty_file_is_a_history_not_begun(tmp_path: Path) -> None:
    where = series(tmp_path)
    where.path.touch()
    assert last_good_run(where, report(finding("weights-missing"))) is None
    write(where, report())
    assert counted(where.path) == 1


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (told,) = record(report(), SNAPSHOT, series(tmp_path / "file"), verb="check")
    assert "could not be written: " in told
