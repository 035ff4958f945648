"""The scripts of this machine: what its roles run, what the manifest wants read besides, and whose paths they name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.facts.runners import find_runners
from sage_doctor.paths.find import ClassifiedPath, PathMap, PathReference, Script, read_script
from sage_doctor.paths.find.files import find_files
from sage_doctor.paths.find.installed import CRONTAB, Installed
from sage_doctor.paths.find.path_map import landscape, other_roots
from sage_doctor.paths.find.script import read_text
from sage_doctor.subjects.host import Host

# They are meant to name the places of machines.
_MANIFESTS = frozenset({"sage-doctor.toml", "sage-doctor.lock"})


@dataclass(frozen=True, kw_only=True)
class ScannedFile:
    """One file, with every path in it and where that belongs. `roles` are those of this machine that run it.

    `subject` is its path relative to the manifest, as the report names it.
    """

    script: Script
    subject: str
    roles: tuple[str, ...] = ()
    placed: tuple[tuple[PathReference, ClassifiedPath], ...] = ()
    others: tuple[str, ...] = ()

    @property
    def misplaced(self) -> list[tuple[PathReference, ClassifiedPath]]:
        """What a run would take and another machine has: the paths that fail here.

        What no role runs is full of made-up homes, in tests for one: only those that the manifest knows count there.
        """
        return [(o, p) for o, p in self.placed if o.used and (p.place == "mappable" or self._counts(p))]

    def _counts(self, placed: ClassifiedPath) -> bool:
        return placed.place == "foreign" and (bool(self.roles) or placed.root in self.others)

    @property
    def ours(self) -> list[tuple[PathReference, ClassifiedPath]]:
        """What a run would take and is right here, and on no other machine."""
        return [(o, p) for o, p in self.placed if o.used and p.place == "here"]


@dataclass(frozen=True, kw_only=True)
class ScanResult:
    """All files that were looked at; `complete` is False where there were more than anybody writes by hand.

    `elsewhere` names the manifest's other machines.
    """

    landscape: PathMap
    directory: Path
    seen: tuple[ScannedFile, ...]
    complete: bool = True
    elsewhere: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many paths there are of each place, of those a run would take, and of each purpose that is no use."""
        return dict(Counter(p.place if o.used else o.context for seen in self.seen for o, p in seen.placed))


def landscape_of(host: Host, *, everything: bool = False) -> PathMap:
    """Return what the manifest and the host say of this machine's places and of the others'."""
    manifest = host.manifest
    if manifest is None:
        return landscape(home=host.home, ours=[host.root or host.cwd], others=(), everything=everything)
    ours = manifest.machine
    own = {v.rstrip("/") for v in (ours.vars if ours is not None else manifest.vars).values() if v.startswith("/")}
    machines = {name: (m.home, m.vars) for name, m in manifest.machines.items() if m is not ours}
    kept = [r for r in other_roots(machines) if r not in own and r != str(host.home)]
    return landscape(
        home=host.home,
        ours=[manifest.directory, *(Path(v) for v in sorted(own))],
        others=kept,
        names=manifest.machines,
        everything=everything,
    )


def runners_of(host: Host) -> dict[Path, tuple[str, ...]]:
    """Return the scripts that this machine's roles run, each with those roles."""
    found: dict[Path, tuple[str, ...]] = {}
    manifest = host.manifest
    for role in manifest.needed_roles() if manifest is not None else ():
        for pattern in manifest.roles[role].runners if manifest is not None else ():
            for path in find_runners(pattern, manifest.directory if manifest is not None else host.cwd):
                found[path] = tuple(dict.fromkeys((*found.get(path, ()), role)))
    return found


def shared(host: Host, roles: Iterable[str]) -> bool:
    """Whether another machine of the manifest has one of these roles."""
    manifest = host.manifest
    machines = manifest.machines.values() if manifest is not None else ()
    ours = manifest.machine if manifest is not None else None
    return any(m is not ours and set(m.roles) & set(roles) for m in machines)


def scan(
    host: Host,
    *,
    lint: bool,
    only: Iterable[Path] | None = None,
    everything: bool = False,
    installed: Installed | None = None,
) -> ScanResult:
    """Read the runners of this machine's roles and, with `lint`, the files that `[lint]` names; or `only` those given.

    With `everything`, the system's paths are found as well. Of what is `installed`, only what names a place of ours or
    of a machine that the manifest knows is kept.
    """
    directory = host.manifest.directory if host.manifest is not None else host.root or host.cwd
    runners = runners_of(host)
    paths = list(runners) if only is None else list(only)
    complete = True
    if lint and host.manifest is not None and host.manifest.lint.paths and only is None:
        found, complete = find_files(directory, host.manifest.lint.paths, host.manifest.lint.ignore)
        paths += [p for p in found if p not in runners and p.name not in _MANIFESTS]
    land = landscape_of(host, everything=everything)
    scripts = [read_script(p, land, directory=directory) for p in dict.fromkeys(paths)]
    started = _read_installed(installed, land, directory) if installed is not None else []
    scripts += started
    foreign = {script.path for script in started}
    land.learn(o.text for s in scripts for o in s.occurrences if o.used)
    seen = [
        ScannedFile(
            script=script,
            subject=os.path.relpath(script.path, directory) if script.path not in foreign else str(script.path),
            roles=runners.get(script.path, ()),
            others=land.others,
            placed=tuple((o, land.place(o.text)) for o in script.occurrences),
        )
        for script in scripts
    ]
    seen = [s for s in seen if s.script.path not in foreign or _concerns_us(s)]
    machine = host.manifest.machine if host.manifest is not None else None
    names = host.manifest.machines if host.manifest is not None else ()
    elsewhere = tuple(n for n in names if machine is None or n != machine.name)
    return ScanResult(landscape=land, directory=directory, seen=tuple(seen), complete=complete, elsewhere=elsewhere)


def _read_installed(installed: Installed, land: PathMap, directory: Path) -> list[Script]:
    found = [read_script(p, land, directory=directory) for p in installed.units]
    return [*found, *([read_text(CRONTAB, installed.crontab, land, directory=directory)] if installed.crontab else [])]


def _concerns_us(seen: ScannedFile) -> bool:
    return any(o.used and (p.place in ("here", "gone", "mappable") or p.root in seen.others) for o, p in seen.placed)
