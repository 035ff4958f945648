"""What a machine was like during one run: the things that, when they change, explain why something no longer works.

Everything here is known already or costs one look at a directory; nothing is hashed or loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Final

from sage_doctor import __version__
from sage_doctor.facts.machine import disk_free
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Selection
from sage_doctor.system.fingerprint import Fingerprint
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.system.small_text import read_line
from sage_doctor.system.walk import Walk

MOST_FILES: Final = 2000  # of one model
MOST_SECONDS: Final = 5.0
_MANIFEST_BYTES: Final = 1 << 20
_PASSED_OVER: Final = frozenset({"__pycache__"})

# What a run of an older version did not write down of a file; it is equal to everything.
UNKNOWN: Final = -1


@frozen
class ModelState:
    """One model's files, by their path below its directory, and its budget. `found` is whether there is a directory."""

    path: str
    found: bool
    files: Mapping[str, Fingerprint] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """The size of all files, in bytes."""
        return sum(file.size for file in self.files.values())

    def body(self) -> str:
        """Return the state as JSON, the same text for the same state."""
        return _body({**asdict(self), "bytes": self.nbytes})

    @classmethod
    def from_body(cls, text: str) -> ModelState:
        """Return the state that `body` wrote. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
        data = json.loads(text)
        files = {name: _fingerprint([int(n) for n in values]) for name, values in data["files"].items()}
        return cls(path=data["path"], found=data["found"], files=files, budget=dict(data["budget"]))


@frozen
class Snapshot:
    """The machine, the sessions' interpreter, the manifest and the models, as a run saw them.

    `system` has texts by name (kernel, driver, …). `packages` is None where the interpreter gave no answer, and has
    only packages that are installed. `disk_free` is the least free space, in bytes, among the models' file systems;
    it is no part of the identity. `models` are by subject.
    """

    boot_id: str | None = None
    system: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    interpreter: str | None = None
    interpreter_problem: str | None = None
    python: str | None = None
    packages: Mapping[str, str] | None = None
    doctor: str = __version__
    manifest: str = ""
    disk_free: int | None = None
    models: Mapping[str, ModelState] = field(default_factory=dict)

    def body(self) -> str:
        """Return everything but the models' own states as JSON; of those, the digests."""
        data = {name: value for name, value in vars(self).items() if name not in ("disk_free", "models")}
        return _body({**data, "models": {name: digest(state.body()) for name, state in self.models.items()}})

    @classmethod
    def from_body(cls, text: str, models: Mapping[str, str], free: int | None) -> Snapshot:
        """Return the snapshot of a stored body; `models` has the bodies by digest. Raises like `ModelState`'s."""
        data: dict[str, Any] = json.loads(text)
        states = {name: ModelState.from_body(models[key]) for name, key in data.pop("models").items()}
        return cls(**data, models=states, disk_free=free)


def digest(body: str) -> str:
    """Return the name under which a body is stored."""
    return hashlib.sha256(body.encode("ascii")).hexdigest()


def _body(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def take(selection: Selection, *, deadline: float | None = None) -> Snapshot | None:
    """Return the snapshot of what a run examined, None without a manifest or where it takes more than five seconds.

    After `deadline` (a `time.monotonic()` in seconds) an interpreter that gave no answer so far is not waited for.
    """
    host = selection.host
    if host.manifest is None:
        return None
    until = time.monotonic() + MOST_SECONDS
    models: dict[str, ModelState] = {}
    for model in _all_of(selection):
        if time.monotonic() > until:
            return None
        models[model.name] = _state_of(model)
    machine = host.machine
    system = {
        "kernel": machine.kernel,
        "driver": machine.nvidia_driver or read_line(Path("/sys/module/nvidia/version")),
        "Jetson Linux": machine.l4t,
        "operating system": machine.platform,
    }
    late = deadline is not None and time.monotonic() > deadline and "session" not in vars(host)
    session = None if late else host.session
    answered = session is not None and session.problem is None
    return Snapshot(
        boot_id=machine.boot_id,
        system={name: text for name, text in system.items() if text},
        memory_bytes=machine.memory_total,
        interpreter=session.executable if session is not None else None,
        interpreter_problem=session.problem if session is not None else None,
        python=session.version if session is not None else None,
        packages={n: v for n, v in session.packages.items() if v} if session is not None and answered else None,
        manifest=_digest_of(host.manifest.path),
        disk_free=_least_free([host.manifest.directory, *(Path(m.path) for m in models.values() if m.found)]),
        models=models,
    )


def _all_of(selection: Selection) -> list[Model]:
    """Return the models of a run with the bases they load that have no name of their own in it."""
    found = {m.name: m for m in selection.models}
    for model in selection.models:
        for base in model.depends_on():
            found.setdefault(base.name, base)
    return list(found.values())


def _state_of(model: Model) -> ModelState:
    budget = vars(model.spec.budget) if model.spec is not None else {}
    return ModelState(
        path=str(model.path),
        found=model.found,
        files=_files(str(model.path)) if model.found else {},
        budget={name: value for name, value in budget.items() if value is not None},
    )


def _fingerprint(values: list[int]) -> Fingerprint:
    """Return a stored fingerprint; an older version's has size, time and inode. Raises `TypeError` for others."""
    if len(values) == 3:
        size, mtime_ns, inode = values
        return Fingerprint(size, mtime_ns, UNKNOWN, inode, UNKNOWN)
    return Fingerprint(*values)


def _files(root: str) -> dict[str, Fingerprint]:
    """Return the files in a directory and in those directly below it, links followed; a link to nothing is no file."""
    found: dict[str, Fingerprint] = {}
    for listing in Walk(roots=[Path(root)], most_depth=1).listings():
        listing.below = [e for e in listing.below if _is_counted(e)]
        for entry in filter(_is_counted, listing.files):
            if inspect_path(entry.path).kind == "file":
                found[os.path.relpath(entry.path, root)] = Fingerprint.of(entry.stat())
            if len(found) >= MOST_FILES:
                return found
    return found


def _is_counted(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.name not in _PASSED_OVER


def _digest_of(path: Path) -> str:
    try:
        return hashlib.sha256(read_start(path, _MANIFEST_BYTES)).hexdigest()
    except UnreadableFile:
        return ""


def _least_free(places: list[Path]) -> int | None:
    free: list[int] = []
    for place in dict.fromkeys(places):
        try:
            free.append(disk_free(place))
        except OSError:
            continue
    return min(free, default=None)
