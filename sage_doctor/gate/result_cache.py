"""Results that gates keep for the next one, with all they depend on: one JSON file each, in the state directory.

A result that cannot be read is no result, and one that another user could have written is not read: it would open the
gate. A state directory that cannot be written costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from sage_doctor.readers.json_object import read_json_object
from sage_doctor.system.atomic_write import replace_file
from sage_doctor.system.fingerprint import Watched
from sage_doctor.system.frozen import frozen
from sage_doctor.system.trust import is_trusted
from sage_doctor.text import printable

SCHEMA: Final = 3
MOST_BYTES: Final = 16 << 20


@frozen
class CachedResult:
    """One result and what it depends on.

    `taken_s` counts from boot; `taken_at` is the same moment on the wall, for people. `watched` are the files it
    holds for, `environment` the rest. `directory` is the working directory it depends on, if it does; with `absent`, it
    holds in every other one as well that has nothing of these names. `body` is the result itself.
    """

    environment: Mapping[str, Any]
    watched: Watched
    level: str
    taken_s: float
    taken_at: str
    directory: str | None = None
    absent: Sequence[str] = ()
    body: Mapping[str, Any] = field(default_factory=dict)


class ResultCache:
    """The records in `directory`. `problem` is set where something could not be kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.problem: str | None = None

    def read(self, name: str, *key: str) -> CachedResult | None:
        """Return the record of that name and key, None where there is none that can be used."""
        path = self.path(name, *key)
        found = read_json_object(path, most=MOST_BYTES).value if is_trusted(path) else None
        if found is None or found.get("schema") != SCHEMA or found.get("key") != list(key):
            return None
        try:
            return CachedResult(
                environment=dict(found["environment"]),
                watched={str(p): None if i is None else [int(n) for n in i] for p, i in found["watched"].items()},
                level=str(found["level"]),
                taken_s=float(found["taken_s"]),
                taken_at=str(found["taken_at"]),
                directory=found["directory"],
                absent=[str(name) for name in found["absent"]],
                body=dict(found["body"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def write(self, record: CachedResult, name: str, *key: str) -> None:
        """Keep a record; where that fails, `problem` says why."""
        data = {"schema": SCHEMA, "key": list(key), **record.__dict__}
        try:
            path = self.path(name, *key)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if is_trusted(path.parent):
                replace_file(path, json.dumps(data).encode("ascii"), mode=0o600)
        except OSError as error:
            reason = f"{printable(str(self.directory), limit=300)}: {os.strerror(error.errno or 0).lower()}"
            self.problem = f"this result cannot be kept for the next gate: {reason}"

    def path(self, name: str, *key: str) -> Path:
        """Return where the record of that name and key lies."""
        digest = hashlib.sha256("\0".join(key).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:60]
        return self.directory / f"{plain}-{digest}.json"
