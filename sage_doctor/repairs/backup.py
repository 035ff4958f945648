"""The old state of a directory that a killed `fix` has kept: deleted once the new one is proven, named until then.

A repair that replaces a directory keeps what was there until the checks are content. Where it is killed before that,
nobody lets go of it, and the disk space of a whole model is gone.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage_doctor.facts.hashing import hash_files
from sage_doctor.merge.staging import UNFINISHED
from sage_doctor.readers.merge_record import merge_hashes
from sage_doctor.report import Finding
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable, shell_quote

_NAME = re.compile(r"\.(?P<target>.+)\.sage-fix-\d{1,9}-[0-9a-f]+")


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A directory kept by a repair, by the journal's `key`, of what is examined as `subject`."""

    key: str
    subject: str
    path: Path
    target: Path

    def discard(self, findings: Iterable[Finding], cache: Path | None) -> str | None:
        """Delete it where the directory in its place is proven. Return why it stays, None where it is gone.

        Proven is a directory in which the checks find no error, and whose weights have the hashes that the merge
        that made it wrote down. `cache` remembers hashes. Links in the old state are not followed.
        """
        if any(f.subject == self.subject and f.severity == "error" for f in findings):
            return "the checks are not content with what is there now"
        hashes = merge_hashes(self.target)
        found = hash_files([(self.target / n, h.algorithm) for n, h in hashes.items()], cache=cache)
        if not hashes or any(found[self.target / n, h.algorithm] != h.hex for n, h in hashes.items()):
            return "what is there now does not have the weights that a merge recorded"
        try:
            shutil.rmtree(self.path)
        except OSError as error:
            return os.strerror(error.errno or 0).lower()
        return None

    def stays(self, why: str) -> str:
        """Return the sentence that says that it stays, and how to delete it."""
        return f"{printable(str(self.path))} stays, because {why}. To delete it: rm -r {shell_quote(self.path)}"


def old_state(entry: Mapping[str, Any]) -> Backup | None:
    """Return the old state that a journal's unfinished entry names, None where there is none any more."""
    kept = entry.get("kept")
    path = Path(kept) if isinstance(kept, str) else Path()
    matched = _NAME.fullmatch(path.name)
    if matched is None or not path.is_absolute():
        return None
    node = inspect_path(path)
    if node.kind != "directory" or node.is_link or inspect_path(path / UNFINISHED).kind != "file":
        return None
    target = path.parent / matched["target"]
    return Backup(key=entry["key"], subject=str(entry.get("subject")), path=path, target=target)
