"""The highest values: only ever raised, by many at once, and never lost to what kills a writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.history.watermarks import Counter, Mark, Watermarks

ROOT = Path(__file__).resolve().parents[2]
ONE = Counter("/repo/sage-doctor.toml", "identity", "n")
OTHER = Counter("/repo/sage-doctor.toml", "identity", "m")


def values(store: Watermarks) -> dict[Counter, int | float]:
    return {counter: mark.value for counter, mark in store.read().marks.items()}


@pytest.fixture
def store(tmp_path: Path) -> Watermarks:
    return Watermarks(directory=tmp_path / "state/sage-doctor")


def test_nothing_is_on_record_at_first(store: Watermarks) -> None:
    assert (store.read().marks, store.read().damage) == ({}, "")
    assert not store.directory.exists()


def test_values_are_raised_and_never_lowered(store: Watermarks) -> None:
    for value in (3, 7, 5):
        store.raise_to(ONE, value)
    store.raise_to(OTHER, -2.5)
    store.raise_to(Counter("/other.toml", "identity", "n"), 1)
    assert values(store) == {ONE: 7, OTHER: -2.5, Counter("/other.toml", "identity", "n"): 1}
    assert sorted(os.listdir(store.directory)) == ["highest.json", "highest.lock"]
    assert store.directory.stat().st_mode & 0o777 == 0o700


def test_nothing_is_written_where_nothing_rises(store: Watermarks) -> None:
    store.raise_to(ONE, 7)
    before = store.path.stat()
    store.raise_to(ONE, 7)
    store.raise_to(ONE, 6)
    assert (store.path.stat().st_ino, store.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_lower_value_can_be_accepted(store: Watermarks) -> None:
    store.raise_to(ONE, 7)
    store.accept(ONE, 2, instead_of=store.read().marks[ONE])
    assert values(store) == {ONE: 2}


def test_what_was_raised_meanwhile_is_not_accepted_over(store: Watermarks) -> None:
    store.raise_to(ONE, 7)
    shown = store.read().marks[ONE]
    store.raise_to(ONE, 8)
    for before in (shown, None):
        with pytest.raises(DoctorError, match="changed meanwhile"):
            store.accept(ONE, 2, instead_of=before)
    assert values(store) == {ONE: 8}


def test_large_numbers_and_odd_names_come_back(store: Watermarks) -> None:
    odd = Counter("/\udcff/\x1b.toml", "ü", "a b.0")
    store.raise_to(odd, 10**400)
    assert values(store) == {odd: 10**400}
    assert store.path.read_bytes().isascii()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\0\0",
        "[" * 100_000,
        '{"version": 0, "highest": []}',
        '{"version": 1}',
        '{"version": 1, "highest": {}, "x": 1}x',
        '{"version": 1, "highest": [1]}',
        '{"version": 1, "highest": [{"manifest": "m", "state": "s", "counter": "c", "value": "3", "at": ""}]}',
        '{"version": 1, "highest": [{"manifest": "m", "state": "s", "counter": "c", "value": NaN, "at": ""}]}',
        '{"version": 1, "highest": [{"manifest": ["m"], "state": "s", "counter": "c", "value": 3, "at": ""}]}',
        " " * (5 << 20),
    ],
    ids=range(14),
)
def test_a_damaged_record_is_put_aside_and_begun_anew(store: Watermarks, text: str) -> None:
    for number in (1, 2):
        store.directory.mkdir(parents=True, exist_ok=True)
        store.path.write_text(text)
        assert store.read().marks == {}
        assert store.read().damage.isprintable()
        assert store.read().damage
        aside = store.raise_to(ONE, 4)
        assert aside == f"{store.path}.damaged-{number}"
        assert Path(aside).read_text() == text
        assert values(store) == {ONE: 4}
    assert store.raise_to(ONE, 5) == ""


def test_the_record_of_a_newer_doctor_is_left_alone(store: Watermarks) -> None:
    store.directory.mkdir(parents=True)
    store.path.write_text('{"version": 2, "highest": "otherwise"}')
    for act in (store.read, lambda: store.raise_to(ONE, 4)):
        with pytest.raises(DoctorError, match="newer"):
            act()
    assert json.loads(store.path.read_text())["version"] == 2


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DoctorError, match="cannot be made: not a directory"):
        Watermarks(directory=tmp_path / "file/state").raise_to(ONE, 4)
    (tmp_path / "highest.json").mkdir()
    with pytest.raises(DoctorError, match="cannot be read: a directory"):
        Watermarks(directory=tmp_path).read()


RAISE = """
import sys; from pathlib import Path
from sage_doctor.history.watermarks import Counter, Watermarks
store = Watermarks(directory=Path(sys.argv[1]))
for n in range(int(sys.argv[3])):
    store.raise_to(Counter("m", sys.argv[2], "n"), n)
    store.raise_to(Counter("m", "shared", "n"), n)
    print(n, flush=True)
"""


def raiser(store: Watermarks, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RAISE, store.directory, name, str(count)], cwd=ROOT, stdout=subprocess.PIPE
    )


def test_many_writers_lose_nothing(store: Watermarks) -> None:
    processes = [raiser(store, str(n), 12 + n) for n in range(4)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    found = {counter.state: value for counter, value in values(store).items()}
    assert found == {"0": 11, "1": 12, "2": 13, "3": 14, "shared": 14}


def test_a_killed_writer_leaves_a_whole_record_and_no_lock(store: Watermarks) -> None:
    for _ in range(3):
        process = raiser(store, "x", 100_000)
        assert process.stdout is not None
        last = int(process.stdout.readline())
        for _ in range(5):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert store.read().damage == ""
        assert values(store)[Counter("m", "x", "n")] >= last
    begun = time.monotonic()
    store.raise_to(ONE, 4)
    assert time.monotonic() - begun < 4  # the lock is free: its holder's death has freed it


def test_a_mark_says_when(store: Watermarks) -> None:
    store.raise_to(ONE, 4)
    mark = store.read().marks[ONE]
    assert mark == Mark(value=4, at=mark.at)
    assert mark.at.endswith("+00:00")
