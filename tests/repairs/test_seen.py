"""Between a plan and its change stands a question: what was swapped meanwhile is neither changed nor followed."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.system.file_steps import rename, write_file
from sage_doctor.system.seen import see
from tests.model_directories import MODEL, write_full
from tests.repairs.actions.test_file_repairs import MENDED, Break
from tests.repairs.conftest import Fixer, contents

ROOT = Path(__file__).resolve().parents[2]
Swap = Callable[[Path, Path], object]


def link(path: Path, victim: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(victim)


def hard_link(path: Path, victim: Path) -> None:
    path.unlink(missing_ok=True)
    os.link(victim, path)


def linked_directory(path: Path, victim: Path) -> None:
    path.parent.rename(f"{path.parent}.away")
    path.parent.symlink_to(victim.parent)


def other_directory(path: Path, victim: Path) -> None:
    path.parent.rename(f"{path.parent}.away")
    victim.parent.rename(path.parent)


def target(repair: str, fixer: Fixer) -> Path:
    """Return what a repair of `MENDED` writes, as its plan says it."""
    (written, *_) = fixer.plans[-1].writes
    path = Path(written.partition(": mode ")[0])
    return fixer.root / "model" / MODEL if repair == "quarantine-weights" else path


@pytest.mark.parametrize("swap", [link, hard_link, linked_directory, other_directory])
@pytest.mark.parametrize("ill,repair", MENDED)
def test_what_was_swapped_while_the_question_stood_is_left_alone(
    fixer: Fixer, tmp_path: Path, ill: Break, repair: str, swap: Swap
) -> None:
    ill(fixer)
    victim = tmp_path / "private" / MODEL
    victim.parent.mkdir()
    victim.write_bytes(b"secret")
    victim.chmod(0)
    kept = os.stat(victim)

    def meanwhile(_plan: object) -> None:
        path = target(repair, fixer)
        if path.is_dir() or not path.parent.is_dir():
            path.rename(f"{path}.away") if path.exists() else None
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(victim)
        else:
            swap(path, victim)

    attempt = fixer(before_consent=meanwhile).attempts[0]
    assert attempt.status == "failed"
    assert "has changed since the plan was made; nothing was changed" in attempt.reason
    found = next(p for p in tmp_path.rglob("*") if p.lstat().st_ino == kept.st_ino)
    assert (found.lstat().st_mode, found.read_bytes()) == (kept.st_mode, b"secret")


@pytest.mark.parametrize("ill,repair", [m for m in MENDED if m[1] in ("rebuild-index", "quarantine-weights")])
def test_weights_that_are_other_ones_by_now_are_not_built_on(fixer: Fixer, ill: Break, repair: str) -> None:
    model = ill(fixer)
    shard = min(model.glob("model-0*"))
    attempt = fixer(before_consent=lambda _: os.utime(shard, (1, 1))).attempts[0]
    assert (attempt.repair, attempt.status) == (repair, "failed")
    assert shard.name in attempt.reason


def test_modes_through_a_terminal_are_those_of_the_file_that_was_shown(tmp_path: Path) -> None:
    model = write_full(tmp_path / "m")
    (model / MODEL).chmod(0)
    shadow = tmp_path / "shadow"
    shadow.write_text("root:secret")
    shadow.chmod(0)
    said = b""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        environ = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        os.execve(sys.executable, [sys.executable, "-m", "sage_doctor", "fix", "./m"], environ)
    try:
        while part := _read(terminal):
            said += part
            if b"[y/N]" in said and not (model / MODEL).is_symlink():
                link(model / MODEL, shadow)
                os.write(terminal, b"y\n")
    finally:
        os.waitpid(pid, 0)
        os.close(terminal)
    assert b"has changed since" in said.replace(b"\r\n   ", b"")
    assert shadow.stat().st_mode & 0o7777 == 0


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def test_a_file_is_written_in_the_directory_that_was_seen(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    seen = see(tmp_path / "way" / "file")
    write_file(seen.path, b"one", seen=seen).rollback()
    assert list((tmp_path / "real").iterdir()) == []
    write_file(seen.path, b"one", seen=seen)  # a link that stays is the user's
    with pytest.raises(DoctorError, match="changed since"):
        write_file(seen.path, b"two", seen=seen)
    (tmp_path / "other").mkdir()
    seen = see(seen.path)
    link(tmp_path / "way", tmp_path / "other")
    with pytest.raises(DoctorError, match="changed since"):
        write_file(seen.path, b"two", seen=seen)
    assert list((tmp_path / "other").iterdir()) == []


def test_a_change_that_somebody_changed_again_is_not_rolled_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for backup in (None, tmp_path / "file.orig"):
        path.write_bytes(b"old")
        done = write_file(path, b"new", backup=backup)
        path.write_bytes(b"somebody's")
        with pytest.raises(DoctorError, match="changed since"):
            done.rollback()
        assert path.read_bytes() == b"somebody's"


def test_a_directory_that_came_meanwhile_is_not_taken_for_ours(tmp_path: Path) -> None:
    seen = see(tmp_path / "a" / "b" / "file")
    (tmp_path / "a").mkdir()
    with pytest.raises(DoctorError, match="changed since"):
        write_file(seen.path, b"x", seen=seen)
    assert contents(tmp_path) == {"a": "40755"}


def test_a_rollback_gives_back_the_very_state(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.utime(path, (1, 2))
    path.chmod(0o4640)
    before = path.stat()
    write_file(path, b"new").rollback()
    after = path.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_uid) == (before.st_mode, before.st_mtime_ns, before.st_uid)
    (tmp_path / "way").symlink_to("file")
    done = write_file(tmp_path / "way", b"new")
    assert not (tmp_path / "way").is_symlink()
    done.rollback()
    assert (tmp_path / "way").readlink() == Path("file")


def test_a_rename_that_is_undone_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one")
    done = rename(tmp_path / "one", tmp_path / "two")
    (tmp_path / "one").write_text("somebody's")
    with pytest.raises(DoctorError):
        done.rollback()
    assert ((tmp_path / "one").read_text(), (tmp_path / "two").read_text()) == ("somebody's", "one")
