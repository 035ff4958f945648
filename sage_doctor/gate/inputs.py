"""What was there before an examination began: the files that its result will hold for, and whether they moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.gate.context import Ground
from sage_doctor.gate.environment import Surroundings, package_places
from sage_doctor.gate.fingerprint import TooMany, Watched, watch, watch_below
from sage_doctor.lock import LOCK_NAME
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Selection


@dataclass(frozen=True, kw_only=True)
class Situation:
    """The files that results depend on: the sessions' packages, a role's own, and those of its models by name.

    A model with more files than can be watched has None.
    """

    surroundings: Surroundings
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


def read_situation(ground: Ground, selection: Selection) -> Situation:
    """Return the situation as it is now."""
    from sage_doctor.facts.runners import find_runners  # noqa: PLC0415 - parses scripts; only roles with runners need it

    manifest = ground.manifest
    session = selection.host.session
    places = package_places(session.site_packages, session.version, selection.host.home)
    role: list[Path] = [manifest.path, manifest.directory / LOCK_NAME]
    for pattern in manifest.roles[ground.question.role].runners:
        runners = find_runners(pattern, manifest.directory)
        role += [*runners, *{p.parent for p in runners}, (manifest.directory / pattern).parent]
    files: dict[str, Watched | None] = {}
    for model in selection.models:
        try:
            files[model.name] = _files(model)
        except TooMany:
            files[model.name] = None
    return Situation(surroundings=ground.surroundings, packages=watch(places), role=watch(role), models=files)


def _files(model: Model) -> Watched:
    """Return the files that decide what loading this model finds; those of an adapter's base are among them."""
    found: Watched = watch_below(model.path) if model.found else watch([model.path])
    if model.hub is not None:
        revision = model.reference.revision or "main"
        found.update(watch([model.hub.folder / "refs" / revision, model.hub.folder]))
    for base in model.depends_on():
        found.update(_files(base))
    return found
