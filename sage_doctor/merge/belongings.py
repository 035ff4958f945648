"""Which files of a model directory are its own: a link in a downloaded one may lead to any file of its user.

Small files are copied only from inside the directory, from the Hugging Face cache's blobs of the same repository, or,
where the weights are links to the files of one other model directory, from that one under the same name. (Weights may
be links to anywhere: only what parses as safetensors is read of them, as numbers.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from sage_doctor.merge.refusal import refused
from sage_doctor.readers.tree import is_model_directory, read_tree
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable

_BLOB = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@frozen
class Belongings:
    """The model directory at `path`. `real` and `linked` are real paths; `linked` is where all its weights are."""

    path: Path
    real: str
    linked: str | None

    @classmethod
    def of(cls, path: Path, weights: Iterable[str]) -> Belongings:
        """Return those of a directory with these weight files."""
        places = {_place(path, name) for name in weights}
        linked = places.pop() if len(places) == 1 else None
        if linked is not None:
            tree = read_tree(Path(linked))
            if not {"config.json", "adapter_config.json"} & tree.names or not is_model_directory(tree):
                linked = None
        return cls(path=path, real=os.path.realpath(path), linked=linked)

    def include(self, name: str) -> bool:
        """Return whether the file of that name is the directory's own."""
        file = os.path.realpath(self.path / name)
        if file.startswith(f"{self.real.rstrip('/')}/") or _is_blob_of(file, self.real):
            return True
        if self.linked is None or _place(self.path, name) != self.linked:
            return False
        return os.path.dirname(file) == self.linked or _is_blob_of(file, self.linked)


def _place(path: Path, name: str) -> str | None:
    """Return the real directory that a link leads to under its own name; None for what is no such link."""
    try:
        target = os.readlink(path / name)
    except OSError:
        return None
    return os.path.realpath(path / os.path.dirname(target)) if os.path.basename(target) == name else None


def _is_blob_of(file: str, snapshot: str) -> bool:
    """Return whether a real file is a blob of the repository in the Hugging Face cache that `snapshot` belongs to."""
    snapshots = os.path.dirname(snapshot)
    blobs = os.path.realpath(os.path.join(os.path.dirname(snapshots), "blobs"))
    folder, name = os.path.split(file)
    return os.path.basename(snapshots) == "snapshots" and folder == blobs and bool(_BLOB.fullmatch(name))


def require_own(belongings: Belongings, names: Iterable[str]) -> None:
    """Raise `MergeRefused` if one of these files, which the model needs, is not its own."""
    for name in names:
        if not belongings.include(name):
            path = belongings.path / name
            raise refused(
                f"{printable(str(path))} is a link out of its model directory, to {printable(os.path.realpath(path))}; "
                "such a file is not copied",
                "If you trust that file, put a copy in place of the link, and merge again.",
            )
