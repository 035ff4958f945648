"""The values of a lock. None depends on the machine: paths are names inside the model, and there are no times."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import field

from sage_doctor.system.frozen import frozen

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
