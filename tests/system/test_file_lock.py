"""The lock: held by one, waited for by the next, and never somebody else's file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.system.file_lock import LockHeld, LockUnavailable, file_lock


def test_a_lock_is_held_by_one_and_free_for_the_next(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock", wait_s=0), pytest.raises(DoctorError, match=r"lock is held by another process$"):
        file_lock(tmp_path / "lock", wait_s=0.05).__enter__()
    with file_lock(tmp_path / "lock", wait_s=0):
        pass
    assert os.listdir(tmp_path) == ["lock"]


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    order = []

    def first() -> None:
        with file_lock(tmp_path / "lock", wait_s=60):
            ready.set()
            go.wait(60)
            order.append("first")

    ready, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    ready.wait(60)
    threading.Timer(0.1, go.set).start()
    with file_lock(tmp_path / "lock", wait_s=60):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("name", ["absent/lock", "link", "x" * 256])
def test_a_lock_that_cannot_be_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("elsewhere")  # a stranger could lead it to a file of ours
    with pytest.raises(DoctorError, match="cannot be locked: "):
        file_lock(tmp_path / name, wait_s=0).__enter__()


@pytest.mark.parametrize("kind", ["pipe", "socket", "directory", "hard link"])
def test_what_is_no_lock_file_of_ours_is_neither_waited_for_nor_written_to(tmp_path: Path, kind: str) -> None:
    lock, victim = tmp_path / "lock", tmp_path / "victim"
    victim.write_text("precious")
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(lock))
    elif kind == "directory":
        lock.mkdir()
    else:
        os.link(victim, lock)
    with pytest.raises(LockUnavailable) as caught:
        file_lock(lock, wait_s=60, note="123").__enter__()
    assert str(caught.value) == f"{lock} cannot be locked: {caught.value.reason}"
    assert victim.read_text() == "precious"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file of another user")
def test_a_lock_of_another_user_is_refused_except_by_root(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    os.chown(tmp_path / "lock", 12345, 12345)
    with file_lock(tmp_path / "lock", wait_s=0):
        pass
    os.chmod(tmp_path / "lock", 0o666)
    for path in (tmp_path, *tmp_path.parents):
        os.chmod(path, path.stat().st_mode | 0o011)
    script = (
        "import os, sys; from pathlib import Path; from sage_doctor.system.file_lock import file_lock\n"
        "os.setuid(12346)\n"
        "try: file_lock(Path(sys.argv[1]), wait_s=0).__enter__()\n"
        "except Exception as error: print(error)\n"
    )
    run = [sys.executable, "-c", script, str(tmp_path / "lock")]
    said = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.endswith("lock cannot be locked: it belongs to another user\n")


def test_the_holder_is_named_to_those_who_wait(tmp_path: Path) -> None:
    told: list[str] = []
    with file_lock(tmp_path / "lock", wait_s=0, note="gate 42"), pytest.raises(LockHeld) as caught:
        file_lock(tmp_path / "lock", wait_s=0.05, on_wait=told.append).__enter__()
    assert (caught.value.note, set(told)) == ("gate 42", {"gate 42"})


def test_what_waiting_raises_ends_it(tmp_path: Path) -> None:
    def stop(_note: str) -> None:
        raise KeyboardInterrupt

    with file_lock(tmp_path / "lock", wait_s=0), pytest.raises(KeyboardInterrupt):
        file_lock(tmp_path / "lock", wait_s=60, on_wait=stop).__enter__()


def test_a_lock_without_a_note_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("line\n")
    with file_lock(tmp_path / "journal", wait_s=0) as held:
        assert not held.waited
        assert os.pread(held.handle, 9, 0) == b"line\n"


def test_a_removed_lock_is_never_held_by_two(tmp_path: Path) -> None:
    busy, most = [0], [0]

    def work() -> None:
        for _ in range(20):
            with file_lock(tmp_path / "lock", wait_s=60, remove=True):
                busy[0] += 1
                most[0] = max(most[0], busy[0])
                busy[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert os.listdir(tmp_path) == []


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from sage_doctor.system.file_lock import file_lock\n"
        "with file_lock(Path(sys.argv[1]), wait_s=0, note='x'): print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(LockHeld):
            file_lock(tmp_path / "lock", wait_s=0).__enter__()
        child.kill()
    with file_lock(tmp_path / "lock", wait_s=5) as held:
        assert held.handle > 0
