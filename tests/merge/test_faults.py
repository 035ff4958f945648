"""What may happen to a merge, done to real merges: kills, full disks, changing sources, others at the same time."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.merge import MergeCancelled, MergePlan, MergeRefused, Step, apply, plan_merge
from sage_doctor.merge.leftovers import StagingRecord, remove_leftovers
from sage_doctor.merge.staging import create_staging_dir, lock_path, locked
from sage_doctor.system.path_info import inspect_path

KILLS = int(os.environ.get("SAGE_DOCTOR_TEST_KILLS", "25"))
LOOP = Path(__file__).with_name("kill_loop.py")
OLD = "an older model\n"
OLD_FILES = ("config.json", "model.safetensors", "README.md", "runs/log")  # the last two are carried over


@pytest.fixture(scope="module")
def parts(zoo: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of some 30 MB in shards with an adapter for it."""
    root = tmp_path_factory.mktemp("parts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zoo.make_wide(root / "base", root / "adapter")
    return root


@pytest.fixture
def place(parts: Path, tmp_path: Path) -> Path:
    """A directory with `base`, `adapter` and an older `merged`."""
    for name in ("base", "adapter"):
        shutil.copytree(parts / name, tmp_path / name, copy_function=os.link)
    (tmp_path / "merged/runs").mkdir(parents=True)
    for name in OLD_FILES:
        (tmp_path / "merged" / name).write_text(OLD)
    return tmp_path


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [t for t in threading.enumerate() if t.name.startswith("sage-merge")]


def planned(place: Path, **options: Any) -> MergePlan:
    return plan_merge(place / "adapter", options.pop("target", place / "merged"), base=place / "base", **options)


def is_old(place: Path) -> bool:
    merged = place / "merged"
    files = {str(p.relative_to(merged)): p.read_bytes() for p in merged.rglob("*") if p.is_file()}
    return files == dict.fromkeys(OLD_FILES, OLD.encode())


def rest(place: Path) -> list[str]:
    return sorted(n for n in os.listdir(place) if n.startswith("."))


@pytest.mark.parametrize(
    "count, name, start",
    [
        (KILLS, "SIGKILL", "warm"),
        (KILLS // 6, "SIGKILL", "cold"),
        (KILLS // 3, "SIGINT", "warm"),
        (3, "SIGTERM", "warm"),
    ],
)
def test_a_kill_at_any_moment_leaves_the_old_state_or_the_new(
    place: Path, count: int, name: str, start: str, warm_python: Path
) -> None:
    interpreter = [sys.executable] if start == "cold" else []
    done = subprocess.run(
        [warm_python, LOOP, place, str(count), name, *interpreter],
        capture_output=True, text=True, timeout=60 + 10 * count, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["differ"]
    assert seen["torn"] == 0
    assert seen["old"] > 0
    assert seen["rest"] == [], "the run after a kill clears up"
    assert seen["left_over"] == 0 or name == "SIGKILL", "an interrupted merge clears up after itself"


def command(place: Path, *, before: Path | None = None) -> subprocess.Popen[str]:
    """Start the merge as a command, which has torch to import yet; `before` is where Python looks first."""
    paths = [str(before)] if before is not None else []
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, *sys.path]), "XDG_CACHE_HOME": str(place)}
    words = ["merge", place / "adapter", "--base", place / "base", "--out", place / "merged", "--yes"]
    return subprocess.Popen(
        [sys.executable, "-m", "sage_doctor", *map(str, words)],
        env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.6])
def test_an_interrupt_while_torch_is_imported_leaves_nothing(place: Path, after_s: float) -> None:
    process = command(place)
    deadline = time.monotonic() + 60
    while not any(n.startswith(".merged.sage-merge-") for n in rest(place)) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode in (130, 0), said
    assert is_old(place) == (process.returncode == 130)
    assert rest(place) == []
    assert "Traceback" not in said


def test_interrupts_without_end_end_it(place: Path) -> None:
    process = command(place)
    deadline = time.monotonic() + 60
    while not any(n.startswith(".merged.sage-merge-") for n in rest(place)) and time.monotonic() < deadline:
        time.sleep(0.001)
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGINT)
        time.sleep(0.003)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130, said
    assert is_old(place)
    assert [n for n in rest(place) if not n.endswith(".lock")] == []
    assert "Traceback" not in said


def test_a_torch_that_cannot_be_imported_is_said_and_changes_nothing(place: Path, tmp_path: Path) -> None:
    (tmp_path / "broken" / "torch").mkdir(parents=True)
    (tmp_path / "broken" / "torch" / "__init__.py").write_text("raise ImportError('libfoo.so.1: no such file')")
    process = command(place, before=tmp_path / "broken")
    _, said = process.communicate(timeout=60)

    assert process.returncode == 3, said
    assert "torch is installed but cannot be imported (ImportError: libfoo.so.1: no such file)" in said
    assert is_old(place)
    assert rest(place) == []


def test_an_input_that_cannot_be_hashed_ends_the_merge(place: Path) -> None:
    plan = planned(place)
    os.mkfifo(place / "pipe")
    node = inspect_path(place / "pipe")
    plan = dataclasses.replace(plan, inputs={**plan.inputs, place / "pipe": node})

    with pytest.raises(DoctorError, match="pipe could not be hashed: not a file; nothing was changed"):
        apply(plan)

    assert is_old(place)
    assert rest(place) == []


def test_an_interrupt_as_soon_as_there_is_a_staging_directory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, target: Path, *, keep: bool) -> None:
        create_staging_dir(path, target, keep=keep)
        raise KeyboardInterrupt

    monkeypatch.setattr("sage_doctor.merge.run.create_staging_dir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply(planned(place))

    assert is_old(place)
    assert rest(place) == []


def test_an_interrupt_between_two_renames_takes_the_first_one_back(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def unknown(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no exchange")

    def rename(one: Path, other: Path) -> None:
        real(one, other)
        if str(other).endswith("-replaced"):
            raise KeyboardInterrupt

    monkeypatch.setattr("sage_doctor.merge.staging._exchange", unknown)
    monkeypatch.setattr("os.rename", rename)
    with pytest.raises(KeyboardInterrupt):
        apply(planned(place))

    assert is_old(place)
    assert rest(place) == []


def test_a_cancelled_merge_leaves_no_trace(place: Path) -> None:
    steps: list[Step] = []

    with pytest.raises(MergeCancelled):
        apply(planned(place), progress=steps.append, cancel=lambda: len(steps) > 3)

    assert is_old(place)
    assert rest(place) == []
    assert 0 < steps[-1].done < steps[-1].total


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
