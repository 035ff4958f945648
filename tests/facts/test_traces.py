"""How old the newest trace is, and how far the numbers go, in directories as sessions leave them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sage_doctor.facts.traces import read_numbers, read_traces

NOW = 1_700_000_000.0


def write(path: Path, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


def test_the_newest_of_several_globs(tmp_path: Path) -> None:
    write(tmp_path / "a/1.json", 500)
    write(tmp_path / "b/2.json", 300)
    write(tmp_path / "b/3.txt", 10)
    traces = read_traces(["a/*.json", "b/*.json", "c/*.json"], tmp_path, NOW)
    assert traces.newest is not None
    assert (traces.newest.path, traces.newest.age_s) == (str(tmp_path / "b/2.json"), 300)
    assert (traces.count, traces.ahead, bool(traces.unseen)) == (2, None, False)
    assert traces.absent == (str(tmp_path / "c"),)


def test_only_files_count_and_none_is_opened(tmp_path: Path) -> None:
    old = write(tmp_path / "s/1.json", 900)
    (tmp_path / "s/2.json").mkdir()
    os.mkfifo(tmp_path / "s/3.json")  # opened, it would hold whoever opens it
    (tmp_path / "s/4.json").symlink_to("4.json")
    (tmp_path / "s/5.json").symlink_to("nowhere")
    (tmp_path / "s/6.json").symlink_to(write(tmp_path / "kept", 700))
    os.chmod(old, 0)
    traces = read_traces(["s/*.json"], tmp_path, NOW)
    assert (traces.count, traces.newest and traces.newest.path) == (2, str(tmp_path / "s/6.json"))


def test_a_file_from_the_future_is_not_the_newest(tmp_path: Path) -> None:
    write(tmp_path / "1.json", 900)
    write(tmp_path / "2.json", -7200)
    write(tmp_path / "3.json", -9000)
    write(tmp_path / "4.json", -60)  # clocks of file servers differ a little
    traces = read_traces(["*.json"], tmp_path, NOW)
    assert traces.newest is not None
    assert traces.ahead is not None
    assert (traces.newest.path, traces.ahead.path) == (str(tmp_path / "4.json"), str(tmp_path / "3.json"))
    assert traces.ahead.age_s == -9000


def test_the_highest_number_by_value_and_not_by_date_or_spelling(tmp_path: Path) -> None:
    write(tmp_path / "session_0099.txt", 10)
    write(tmp_path / "session_100.txt", 9000)
    write(tmp_path / "session_final.txt", 1)
    (tmp_path / "session_101.txt").mkdir()
    (tmp_path / "session_102.txt").symlink_to("nowhere")
    numbered = read_numbers("session_*.txt", tmp_path)
    assert (numbered.number, numbered.path, numbered.count) == (100, str(tmp_path / "session_100.txt"), 5)


def test_nothing_there_is_no_number(tmp_path: Path) -> None:
    numbered = read_numbers("none/session_*.txt", tmp_path)
    assert (numbered.number, numbered.path, numbered.count, bool(numbered.unseen)) == (None, None, 0, False)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    write(tmp_path / os.fsdecode(b"session_7_\xff\x1b[31m.txt"), 10)
    assert read_numbers("session_*.txt", tmp_path).number == 7
    assert read_traces(["*"], tmp_path, NOW).count == 1


def test_many_files_take_little_memory(tmp_path: Path) -> None:
    for n in range(20_000):
        (tmp_path / f"session_{n:06}.json").touch()
    code = (
        "import sys, tracemalloc; from pathlib import Path\n"
        "from sage_doctor.facts.traces import read_numbers, read_traces\n"
        "here = Path(sys.argv[1]); tracemalloc.start()\n"
        "print(read_traces(['*.json'], here).count, read_numbers('session_*.json', here).number)\n"
        "print(tracemalloc.get_traced_memory()[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, timeout=120
    ).stdout.split()
    assert done[:2] == ["20000", "19999"]
    assert int(done[2]) < 2_000_000
