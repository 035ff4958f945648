"""The values of a lock, and their text: TOML in one fixed order, one line a file, so that a diff shows what changed.

None depends on the machine: paths are names inside the model, and there are no times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, fields

from sage_doctor.manifest.quoting import key, string
from sage_doctor.system.frozen import frozen

SCHEMA = 1
_HEAD = """\
# What each model is, byte for byte. Written by `sage-doctor lock`; to be committed, not edited.
# What differs here: sage-doctor lock --check. What differs from another machine: sage-doctor lock --diff OTHER.lock
"""

_WEIGHTS = (".safetensors", ".bin")


@frozen
class LockedFile:
    """One file. `header` is a digest of its tensors' names, types and shapes, None for what is no safetensors file."""

    size: int
    sha256: str
    header: str | None = None


@frozen
class LockedTensors:
    """All tensors that a load would read, whatever files they are in.

    `header` is a digest of names, types and shapes, `shapes` one of names and shapes alone; `dtypes` counts types, as
    in `BF16 270, F32 2`.
    """

    count: int
    dtypes: str
    header: str
    shapes: str


@frozen
class LockedBase:
    """What an adapter is loaded onto.

    `declared` is what its own configuration says, `model` the manifest's name for what it leads to, `weights` the
    digest of that one's weights; None where there is none.
    """

    declared: str | None = None
    model: str | None = None
    weights: str | None = None


@frozen
class LockedMerge:
    """What a merged model was made from: names as the manifest's recipe has them, weights as the merge noted them."""

    base: str | None = None
    adapter: str | None = None
    base_weights: str | None = None
    adapter_weights: str | None = None


@frozen
class LockedModel:
    """One model. `repository` and `commit` are those of the hub's cache, None for what lies in a directory."""

    kind: str
    files: Mapping[str, LockedFile] = field(default_factory=dict)
    tensors: LockedTensors | None = None
    base: LockedBase | None = None
    merge: LockedMerge | None = None
    repository: str | None = None
    commit: str | None = None

    @property
    def weight_files(self) -> dict[str, LockedFile]:
        """The files that hold the model's numbers."""
        return {name: file for name, file in self.files.items() if holds_weights(name)}

    @property
    def weights(self) -> str:
        """A digest of all weight files, whatever they are called."""
        return weights_digest(f.sha256 for f in self.weight_files.values())


def holds_weights(name: str) -> bool:
    """Return whether a file of that name holds weights."""
    return name.endswith(_WEIGHTS)


def weights_digest(hashes: Iterable[str]) -> str:
    """Return one digest for the hashes of weight files."""
    return digest(sorted(hashes))


def digest(lines: Iterable[str]) -> str:
    """Return the sha256 of lines in hex. What is not UTF-8 in them counts as its bytes."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")).hexdigest()


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
