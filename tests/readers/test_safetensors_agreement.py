"""The reader accepts and refuses what the safetensors library does: thousands of files, each a small change away."""

import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError, safe_open

from sage_doctor.readers.safetensors_entries import BITS
from sage_doctor.readers.safetensors_header import read_header

ODD_NUMBERS = (-1, 0, 1, 2, 3, 7, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**70, 10**400)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    1.0,
    0.5,
    1e300,
    "",
    "1",
    [],
    {},
    [[]],
    {"a": {"b": [1, None]}},
    *ODD_NUMBERS,
)
ODD_DTYPES: tuple[Any, ...] = (
    "F4",
    "F6_E2M3",
    "F6_E3M2",
    "F8_E8M0",
    "f32",
    "",
    "float32",
    "C64",
    None,
    5,
    {"F16": None},
    {"F16": 1},
    [],
)


def entry(dtype: Any, shape: Any, start: Any, end: Any, **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end], **more}


def packed(header: bytes, data: bytes, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def library_says(path: Path) -> str | None:
    """Return the library's complaint, None where it accepts the file."""
    try:
        with safe_open(path, framework="np"):
            return None
    except (SafetensorError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def verdicts(path: Path, content: bytes) -> tuple[str | None, str | None]:
    path.unlink(missing_ok=True)  # ext4 flushes a file that is cut to nothing and written again
    path.write_bytes(content)
    problem = read_header(path).problem
    return library_says(path), problem.message if problem else None


def sound(rng: random.Random) -> tuple[dict[str, Any], bytes]:
    """Return a header that is right, of up to five tensors, some of no size or of less than a byte an element."""
    header: dict[str, Any] = {}
    at = 0
    for number in range(rng.randint(0, 5)):
        dtype = rng.choice(list(BITS))
        shape = [rng.choice((0, 1, 2, 3, 4, 8)) for _ in range(rng.randint(0, 3))]
        bits = BITS[dtype]
        for n in shape:
            bits *= n
        if bits % 8:
            shape, bits = [8], 8 * BITS[dtype]
        header[f"layer.{number}.weight-{number}"] = entry(dtype, shape, at, at + bits // 8)
        at += bits // 8
    if rng.random() < 0.3:
        header["__metadata__"] = rng.choice(({"format": "pt"}, {}, None, {"ü": "-0"}))
    names = list(header)
    rng.shuffle(names)
    return {n: header[n] for n in names}, bytes(at)


def edited(rng: random.Random, header: dict[str, Any]) -> dict[str, Any]:
    """Return the header with one entry changed."""
    tensors = [n for n in header if n != "__metadata__"]
    if not tensors or rng.random() < 0.1:
        return header | {"__metadata__": rng.choice((*ODD_VALUES, {"a": 1}, {"a": None}, {"a": "b", "c": "\ud800"}))}
    name = rng.choice(tensors)
    chosen = header[name]
    shape, offsets = chosen["shape"], chosen["data_offsets"]
    replaced = [*shape[:-1], rng.choice(ODD_VALUES)]
    moved = [n + rng.choice((-1, 0, 1, 4, -4)) for n in offsets]
    entries: tuple[Any, ...] = (
        chosen | {"dtype": rng.choice((*ODD_DTYPES, *BITS))},
        chosen | {"dtype": {chosen["dtype"]: None}},
        chosen | {"shape": rng.choice((*ODD_VALUES, replaced, shape[::-1], [*shape, 1], [*shape, 1, 0]))},
        chosen | {"shape": [rng.choice(ODD_NUMBERS) for _ in range(rng.randint(0, 4))]},
        chosen | {"data_offsets": rng.choice((*ODD_VALUES, [0], [*offsets, 0], offsets[::-1], moved))},
        chosen | {"data_offsets": [offsets[0], rng.choice(ODD_VALUES)]},
        chosen | {rng.choice(("extra", "Dtype", "", "\ud801")): rng.choice((*ODD_VALUES, "\udc00", {"\ud800": 1}))},
        {k: v for k, v in chosen.items() if k != rng.choice(("dtype", "shape", "data_offsets"))},
        list(chosen.values()),
        [*chosen.values(), 1],
        rng.choice(ODD_VALUES),
    )
    others = {n: header[n] for n in header if n != name}
    if rng.random() < 0.1:
        return others
    renamed = rng.choice(("", "\udfff", "a\x7f", "__metadata", "x" * 300)) if rng.random() < 0.1 else name
    return others | {renamed: rng.choice(entries)}


def rewritten(rng: random.Random, text: bytes) -> bytes:
    """Return the header's text with its bytes changed, mostly so that it is JSON no more."""
    if not text:
        return text
    kind = rng.randrange(8)
    at = rng.randrange(len(text))
    if kind == 0:
        return text[:at] + bytes([text[at] ^ 1 << rng.randrange(8)]) + text[at + 1 :]
    if kind == 1:
        return (
            text[:at] + rng.choice((b" ", b"\n", b"\t", b"\r", b"\0", b"\x0b", b"\xa0", b"-", b"0", b'"')) + text[at:]
        )
    if kind == 2:
        return text[:at] + text[at + 1 :]
    if kind == 3:
        return text + rng.choice((b" " * 9, b"\n\n", b"\0\0", b",", b"}", b"\xff", b" " * 700))
    if kind == 4:
        return rng.choice((b" ", b"\n \t\r", b"\xef\xbb\xbf", b"\0", b" " * 600)) + text
    if kind == 5:
        odd = (b"-0", b"-0.0", b"1e0", b"01", b"1.", b".5", b"+1", b"1e999", b"-1e999", b"1e-999", b"NaN", b"Infinity",
               b"-Infinity", b"9" * 308, b"9" * 400, b"9" * 5000, b"1." + b"0" * 5000, b"0x1", b"1_0")  # fmt: skip
        return re.sub(rb"\d+", lambda _: rng.choice(odd), text, count=rng.randint(1, 3))
    if kind == 6:
        depth = rng.choice((1, 100, 124, 125, 126, 127, 200, 3000))
        return text.replace(b'"shape"', b'"deep":' + b"[" * depth + b"]" * depth + b',"shape"', 1)
    return rng.choice(
        (b"[]", b"null", b"", b"{", b"{}", b"{}{}", b'"{}"', b"7", b"[" * 5000, b'{"a":' * 5000, b"\0" * 9)
    )


def changed(rng: random.Random) -> bytes:
    """Return a file that began as a right one and was changed in up to three places."""
    header, data = sound(rng)
    steps = [rng.randrange(5) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]
    if 0 in steps or 1 in steps:
        header = edited(rng, header)
    separators = rng.choice(((",", ":"), (", ", ": ")))
    text = json.dumps(header, separators=separators, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if 2 in steps:
        text = rewritten(rng, text)
    content = packed(text, data)
    if 3 in steps:
        lengths = (0, 1, 2, 7, len(text) - 1, len(text) + 1, len(content), 640, 35615, 2**24, 10**8, 10**8 + 1, 2**63)
        content = packed(text, data, max(0, rng.choice(lengths)))
    if 4 in steps:
        content = rng.choice(
            (content[: rng.randrange(len(content) + 1)], content + bytes(rng.randint(1, 9)), content[:-1], content[:8])
        )
    return content


def test_thousands_of_changed_files(tmp_path: Path) -> None:
    rng = random.Random(20260121)
    accepted = 0
    for _ in range(12_000):
        content = changed(rng)
        theirs, ours = verdicts(tmp_path / "model.safetensors", content)
        assert (theirs is None) == (ours is None), (theirs, ours, content[:3000])
        accepted += theirs is None
    assert 2_000 < accepted < 10_000  # both verdicts are well represented


@pytest.mark.parametrize("dtype", BITS)
def test_size_of_every_dtype(tmp_path: Path, dtype: str) -> None:
    for count, size in itertools.product((0, 1, 2, 3, 4, 8), range(66)):
        header = json.dumps({"t": entry(dtype, [count], 0, size)}).encode()
        theirs, ours = verdicts(tmp_path / "t.safetensors", packed(header, bytes(size)))
        assert (theirs is None) == (ours is None), (count, size, theirs, ours)


def test_the_library_knows_no_dtype_that_we_do_not(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(packed(json.dumps({"t": entry("?", [1], 0, 4)}).encode(), bytes(4)))
    complaint = library_says(path) or ""
    assert set(re.findall(r"`([A-Z]\w+)`", complaint)) == set(BITS)


TWICE = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]%s},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}%s}'


def repeats() -> Iterator[bytes]:
    for field in (b',"x":1,"x":2', b',"x":{"y":1,"y":1e999}', b',"x":[{"y":1e999,"y":1}]', b',"x":"\\ud800","x":1',
                  b',"dtype":"U8"', b',"shape":[1]', b',"data_offsets":[0,1]'):  # fmt: skip
        yield TWICE % (field, b"")
    for more in (b',"__metadata__":{},"__metadata__":{}', b',"__metadata__":{"k":"1","k":"2"}',
                 b',"__metadata__":{"k":1,"k":"2"}', b',"\\u005f_metadata__":{}'):  # fmt: skip
        yield TWICE % (b"", more)


@pytest.mark.parametrize("header", list(repeats()))
def test_repeated_fields_and_metadata(tmp_path: Path, header: bytes) -> None:
    theirs, ours = verdicts(tmp_path / "t.safetensors", packed(header, bytes(2)))
    assert (theirs is None) == (ours is None), (theirs, ours)


def test_a_tensor_named_twice_is_refused_although_the_library_takes_the_last(tmp_path: Path) -> None:
    """The one difference that is meant: which of the two a loader uses is nobody's decision, so one of them is lost."""
    theirs, ours = verdicts(
        tmp_path / "t.safetensors",
        packed(TWICE % (b"", b',"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}'), bytes(2)),
    )
    assert theirs is None
    assert ours == "the header names b twice"
