"""What keeps an old state: a model's directory until the new one is verified, and files with the way back.

A repair that replaces a directory keeps the old one until verification. If it is killed before that, the backup still
takes the disk space of a whole model.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from sage_doctor.facts.hashing import hash_files
from sage_doctor.merge.staging import atomic_swap
from sage_doctor.readers.merge_record import merge_hashes
from sage_doctor.report import Finding
from sage_doctor.subjects.host import Host
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.state_directory import state_directory
from sage_doctor.text import printable, shell_quote

# Findings about weights, which a whole new directory of the model fixes.
OF_WEIGHTS: Final = (
    "path-missing",
    "weights-missing",
    "weights-truncated",
    "weights-oversized",
    "weights-empty",
    "weights-lfs-pointer",
    "weights-not-safetensors",
    "weights-header-invalid",
    "weights-shape-mismatch",
    "weights-unreadable",
    "weights-hash-mismatch",
    "weights-nonfinite",
    "weights-all-zero",
    "shard-missing",
    "shard-index-missing",
    "shard-index-invalid",
    "shard-index-mismatch",
    "load-keys-mismatched",
    "params-not-materialised",
)

_NAME = re.compile(r"\.(?P<target>.+)\.sage-fix-\d{1,9}-(?P<inode>[0-9a-f]{1,16})")


def backup_path(target: Path, *, process: int | None = None) -> Path:
    """Return where a repair keeps the directory that it replaces. The name holds its inode: another is never taken.

    The name also holds the process, by default this one; 0 gives the same name in every process.
    """
    number = os.getpid() if process is None else process
    return target.parent / f".{target.name}.sage-fix-{number}-{inspect_path(target).inode:x}"


@frozen
class Backup:
    """A directory `path` kept by a repair: the old state of `target`, the model `subject`; `key` is the journal's."""

    key: str
    subject: str
    path: Path
    target: Path

    def discard(self, findings: Iterable[Finding], cache: Path | None) -> str | None:
        """Delete it if the new directory is verified. Return why it was kept, or None if it was deleted.

        Verified means: the checks find no error, and the weights have the hashes that the merge recorded. `cache` is
        the hash cache. Links in the backup are not followed.
        """
        if any(f.subject == self.subject and f.severity == "error" for f in findings):
            return "checks still fail for the new directory"
        hashes = merge_hashes(self.target)
        found = hash_files([(self.target / n, h.algorithm) for n, h in hashes.items()], cache=cache)
        if not hashes or any(found[self.target / n, h.algorithm] != h.hex for n, h in hashes.items()):
            return "the new weights do not have the hashes that the merge recorded"
        try:
            shutil.rmtree(self.path)
        except OSError as error:
            return os.strerror(error.errno or 0).lower()
        return None

    def kept_message(self, why: str) -> str:
        """Return the sentence that says why it was kept, and how to delete it."""
        return f"kept {printable(str(self.path))}: {why}. To delete it: rm -r {shell_quote(self.path)}"


def unused_name(host: Host, directory: str, pattern: str) -> Path:
    """Return an unused name in a directory of the state directory; `{}` in the pattern is a number."""
    within = state_directory(host.environ, host.home) / directory
    number = 1
    while os.path.lexists(within / pattern.format(number)):
        number += 1
    return within / pattern.format(number)


def backup_of(entry: Mapping[str, Any]) -> Backup | None:
    """Return the backup that an unfinished entry of the journal names, or None if there is none any more."""
    kept = entry.get("kept")
    path = Path(kept) if isinstance(kept, str) else Path()
    matched = _NAME.fullmatch(path.name)
    if matched is None or not path.is_absolute():
        return None
    node = inspect_path(path)
    if node.kind != "directory" or node.is_link or node.inode != int(matched["inode"], 16):
        return None
    target = path.parent / matched["target"]
    return Backup(key=entry["key"], subject=str(entry.get("subject")), path=path, target=target)


def restore(kept: Path, target: Path) -> None:
    """Put the old directory back in the place of the new one, which is deleted."""
    if atomic_swap(kept, target):
        drop(kept)


def drop(path: Path) -> None:
    """Delete a directory as far as possible."""
    with contextlib.suppress(OSError):
        shutil.rmtree(path)
