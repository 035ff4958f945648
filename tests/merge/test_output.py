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
from pathlib import Path

import pytest

from sage_doctor.merge.beside import Beside
from sage_doctor.merge.output import Flusher, Output, digests

BLOCK = 1 << 22  # what is hashed at once


@pytest.fixture
def beside() -> Iterator[Beside]:
    with Beside() as found:
        yield found
    assert not [t for t in threading.enumerate() if t.name.startswith("sage-merge")]


def parts(size: int, seed: int) -> list[tuple[int, int]]:
    """Return a tiling of `size` bytes, in an order of its own: some of it ahead, most of it as it comes."""
    rng = random.Random(seed)
    cuts = sorted({0, size, *(rng.randrange(size + 1) for _ in range(30))})
    tiles = list(itertools.pairwise(cuts))
    ahead = [t for t in tiles if rng.random() < 0.3]
    return ahead + [t for t in tiles if t not in ahead]


@pytest.mark.parametrize("size", [0, 1, 4097, BLOCK - 1, BLOCK, 3 * BLOCK + 12345])
def test_the_hash_is_the_files_whatever_the_order_it_is_written_in(beside: Beside, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    flusher = Flusher()
    outputs = [Output(tmp_path / name, size, flusher) for name in ("one", "two")]
    flushed = beside.start(flusher.run, beside.go_on)
    hashed = beside.start(digests, outputs, beside.go_on)
    for seed, output in reversed(list(enumerate(outputs))):  # the second is whole before the first is begun
        for start, end in parts(size, seed):
            output.write(data[start:end], start)
            if seed == 0:
                time.sleep(0.002)
        output.finish(0o640)
    flusher.leave()

    found = beside.wait(hashed, lambda: None)
    beside.wait(flushed, lambda: None)

    said = subprocess.run(["sha256sum", tmp_path / "one", tmp_path / "two"], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in said.stdout.splitlines()] == list(found.values())
    assert set(found.values()) == {hashlib.sha256(data).hexdigest()}
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o640}
    for output in outputs:
        output.close()


def test_a_file_that_is_never_finished_keeps_no_thread(tmp_path: Path) -> None:
    flusher = Flusher()
    output = Output(tmp_path / "file", 1000, flusher)
    with Beside() as beside:
        beside.start(digests, [output], beside.go_on)
        beside.start(flusher.run, beside.go_on)
        output.write(b"x" * 999, 0)
        time.sleep(0.05)
    assert not [t for t in threading.enumerate() if t.name.startswith("sage-merge")]
    output.close()


def test_a_file_that_shrinks_while_it_is_written_is_an_error(beside: Beside, tmp_path: Path) -> None:
    output = Output(tmp_path / "file", 3 * BLOCK, Flusher())
    output.write(bytes(2 * BLOCK), 0)
    os.truncate(tmp_path / "file", 100)
    output.write(bytes(0), 2 * BLOCK)
    hashed = beside.start(digests, [output], beside.go_on)
    with pytest.raises(OSError, match="became shorter"):
        beside.wait(hashed, lambda: None)
    output.close()


def test_what_the_disk_refuses_arrives_at_the_caller(beside: Beside) -> None:
    flusher = Flusher()
    ours, theirs = os.pipe()
    flushed = beside.start(flusher.run, beside.go_on)
    flusher.end(theirs)  # a pipe cannot be flushed
    with pytest.raises(OSError, match="Invalid argument"):
        beside.wait(flushed, lambda: None)
    with pytest.raises(OSError, match="Invalid argument"):
        beside.check()
    os.close(ours)
    os.close(theirs)


def test_a_file_that_is_there_already_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError):
        Output(tmp_path / "file", 3, Flusher())
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        Output(tmp_path / "link", 3, Flusher())
    assert (tmp_path / "file").read_text() == "precious"
