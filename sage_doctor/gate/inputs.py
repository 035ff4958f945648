"""The files that a result depends on, as they were before the examination began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.gate.context import GateContext
from sage_doctor.gate.environment import EnvironmentFingerprint, package_places
from sage_doctor.lock import LOCK_NAME
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Selection
from sage_doctor.system.fingerprint import TooMany, Watched, fingerprint_files, fingerprint_tree


@dataclass(frozen=True, kw_only=True)
class InputSnapshot:
    """The files that results depend on: the sessions' packages, a role's own, and those of its models by name.

    A model with more files than can be watched has None.
    """

    environment: EnvironmentFingerprint
    packages: Watched
    role: Watched
    models: Mapping[str, Watched | None]

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

    @property
    def complete(self) -> bool:
        """Whether every file that matters is watched."""
        return all(files is not None for files in self.models.values())


def read_inputs(context: GateContext, selection: Selection) -> InputSnapshot:
    """Return the files as they are now."""
    from sage_doctor.facts.runners import find_runners  # noqa: PLC0415 - parses scripts; only roles with runners need it

    manifest = context.manifest
    session = selection.host.session
    places = package_places(session.site_packages, session.version, selection.host.home)
    role: list[Path] = [manifest.path, manifest.directory / LOCK_NAME]
    for pattern in manifest.roles[context.gate_request.role].runners:
        runners = find_runners(pattern, manifest.directory)
        role += [*runners, *{p.parent for p in runners}, (manifest.directory / pattern).parent]
    files: dict[str, Watched | None] = {}
    for model in selection.models:
        try:
            files[model.name] = _files(model)
        except TooMany:
            files[model.name] = None
    return InputSnapshot(
        environment=context.environment, packages=fingerprint_files(places), role=fingerprint_files(role), models=files
    )


def _files(model: Model) -> Watched:
    """Return the files that decide what loading this model finds; those of an adapter's base are among them."""
    found: Watched = fingerprint_tree(model.path) if model.found else fingerprint_files([model.path])
    if model.hub is not None:
        revision = model.reference.revision or "main"
        found.update(fingerprint_files([model.hub.folder / "refs" / revision, model.hub.folder]))
    for base in model.depends_on():
        found.update(_files(base))
    return found
