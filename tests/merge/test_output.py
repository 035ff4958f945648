"""Files hashed and flushed while they are written: the hash is sha256sum's, whatever the order of the writes."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sage_doctor.merge.output import Flusher, OutputFile, Writer
from sage_doctor.merge.task_group import Task, TaskGroup

BLOCK = 1 << 22  # what is hashed at once


@pytest.fixture
def beside() -> Iterator[TaskGroup]:
    with TaskGroup() as found:
        yield found
    assert not [t for t in threading.enumerate() if t.name.startswith("sage-merge")]


def parts(size: int, seed: int) -> list[tuple[int, int]]:
    """Return a tiling of `size` bytes, in an order of its own: some of it ahead, most of it as it comes."""
    rng = random.Random(seed)
    cuts = sorted({0, size, *(rng.randrange(size + 1) for _ in range(30))})
    tiles = list(itertools.pairwise(cuts))
    ahead = [t for t in tiles if rng.random() < 0.3]
    return ahead + [t for t in tiles if t not in ahead]


@dataclass
class Bench:
    """A writer with its threads running, which a test hands things to."""

    beside: TaskGroup
    writer: Writer
    hashed: Task[dict[Path, str]]
    flushed: Task[None]

    def acquire_buffer(self, data: bytes) -> bytearray:
        memory = self.writer.acquire_buffer(len(data), self.beside.check)
        memory[: len(data)] = data
        return memory

    def digests(self) -> dict[Path, str]:
        self.writer.stop()
        found = self.beside.wait(self.hashed, self.beside.check)
        self.beside.wait(self.flushed, self.beside.check)
        return found


@pytest.fixture
def bench(beside: TaskGroup) -> Bench:
    flusher = Flusher()
    writer = Writer(flusher)
    flushed = beside.start(flusher.run, beside.check_cancelled)
    beside.start(writer.run, beside.check_cancelled)
    return Bench(beside, writer, beside.start(writer.run_hashing, beside.check_cancelled), flushed)


@pytest.mark.parametrize("size", [0, 1, 4097, BLOCK - 1, BLOCK, 3 * BLOCK + 12345])
def test_the_hash_is_the_files_whatever_the_order_it_is_written_in(bench: Bench, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    outputs = [OutputFile(tmp_path / name, size) for name in ("one", "two")]
    for seed, output in reversed(list(enumerate(outputs))):  # the second is whole before the first is begun
        for number, (start, end) in enumerate(parts(size, seed)):
            part = data[start:end]
            if number % 3 == 0:
                bench.writer.write(output, part, start)
            elif number % 3 == 1:
                bench.writer.submit(output, bench.acquire_buffer(part), len(part), start)
            else:
                os.pwrite(output.handle, part, start)
                bench.writer.record_written(output, start, len(part))
        bench.writer.finish_file(output, 0o640)

    found = bench.digests()

    said = subprocess.run(["sha256sum", tmp_path / "one", tmp_path / "two"], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in said.stdout.splitlines()] == [found[output.path] for output in outputs]
    assert set(found.values()) == {hashlib.sha256(data).hexdigest()}
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o640}
    for output in outputs:
        output.close()


def test_lent_memory_is_the_lenders_again_only_once_it_is_written_and_hashed(bench: Bench, tmp_path: Path) -> None:
    count = 200
    output = OutputFile(tmp_path / "file", count * 4096)
    for number in range(count):  # each piece of memory is used many times over
        bench.writer.submit(output, bench.acquire_buffer(bytes([number]) * 4096), 4096, number * 4096)
    bench.writer.finish_file(output, 0o600)
    wanted = b"".join(bytes([number]) * 4096 for number in range(count))
    assert bench.digests() == {output.path: hashlib.sha256(wanted).hexdigest()}
    assert output.path.read_bytes() == wanted
    output.close()


def test_who_waits_for_memory_is_asked_meanwhile_and_may_give_up(tmp_path: Path) -> None:
    def cancel() -> None:
        raise KeyError("cancelled")

    writer = Writer(Flusher())  # nobody writes
    output = OutputFile(tmp_path / "file", 100)
    lent = [writer.acquire_buffer(1, cancel) for _ in range(6)]
    with pytest.raises(KeyError):
        writer.acquire_buffer(1, cancel)
    assert len({id(memory) for memory in lent}) == 6
    output.close()


def test_a_large_file_is_flushed_in_portions_while_it_grows(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    real = os.fdatasync

    def counted(handle: int) -> None:
        flushed.append(os.fstat(handle).st_size)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", counted)
    output = OutputFile(tmp_path / "file", 40 * BLOCK)
    for number in range(40):
        bench.writer.write(output, bytes(BLOCK), number * BLOCK)
        time.sleep(0.005)
    bench.writer.finish_file(output, 0o600)
    bench.digests()
    assert 1 <= len(flushed) <= 2
    assert flushed[0] < 40 * BLOCK, "while it was being written, not at its end"
    output.close()


def test_a_file_that_is_not_whole_is_never_called_finished(bench: Bench, tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "file", 1000)
    bench.writer.write(output, b"x" * 400, 0)
    bench.writer.write(output, b"x" * 599, 401)
    bench.writer.finish_file(output, 0o600)
    with pytest.raises(OSError, match="400 of 1000 bytes were written"):
        bench.digests()
    output.close()


def test_a_writer_that_is_never_left_keeps_no_thread(tmp_path: Path) -> None:
    flusher = Flusher()
    writer = Writer(flusher)
    output = OutputFile(tmp_path / "file", 1000)
    with TaskGroup() as beside:
        for work in (writer.run, writer.run_hashing, flusher.run):
            beside.start(work, beside.check_cancelled)
        writer.write(output, b"x" * 999, 0)
        time.sleep(0.05)
    assert not [t for t in threading.enumerate() if t.name.startswith("sage-merge")]
    output.close()


def test_a_file_that_shrinks_while_it_is_written_is_an_error(bench: Bench, tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "file", 3 * BLOCK)
    bench.writer.record_written(output, 0, 2 * BLOCK)  # which nobody wrote
    with pytest.raises(OSError, match="became shorter"):
        bench.digests()
    output.close()


def test_what_the_disk_does_not_take_arrives_at_the_caller(beside: TaskGroup) -> None:
    flusher = Flusher()
    ours, theirs = os.pipe()
    flushed = beside.start(flusher.run, beside.check_cancelled)
    flusher.finish_file(theirs)  # a pipe cannot be flushed
    with pytest.raises(OSError, match="Invalid argument"):
        beside.wait(flushed, lambda: None)
    with pytest.raises(OSError, match="Invalid argument"):
        beside.check()
    os.close(ours)
    os.close(theirs)


def test_what_cannot_be_written_arrives_at_the_caller(bench: Bench, tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "file", 10)
    output.close()
    bench.writer.write(output, b"x" * 10, 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        bench.digests()


def test_a_file_that_is_there_already_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError):
        OutputFile(tmp_path / "file", 3)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        OutputFile(tmp_path / "link", 3)
    assert (tmp_path / "file").read_text() == "precious"
