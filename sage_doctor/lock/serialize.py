"""The text of a lock: TOML in one fixed order, one line a file, so that a diff shows what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from sage_doctor.lock.entry import LockedFile, LockedModel
from sage_doctor.manifest.quoting import key, string

SCHEMA = 1
_HEAD = """\
# What each model is, byte for byte. Written by `sage-doctor lock`; to be committed, not edited.
# What differs here: sage-doctor lock --check. What differs from another machine: sage-doctor lock --diff OTHER.lock
"""


def lock_text(entries: Mapping[str, LockedModel]) -> str:
    """Return the file's text: the same for the same entries, on every machine."""
    return "".join(f"{line}\n" for line in _lines(entries))


def _lines(entries: Mapping[str, LockedModel]) -> Iterator[str]:
    yield f"{_HEAD}schema = {SCHEMA}"
    for name, entry in sorted(entries.items()):
        yield ""
        yield f"[models.{key(name)}]"
        yield f"kind = {string(entry.kind)}"
        for what in ("repository", "commit"):
            text = getattr(entry, what)
            if text is not None:
                yield f"{what} = {string(text)}"
        for what in ("tensors", "base", "merge"):
            part = getattr(entry, what)
            if part is not None and (values := _inline(part)):
                yield f"{what} = {values}"
        if entry.files:
            yield ""
            yield f"[models.{key(name)}.files]"
            yield from (f"{string(n)} = {_inline(f)}" for n, f in sorted(entry.files.items()))


def _inline(part: object) -> str:
    """Return a part of an entry as an inline table, empty where all of it is None."""
    held = []
    for noted in fields(part):  # type: ignore[arg-type]
        value = getattr(part, noted.name)
        if value is not None:
            held.append(f"{noted.name} = {value if isinstance(value, int) else string(value)}")
    return "{ " + ", ".join(held) + " }" if held else ""


def describe_file(file: LockedFile) -> str:
    """Return a file in a few words: its size and the beginning of its hash."""
    return f"{file.size:,} bytes, sha256 {file.sha256[:12]}…"
