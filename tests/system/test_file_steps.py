"""Single steps on the disk, done at once or not at all."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.system.file_steps import Applied, all_of, backup_name, rename, write_file

ROOT = Path(__file__).resolve().parents[2]


def names(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir())


def test_a_new_file_goes_again(tmp_path: Path) -> None:
    done = write_file(tmp_path / "deep" / "file", b"new")
    assert (tmp_path / "deep" / "file").read_bytes() == b"new"
    done.rollback()
    assert names(tmp_path) == []


def test_an_old_one_comes_back_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    done = write_file(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)
    done.rollback()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"old", 0o640)
    assert names(tmp_path) == ["file"]


def test_a_backup_keeps_the_old_one_until_it_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = write_file(path, b"new", backup=backup_name(path))
    assert ((tmp_path / "file.orig").read_bytes(), path.read_bytes()) == (b"old", b"new")
    done.rollback()
    assert (names(tmp_path), path.read_bytes()) == (["file"], b"old")


def test_a_backup_of_another_time_is_never_overwritten(tmp_path: Path) -> None:
    for name in ("file", "file.orig", "file.orig.1"):
        (tmp_path / name).write_text(name)
    (tmp_path / "file.orig.2").symlink_to("nowhere")
    write_file(tmp_path / "file", b"new", backup=backup_name(tmp_path / "file"))
    assert (tmp_path / "file.orig.3").read_text() == "file"
    assert (tmp_path / "file.orig").read_text() == "file.orig"


def test_a_rename_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one")
    (tmp_path / "two").write_text("two")
    with pytest.raises(DoctorError, match="nothing was changed"):
        rename(tmp_path / "one", tmp_path / "two")
    assert [(p.name, p.read_text()) for p in sorted(tmp_path.iterdir())] == [("one", "one"), ("two", "two")]


def test_a_failing_step_takes_those_before_it_back(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")

    def fail() -> Applied:
        raise DoctorError("the disk is on fire")

    steps = [lambda: write_file(tmp_path / "old", b"new"), lambda: write_file(tmp_path / "more", b"x"), fail]
    with pytest.raises(DoctorError, match="on fire"):
        all_of(steps)
    assert (names(tmp_path), (tmp_path / "old").read_bytes()) == (["old"], b"old")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from sage_doctor.system.file_steps import write_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "p = Path(sys.argv[1])\n"
        "try: write_file(p, b'n' * 100, backup=Path(f'{p}.orig'))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.stdout.startswith("DoctorError")
    assert (names(tmp_path), path.read_bytes()) == (["file"], b"old")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)


def test_what_a_killed_writer_left_is_swept_away_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    half = tmp_path / f".file.sage-new-{ended.pid}-0123abcd"
    live = tmp_path / f".file.sage-new-{os.getpid()}-0123abcd"
    other = tmp_path / f".file.sage-new-{ended.pid}-mine"
    for path in (half, live, other):
        path.write_text("half")
    write_file(tmp_path / "file", b"new")
    assert names(tmp_path) == sorted(["file", live.name, other.name])
