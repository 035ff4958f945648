import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage_doctor.readers.tensor_scan import TensorScan, TensorSpan, scan
from sage_doctor.system.path_info import UnreadableFile


def scanned(path: Path, data: bytes, dtype: str, *shape: int, offset: int = 0) -> TensorScan:
    path.write_bytes(b"\xff" * offset + data)
    (result,) = scan(path, {"w": (dtype, shape, offset, offset + len(data))})
    return result


def counts(result: TensorScan) -> tuple[int, int, int]:
    assert result.known
    assert result.read == result.elements
    return result.nan, result.inf, result.zero


def bf16(values: list[float]) -> bytes:
    return b"".join(struct.pack("<f", v)[2:] for v in values)


VALUES = [1.5, 0.0, -0.0, float("nan"), float("inf"), -float("inf"), -2.0]


@pytest.mark.parametrize(
    "dtype,pack",
    [
        ("F64", lambda v: np.array(v, "<f8").tobytes()),
        ("F32", lambda v: np.array(v, "<f4").tobytes()),
        ("F16", lambda v: np.array(v, "<f2").tobytes()),
        ("BF16", bf16),
    ],
)
def test_floats(tmp_path: Path, dtype: str, pack: Callable[[list[float]], bytes]) -> None:
    assert counts(scanned(tmp_path / "f", pack(VALUES), dtype, 7)) == (1, 2, 2)
    assert counts(scanned(tmp_path / "f", pack(VALUES), dtype, 1, 7, offset=13)) == (1, 2, 2)


@pytest.mark.parametrize("dtype,size,step", [("F16", 2, "<f2"), ("BF16", 2, None)])
def test_every_16_bit_pattern(tmp_path: Path, dtype: str, size: int, step: str | None) -> None:
    bits = np.arange(1 << 16, dtype="<u2")
    values = bits.view(step) if step else (bits.astype("<u4") << 16).view("<f4")
    expected = (int(np.isnan(values).sum()), int(np.isinf(values).sum()), int((values == 0).sum()))
    assert counts(scanned(tmp_path / "f", bits.tobytes(), dtype, (1 << 16))) == expected
    assert size == bits.itemsize


@pytest.mark.parametrize(
    "dtype,expected",
    [
        ("F8_E4M3", (2, 0, 2)),  # 0x7F and 0xFF; no infinities
        ("F8_E5M2", (6, 2, 2)),  # 0x7D-0x7F and 0xFD-0xFF; 0x7C and 0xFC
        ("U8", (0, 0, 1)),
        ("I8", (0, 0, 1)),
        ("BOOL", (0, 0, 1)),
    ],
)
def test_every_8_bit_pattern(tmp_path: Path, dtype: str, expected: tuple[int, int, int]) -> None:
    assert counts(scanned(tmp_path / "f", bytes(range(256)), dtype, 256)) == expected


@pytest.mark.parametrize("dtype", ["I16", "U16", "I32", "U32", "I64", "U64"])
def test_integers_have_only_zeros(tmp_path: Path, dtype: str) -> None:
    size = int(dtype[1:]) // 8
    assert counts(scanned(tmp_path / "f", b"\xff" * size + bytes(size), dtype, 2)) == (0, 0, 1)


def test_blocks_are_counted_to_the_last_element(tmp_path: Path) -> None:
    values = np.ones(3 * (1 << 19) + 5, "<f4")
    values[[0, 1 << 18, -1]] = np.nan
    values[[(1 << 18) - 1, -2]] = np.inf
    values[7:1000] = 0
    assert counts(scanned(tmp_path / "f", values.tobytes(), "F32", len(values), offset=9)) == (3, 2, 993)


def test_all_zero_needs_every_element(tmp_path: Path) -> None:
    data = bytes(3 << 20)
    assert scanned(tmp_path / "f", data, "BF16", len(data) // 2).all_zero
    assert not scanned(tmp_path / "f", data[:-1] + b"\x3f", "BF16", len(data) // 2).all_zero
    assert not scanned(tmp_path / "f", b"", "BF16", 0).all_zero
    assert not scanned(tmp_path / "f", bytes(4), "F4", 8).all_zero


def test_a_file_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(1001))
    tensors: dict[str, TensorSpan] = {"a": ("BF16", (500,), 0, 1000), "b": ("BF16", (500,), 1000, 2000)}
    tensors["c"] = ("BF16", (1 << 40,), 2000, 2000 + (1 << 41))
    a, b, c = scan(path, tensors)
    assert (a.read, a.all_zero) == (500, True)
    assert (b.read, b.zero, b.all_zero) == (0, 0, False)
    assert (c.read, c.all_zero) == (0, False)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(8 << 20))
    half = 4 << 20
    results = scan(path, {"a": ("U8", (half,), 0, half), "b": ("U8", (half,), half, 2 * half)})
    assert next(results).all_zero
    os.truncate(path, half + 10)
    assert next(results).read == 10


def test_order_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(8))
    tensors: dict[str, TensorSpan] = {"z": ("U8", (4,), 0, 4), "a": ("U8", (4,), 4, 8)}
    assert [t.name for t in scan(path, tensors)] == ["z", "a"]


@pytest.mark.parametrize("place", [("F4", (2,), 0, 1), ("F32", (2,), 0, 4), ("F32", (1,), -4, 0), ("X", (), 0, 0)])
def test_what_cannot_be_judged_is_said_to_be_unknown(tmp_path: Path, place: Any) -> None:
    (tmp_path / "f").write_bytes(bytes(8))
    (result,) = scan(tmp_path / "f", {"w": place})
    assert not result.known


def test_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent", tmp_path / "pipe", tmp_path):
        with pytest.raises(UnreadableFile):
            list(scan(path, {"w": ("U8", (1,), 0, 1)}))


def test_the_module_alone_does_not_load_numpy() -> None:
    script = "import sys, sage_doctor.readers.tensor_scan; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import tracemalloc

    path, size = tmp_path / "f", 64 << 20
    with path.open("wb") as file:
        file.truncate(size)
    list(scan(path, {"w": ("BF16", (1,), 0, 2)}))
    tracemalloc.start()
    (result,) = scan(path, {"w": ("BF16", (size // 2,), 0, size)})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.all_zero
    assert peak < 8 << 20
