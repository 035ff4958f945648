"""The files that a result depends on, as they were before the examination began."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sage_doctor.gate.context import GateContext
from sage_doctor.gate.environment import EnvironmentFingerprint, import_places, package_places
from sage_doctor.lock import LOCK_NAME
from sage_doctor.subjects.cached_files import cached_files
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Selection
from sage_doctor.system.fingerprint import MOST_FILES, TooMany, Watched, fingerprint_files, fingerprint_tree, presence
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, exists, read_start

_PATH: Final = re.compile(r"(?<![\w./$}])/[\w.+-][\w./+-]*")
_MOST_WRAPPER: Final = 16384


@frozen
class InputSnapshot:
    """The files that results depend on: the sessions' packages, a role's own, and those of its models by name.

    A model with more files than can be watched has None. `runners` are the files that were the role's, `complete` is
    whether every file that matters is watched.
    """

    environment: EnvironmentFingerprint
    packages: Watched
    role: Watched
    models: Mapping[str, Watched | None]
    runners: list[str]
    complete: bool

    @property
    def watched(self) -> Watched:
        """All files together."""
        return {**self.role, **self.loaded}

    @property
    def loaded(self) -> Watched:
        """What a load reads: where this changes meanwhile, nobody knows what was examined."""
        found = dict(self.packages)
        for files in self.models.values():
            found.update(files or {})
        return found


def read_inputs(context: GateContext, selection: Selection) -> InputSnapshot:
    """Return the files as they are now."""
    from sage_doctor.paths.scan import dependencies  # noqa: PLC0415 - parses scripts; only roles with runners need it

    manifest, runners = context.manifest, context.runners
    session = selection.host.session
    places = package_places(session.site_packages, session.version, selection.host.home)
    places += import_places(places, *(context.environ.get(name, "") for name in ("PYTHONPATH", "LD_LIBRARY_PATH")))
    if session.prefix is not None:  # where the interpreter is a script or a link, what it leads to
        places += [os.path.join(session.prefix, "pyvenv.cfg"), os.path.join(session.prefix, "bin", "python3")]
    role: list[Path] = [manifest.path, manifest.directory / LOCK_NAME]
    read, named = dependencies(selection.host) if runners else ([], [])
    role += read
    if manifest.python is not None:  # where it is a script, what that starts; what it will write is not there yet
        named += [Path(p) for p in _PATH.findall(_first(manifest.python)) if exists(Path(p))]
    files: dict[str, Watched | None] = {}
    for model in selection.models:
        try:
            files[model.name] = _files(model)
        except TooMany:
            files[model.name] = None
    return InputSnapshot(
        environment=context.environment,
        packages=fingerprint_files(places),
        role={**presence(named[:MOST_FILES]), **fingerprint_files(role[:MOST_FILES])},
        models=files,
        runners=runners,
        complete=len(role) + len(named) <= MOST_FILES and all(found is not None for found in files.values()),
    )


def _files(model: Model) -> Watched:
    """Return the files that decide what loading this model finds; those of an adapter's base are among them."""
    found: Watched = fingerprint_tree(model.path) if model.found else fingerprint_files([model.path])
    found.update(fingerprint_files(cached_files(model)))
    if model.kind == "adapter" and model.found and model.base.place is not None:  # another place may win the lookup
        found.update(fingerprint_files(model.base.place.tried))
    for base in model.depends_on():
        found.update(_files(base))
    return found


def _first(program: Path) -> str:
    try:
        start = read_start(program, _MOST_WRAPPER)
    except UnreadableFile:
        return ""
    return start.decode("utf-8", "replace") if start.startswith(b"#!") else ""
