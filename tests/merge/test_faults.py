"""What may happen to a merge, done to real merges: full disks, changing sources, others at the same time."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.merge import MergeRefused, Step, apply
from sage_doctor.merge.leftovers import StagingRecord, remove_leftovers
from sage_doctor.merge.staging import lock_path, locked
from sage_doctor.system.path_info import inspect_path

from .older_model import is_old, planned, rest


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [t for t in threading.enumerate() if t.name.startswith("sage-merge")]


def test_an_input_that_cannot_be_hashed_ends_the_merge(place: Path) -> None:
    plan = planned(place)
    os.mkfifo(place / "pipe")
    node = inspect_path(place / "pipe")
    plan = dataclasses.replace(plan, inputs={**plan.inputs, place / "pipe": node})

    with pytest.raises(DoctorError, match="pipe could not be hashed: not a file; nothing was changed"):
        apply(plan)

    assert is_old(place)
    assert rest(place) == []


@pytest.fixture
def small_files() -> Iterator[Callable[[int], contextlib.AbstractContextManager[None]]]:
    """The kernel refuses to let any file grow beyond a limit, as it does where a disk or a quota is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    @contextlib.contextmanager
    def limit(count: int) -> Iterator[None]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_a_write_that_the_kernel_refuses_midway_changes_nothing(
    place: Path, small_files: Callable[[int], contextlib.AbstractContextManager[None]]
) -> None:
    plan = planned(place)

    with small_files(3_000_000), pytest.raises(DoctorError, match="nothing was changed"):
        apply(plan)

    assert is_old(place)
    assert rest(place) == []


def test_a_used_up_quota_is_no_full_disk(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on Btrfs with a limit on its subvolume; a test has no file system with quotas, so the call is replaced."""
    real = os.pwrite

    def refused(handle: int, data: memoryview, at: int) -> int:
        if at > 1_000_000:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return real(handle, data, at)

    monkeypatch.setattr(os, "pwrite", refused)
    with pytest.raises(
        DoctorError, match=r"the disk quota in .* is used up; nothing was changed. The merge needs .* MB"
    ):
        apply(planned(place))

    monkeypatch.undo()
    assert is_old(place)
    assert rest(place) == []


FULL_DISK = """
import os, sys
from pathlib import Path
from sage_doctor.errors import DoctorError
from sage_doctor.merge import apply, plan_merge
place, disk = Path(sys.argv[1]), Path(sys.argv[2])
def fill(step):
    if step.done > 1_000_000 and not (disk / "filler").exists():
        with open(disk / "filler", "wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                pass
try:
    apply(plan_merge(place / "adapter", disk / "merged", base=place / "base"), progress=fill)
except DoctorError as error:
    print(error)
os.unlink(disk / "filler")
print(sorted(os.listdir(disk)))
try:
    with open(disk / "most", "wb") as file:
        file.write(bytes(40 << 20))
    plan_merge(place / "adapter", disk / "merged", base=place / "base")
except DoctorError as error:
    print(error)
"""


def on_own_disk(place: Path, script: str, *, after: str = "true") -> list[str]:
    """Run a script where `place/disk` is a small file system of its own, and return the lines it printed."""
    disk = place / "disk"
    disk.mkdir()
    mounted = f'mount -t tmpfs -o size=64M none "$2" && {after} && exec {sys.executable} -c "$0" "$1" "$2"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, script, place, disk],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.stdout.splitlines()


def test_a_disk_that_fills_up_midway_or_is_too_full_from_the_start(place: Path) -> None:
    said = on_own_disk(place, FULL_DISK)

    assert "is full; nothing was changed" in said[0]
    assert said[1] == "[]"
    assert "free, the merge needs" in said[2]


READ_ONLY = """
import sys
from pathlib import Path
from sage_doctor.merge import MergeRefused, plan_merge
place, disk = Path(sys.argv[1]), Path(sys.argv[2])
try:
    plan_merge(place / "adapter", disk / "merged", base=place / "base")
except MergeRefused as error:
    print(error)
"""


def test_a_target_that_cannot_be_written_is_said_by_the_plan(place: Path) -> None:
    said = on_own_disk(place, READ_ONLY, after='mount -o remount,ro "$2"')

    assert "disk is on a read-only file system" in said[0]
    assert "Choose another --out" in said[1]


def test_of_two_merges_at_once_one_is_told_who_holds_the_target(place: Path) -> None:
    plan = planned(place)
    answers: list[object] = []

    def second(_: Step) -> None:
        if not answers:
            with pytest.raises(MergeRefused, match=f"process {os.getpid()} on") as told:
                apply(plan)
            answers.append(told.value)

    apply(plan, progress=second)

    assert len(answers) == 1
    assert not is_old(place)
    assert rest(place) == []


def test_a_merge_waits_for_the_other_where_it_is_told_to(place: Path) -> None:
    plan = planned(place)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(plan.target):
            held.set()
            free.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    threading.Timer(0.3, free.set).start()
    apply(plan, wait_s=20)
    thread.join()

    assert not is_old(place)


@pytest.mark.parametrize("name", ["base/config.json", "adapter/adapter_model.safetensors", "base/tokenizer.json"])
def test_a_source_that_changes_midway_stops_the_merge(place: Path, name: str) -> None:
    (place / "base/tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    plan = planned(place)
    path = place / name

    def change(step: Step) -> None:
        if step.done > 1_000_000:
            os.utime(path, ns=(time.time_ns(), time.time_ns()))

    with pytest.raises(DoctorError, match="changed during the merge"):
        apply(plan, progress=change)

    assert is_old(place)
    assert rest(place) == []


def test_a_source_that_changed_since_the_plan_stops_the_merge_at_once(place: Path) -> None:
    plan = planned(place)
    shard = place / "base" / plan.weights[0].name
    data = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(data)

    with pytest.raises(DoctorError, match="changed during the merge"):
        apply(plan)

    assert is_old(place)


def test_a_base_that_becomes_shorter_stops_the_merge(place: Path) -> None:
    plan = planned(place)
    last = place / "base" / plan.weights[-1].name
    data = last.read_bytes()
    last.unlink()  # a file of its own: the others are links
    last.write_bytes(data)
    plan = planned(place)

    def cut(_: Step) -> None:
        os.truncate(last, 5000)

    # Which of them says so depends on how far the threads are: the reader, the hash, or the look at all inputs.
    with pytest.raises(DoctorError, match=r"became shorter|changed while|changed during the merge"):
        apply(plan, progress=cut)

    assert is_old(place)
    assert rest(place) == []


def test_a_target_on_another_file_system(place: Path) -> None:
    other = Path("/dev/shm" if os.stat("/dev/shm").st_dev != place.stat().st_dev else "/tmp")
    target = other / f"sage-doctor-test-{os.getpid()}"
    try:
        apply(planned(place))
        apply(planned(place, target=target))
        names = sorted(p.name for p in target.glob("model*"))
        assert [(target / n).read_bytes() for n in names] == [(place / "merged" / n).read_bytes() for n in names]
        assert names
    finally:
        shutil.rmtree(target, ignore_errors=True)


def recorded(place: Path, name: str, *, made: Path | None = None, replaced: Path | None = None) -> None:
    """Write the record of a merge that was killed."""
    inodes = [None if path is None else path.stat().st_ino for path in (made, replaced)]
    target = place / "merged"
    StagingRecord(target=target, staging_dir=place / name, made=inodes[0], replaced=inodes[1], keep=False).write()


@pytest.mark.parametrize("what", ["an unfinished merge", "the model that an earlier merge replaced"])
def test_what_kills_leave_is_dealt_with_by_the_next_run(place: Path, what: str) -> None:
    left = place / ".merged.sage-merge-1-aaaa"
    shutil.copytree(place / "merged", left)
    recorded(place, left.name, **{"made" if "unfinished" in what else "replaced": left})
    stranger = place / ".merged.sage-other"
    stranger.mkdir()

    outcome = apply(planned(place))

    assert [c.what for c in outcome.cleaned] == [f"deleted: {what}"]
    assert rest(place) == [".merged.sage-other"]


def test_a_model_that_lost_its_place_between_two_renames_is_put_back(place: Path) -> None:
    aside = place / ".merged.sage-merge-1-cccc-replaced"
    recorded(place, ".merged.sage-merge-1-cccc", replaced=place / "merged")
    os.rename(place / "merged", aside)

    with locked(place / "merged"):
        done = remove_leftovers(place / "merged")

    assert is_old(place)
    assert "put back" in done[0].what


def test_without_an_exchange_of_names_two_renames_do(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no exchange")

    monkeypatch.setattr("sage_doctor.merge.staging._exchange", unknown)
    outcome = apply(planned(place))

    assert outcome.replaced
    assert not is_old(place)
    assert rest(place) == []


def test_the_lock_is_not_a_way_to_write_elsewhere(place: Path) -> None:
    victim = place / "victim"
    victim.write_text("precious")
    lock_path(place / "merged").symlink_to(victim)

    with pytest.raises(MergeRefused):
        apply(planned(place))

    assert victim.read_text() == "precious"
    assert is_old(place)
