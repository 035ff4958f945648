"""Reads every number of a weights file: how many are NaN, infinite or zero.

The bits are tested as integers, so that bfloat16 and 8-bit floats need no conversion. The file is read in small
blocks into one buffer rather than mapped: a mapping of a file that shrinks ends the process with SIGBUS.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bits = NDArray[np.unsignedinteger[Any]]

TensorSpan = tuple[str, tuple[int, ...], int, int]  # dtype, shape, begin, end: bytes from the start of the file

_BLOCK = 1 << 20  # bytes; block and its shifted copy stay in the processor's cache


class _Layout(NamedTuple):
    """How the numbers of a dtype lie: bytes each; and, with the sign bit shifted out, infinity and the least NaN."""

    size: int
    infinity: int | None = None
    nan: int | None = None


_LAYOUTS: Mapping[str, _Layout] = {
    "F64": _Layout(8, 0x7FF0_0000_0000_0000 << 1, (0x7FF0_0000_0000_0000 << 1) + 1),
    "F32": _Layout(4, 0x7F80_0000 << 1, (0x7F80_0000 << 1) + 1),
    "F16": _Layout(2, 0x7C00 << 1, (0x7C00 << 1) + 1),
    "BF16": _Layout(2, 0x7F80 << 1, (0x7F80 << 1) + 1),
    "F8_E5M2": _Layout(1, 0x7C << 1, (0x7C << 1) + 1),
    "F8_E4M3": _Layout(1, None, 0x7F << 1),  # the "fn" variant: no infinities, one NaN
    "BOOL": _Layout(1),
    "U8": _Layout(1),
    "I8": _Layout(1),
    "U16": _Layout(2),
    "I16": _Layout(2),
    "U32": _Layout(4),
    "I32": _Layout(4),
    "U64": _Layout(8),
    "I64": _Layout(8),
}


@frozen
class TensorScan:
    """What one tensor holds. `elements` is what its shape promises, `read` what the file really had of it.

    `ends_in_zero`: the bytes of the last one are zeros. `known` is False for a dtype whose bits we cannot judge; all
    counts are 0 then.
    """

    name: str
    dtype: str
    elements: int
    read: int = 0
    nan: int = 0
    inf: int = 0
    zero: int = 0
    ends_in_zero: bool = False
    known: bool = True

    @property
    def nonfinite(self) -> int:
        """How many elements are NaN or infinite."""
        return self.nan + self.inf

    @property
    def all_zero(self) -> bool:
        """Whether there are elements, all of them could be read, and every one is zero (of either sign)."""
        return self.known and 0 < self.elements == self.read == self.zero


def scan(
    path: Path, tensors: Mapping[str, TensorSpan], progress: Callable[[int], None] = lambda _count: None
) -> Iterator[TensorScan]:
    """Yield what each tensor holds, in the order of the file. Needs numpy, and a few MiB of memory.

    `progress` gets the number of bytes just read.

    A file that ends early, or shrinks meanwhile, gives fewer elements `read`. Raises `UnreadableFile` where it
    cannot be opened or the disk fails, `ImportError` without numpy.
    """
    import numpy as np  # noqa: PLC0415, F401 - fail before anything is opened

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise UnreadableFile(
            os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UnreadableFile("not a file")
        with open(handle, "rb", buffering=0, closefd=False) as file:
            yield from _scan_all(file, tensors, progress)
    except OSError as error:
        raise (
            error if isinstance(error, UnreadableFile) else UnreadableFile(os.strerror(error.errno or 0).lower())
        ) from error
    finally:
        os.close(handle)


def _scan_all(file: Any, tensors: Mapping[str, TensorSpan], progress: Callable[[int], None]) -> Iterator[TensorScan]:
    import numpy as np  # noqa: PLC0415

    raw = bytearray(_BLOCK)
    block, spare = np.frombuffer(raw, np.uint8), np.empty(_BLOCK, np.uint8)
    for name, (dtype, shape, begin, end) in sorted(tensors.items(), key=lambda item: (item[1][2], item[0])):
        elements = 1
        for length in shape:
            elements *= length
        layout = _LAYOUTS.get(dtype)
        if layout is None or begin < 0 or elements * layout.size != end - begin:
            yield TensorScan(name=name, dtype=dtype, elements=elements, known=False)
            continue
        counts, ends_in_zero = [0, 0, 0, 0], False
        file.seek(begin)
        left = end - begin
        while left > 0:
            got = _fill(file, memoryview(raw)[: min(left, _BLOCK)])
            usable = got - got % layout.size
            bits: Bits = block[:usable].view(f"u{layout.size}")
            shifted: Bits = spare[:usable].view(f"u{layout.size}")
            for index, count in enumerate((len(bits), *_count(bits, shifted, layout))):
                counts[index] += count
            ends_in_zero = bool(usable) and not bits[-1]
            left -= got
            progress(got)
            if got < min(left + got, _BLOCK):
                break
        read, nan, inf, zero = counts
        yield TensorScan(
            name=name,
            dtype=dtype,
            elements=elements,
            read=read,
            nan=nan,
            inf=inf,
            zero=zero,
            ends_in_zero=ends_in_zero,
        )


def _fill(file: Any, view: memoryview) -> int:
    """Read until the view is full or the file ends; return the bytes read."""
    got = 0
    while got < len(view):
        count = file.readinto(view[got:])
        if not count:
            break
        got += count
    return got


def _count(bits: Bits, shifted: Bits, layout: _Layout) -> tuple[int, int, int]:
    """Return how many of the numbers are NaN, infinite, zero. Overwrites `shifted`, which is as long as `bits`."""
    import numpy as np  # noqa: PLC0415

    if not len(bits):
        return 0, 0, 0
    if layout.nan is None:
        return 0, 0, len(bits) - int(np.count_nonzero(bits))
    np.left_shift(bits, bits.dtype.type(1), out=shifted)  # the sign falls off: what is left grows with the magnitude
    zero = len(bits) - int(np.count_nonzero(shifted))
    least = layout.nan if layout.infinity is None else layout.infinity
    if int(shifted.max()) < least:
        return 0, 0, zero
    inf = int(np.count_nonzero(shifted == layout.infinity)) if layout.infinity is not None else 0
    return int(np.count_nonzero(shifted >= layout.nan)), inf, zero


def trailing_zeros(path: Path, begin: int, end: int) -> int:
    """Return how many of a file's bytes before `end` are zeros, down to `begin`. Raises `UnreadableFile`."""
    found = 0
    try:
        with open(path, "rb", buffering=0) as file:
            while end > begin:
                start = max(begin, end - _BLOCK)
                file.seek(start)
                raw = file.read(end - start)
                kept = len(raw.rstrip(b"\0"))
                found += len(raw) - kept
                if kept:
                    break
                end = start
    except OSError as error:
        raise UnreadableFile(os.strerror(error.errno or 0).lower()) from error
    return found
