"""The files that a scan read: what this machine's roles run and what `[lint]` names, each with its classified paths."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path, PurePosixPath

from sage_doctor.paths.find import ClassifiedPath, PathMap, PathReference, Script, read_program, read_script
from sage_doctor.paths.find.checkout import most_of_one
from sage_doctor.paths.find.files import find_files
from sage_doctor.paths.find.installed import CRONTAB, Installed
from sage_doctor.paths.find.named_files import configuration_places, named_configurations
from sage_doctor.paths.find.ownership import owner_of
from sage_doctor.paths.find.path_map import build_path_map, machine_roots
from sage_doctor.paths.find.script import read_text
from sage_doctor.paths.find.unit_file import PROGRAM_DIRECTIVES
from sage_doctor.subjects.host import Host
from sage_doctor.system.frozen import frozen
from sage_doctor.system.globbing import glob_files

# They are meant to name the directories of machines.
_MANIFESTS = frozenset({"sage-doctor.toml", "sage-doctor.lock"})


@frozen
class ScannedFile:
    """One file with every path in it, classified. `roles` are those of this machine that run it.

    `subject` is its path relative to the manifest, as the report names it. `other_roots` are the roots of other
    machines that the manifest names. `owner` is the other machine that the file is for: nothing in it is a finding
    here. `elsewhere` is where a missing path's tail is on this machine. `reached_by` is the runner that sources,
    imports or starts a file that is none itself.
    """

    script: Script
    subject: str
    roles: tuple[str, ...] = ()
    classified: tuple[tuple[PathReference, ClassifiedPath], ...] = ()
    other_roots: tuple[str, ...] = ()
    owner: str = ""
    reached_by: str = ""
    elsewhere: Mapping[str, Path] = field(default_factory=dict)

    @property
    def broken_paths(self) -> list[tuple[PathReference, ClassifiedPath]]:
        """The paths of other machines that a run would use here.

        Files that no role runs, such as tests, are full of made-up homes: there only the roots that the manifest
        names count. What a run looks for first, or can do without, is not broken.
        """
        used = [(r, c) for r, c in self._used if r.need != "optional"]
        return [(r, c) for r, c in used if c.origin == "mappable" or self._is_broken(c)]

    def _is_broken(self, path: ClassifiedPath) -> bool:
        return path.origin == "foreign" and (bool(self.roles) or path.root in self.other_roots)

    @property
    def local_paths(self) -> list[tuple[PathReference, ClassifiedPath]]:
        """The paths that a run would use and that exist on this machine only."""
        return [(r, c) for r, c in self._used if c.origin == "here" and r.form != "computed"]

    @property
    def missing_paths(self) -> list[tuple[PathReference, ClassifiedPath]]:
        """The paths of this machine that a run needs and that do not exist.

        If the file does not say whether it needs one, it counts if the same tail exists elsewhere: then it was moved.
        What a script computes below a directory that is missing itself is not told again.
        """
        found = [
            (r, c)
            for r, c in self._used
            if c.origin == "gone" and (r.need == "needed" or (r.need == "unknown" and r.text in self.elsewhere))
        ]
        texts = {r.text.rstrip("/") for r, _ in found}
        below = {r.text for r, _ in found if any(str(u) in texts for u in PurePosixPath(r.text).parents)}
        return [(r, c) for r, c in found if r.form != "computed" or r.text not in below]

    @property
    def _used(self) -> list[tuple[PathReference, ClassifiedPath]]:
        return [(r, c) for r, c in self.classified if r.used] if not self.owner else []


@frozen
class ScanResult:
    """All files that were read. `complete` is False where there were more than the limit.

    `other_machines` are the names of the manifest's other machines. `places` are where runners look for other files.
    """

    directory: Path
    files: tuple[ScannedFile, ...]
    complete: bool = True
    other_machines: tuple[str, ...] = ()
    places: tuple[Path, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many paths there are: those that a run would use by origin, all others by usage.

        Those in files of other machines are counted by themselves, and those that are missing and not needed.
        """
        return dict(Counter(_counted_as(file, *pair) for file in self.files for pair in file.classified))

    @property
    def started(self) -> frozenset[str]:
        """The programs that units and crontabs of this machine start by their paths."""
        units = [f for f in self.files if f.script.language in ("unit", "crontab", "plist") and not f.owner]
        return frozenset(r.text for f in units for r, _ in f.classified if r.key in PROGRAM_DIRECTIVES)


def _counted_as(file: ScannedFile, reference: PathReference, path: ClassifiedPath) -> str:
    if file.owner:
        return "of_other"
    if not reference.used:
        return reference.usage
    return "unneeded" if path.origin == "gone" and reference.need in ("created", "optional") else path.origin


def host_path_map(host: Host, *, include_system: bool = False) -> PathMap:
    """Return what the manifest and the host say about this machine's directories and those of others."""
    manifest = host.manifest
    names = frozenset({host.name, host.machine.hostname, host.machine.hostname.partition(".")[0]}) - {""}
    if manifest is None:
        roots = [host.root or host.cwd]
        return build_path_map(
            home=host.home, own_roots=roots, other_roots=(), own_names=names, include_system=include_system
        )
    machine = manifest.machine
    variables = machine.vars if machine is not None else manifest.vars
    own = {v.rstrip("/") for v in variables.values() if v.startswith("/")}
    machines = {name: (m.home, m.vars) for name, m in manifest.machines.items() if m is not machine}
    same = [(home, host.home) for home, _ in machines.values() if home]
    same += [
        (value.rstrip("/"), Path(variables[name]))
        for _, others in machines.values()
        for name, value in others.items()
        if value.startswith("/") and variables.get(name, "").startswith("/")
    ]
    return build_path_map(
        home=host.home,
        own_roots=[manifest.directory, *(Path(v) for v in sorted(own))],
        counterparts=same,
        other_roots=[r for r in machine_roots(machines) if r not in own and r != str(host.home)],
        machine_names=manifest.machines,
        own_names=names,
        include_system=include_system,
    )


def runners_of(host: Host) -> dict[Path, tuple[str, ...]]:
    """Return the scripts that this machine's roles run, each with those roles."""
    found: dict[Path, tuple[str, ...]] = {}
    manifest = host.manifest
    if manifest is None:
        return found
    for role in manifest.needed_roles():
        for pattern in manifest.roles[role].runners:
            for path in glob_files(pattern, manifest.directory):
                found[path] = tuple(dict.fromkeys((*found.get(path, ()), role)))
    return found


def _named_runners(host: Host) -> frozenset[Path]:
    """Return the runners that the manifest names one by one: they are this machine's, whatever they are called."""
    manifest = host.manifest
    roles = [manifest.roles[r] for r in manifest.needed_roles()] if manifest is not None else []
    patterns = [p for role in roles for p in role.runners if not set(p) & set("*?[")]
    return frozenset(Path(os.path.normpath(manifest.directory / p)) for p in patterns if manifest is not None)


def dependencies(host: Host) -> tuple[list[Path], list[Path]]:
    """Return what decides how this machine's roles' runners are judged: files with a text, and what has to be there.

    The files are the runners and the configurations that they name; the others are the paths in them.
    """
    manifest = host.manifest
    if manifest is None:
        return [], []
    found = scan(host, lint=False, blind=True)
    files = [seen for seen in found.files if seen.roles]
    named = {
        r.text for seen in files for r, _ in seen.classified if (r.used or r.usage == "detection") and not seen.owner
    }
    named |= {str(p) for seen in files for p in configuration_places(seen.script, manifest.directory)}
    path = host.environ.get("PATH", os.defpath)
    for script in (seen.script for seen in files):
        named.add(script.interpreter or "")
        named.add((script.env_program and shutil.which(script.env_program, path=path)) or "")
    return [*(seen.script.path for seen in files), *found.places], [Path(text) for text in sorted(named) if text]


def runs_elsewhere(host: Host, roles: Iterable[str]) -> bool:
    """Whether another machine of the manifest has one of these roles."""
    manifest = host.manifest
    if manifest is None:
        return False
    return any(m is not manifest.machine and set(m.roles) & set(roles) for m in manifest.machines.values())


def scan(
    host: Host,
    *,
    lint: bool,
    only: Iterable[Path] | None = None,
    include_system: bool = False,
    blind: bool = False,
    installed: Installed | None = None,
) -> ScanResult:
    """Read the runners of this machine's roles and, with `lint`, the files that `[lint]` names; or `only` those given.

    `include_system` finds the system's paths as well, `blind` those that count only where they are missing. What is
    `installed` is kept only where it names a path of this machine or of a machine that the manifest knows.
    """
    manifest = host.manifest
    directory = manifest.directory if manifest is not None else host.root or host.cwd
    runners = runners_of(host)
    paths = list(runners) if only is None else list(only)
    complete = True
    if lint and manifest is not None and manifest.lint.paths and only is None:
        found, complete = find_files(directory, manifest.lint.paths, manifest.lint.ignore)
        paths += [p for p in found if p not in runners and p.name not in _MANIFESTS]
    path_map = dataclasses.replace(host_path_map(host, include_system=include_system), blind=blind)
    anywhere = dataclasses.replace(path_map, anywhere=True)  # what a session needs, it needs wherever that is
    read: dict[Path, Script] = {}
    places: dict[Path, None] = {}
    reached: dict[Path, Path] = {}
    most = most_of_one(len(runners))
    for runner in list(runners):  # all of them: also a file that was asked for may be one that they reach
        program, looked = read_program(runner, anywhere, directory=directory, most=most)
        places.update(dict.fromkeys(looked))
        for script in program if only is None else [s for s in program if s.path in paths]:
            before = read[script.path].references if script.path in read else ()
            read[script.path] = dataclasses.replace(
                script, references=tuple(dict.fromkeys((*before, *script.references)))
            )
            if script.path not in runners or script.path in reached:
                reached.setdefault(script.path, runner)
                runners[script.path] = tuple(dict.fromkeys((*runners.get(script.path, ()), *runners[runner])))
    scripts = [*read.values(), *(read_script(p, path_map, directory=directory) for p in paths if p not in read)]
    for script in [s for s in scripts if s.path in runners]:
        for path in named_configurations(script, directory, path_map):
            runners[path] = tuple(dict.fromkeys((*runners.get(path, ()), *runners[script.path])))
            if path not in paths:
                paths.append(path)
                scripts.append(read_script(path, anywhere, directory=directory))
    outside = _read_installed(installed, path_map, directory) if installed is not None else []
    used = [r.text for s in (*scripts, *outside) for r in s.references if r.used]
    for known in (path_map, anywhere):
        known.learn_roots(used)

    explicit = _named_runners(host)
    own_name = manifest.machine.name if manifest is not None and manifest.machine is not None else None
    machines = manifest.machines if manifest is not None else {}
    homes = {name: m.home for name, m in machines.items()}
    roots = {name: machine_roots({name: (m.home, m.vars)}) for name, m in machines.items()}

    def scanned(script: Script, subject: str, *, installed: bool = False) -> ScannedFile:
        known = anywhere if script.path in runners else path_map
        classified = tuple((r, known.classify(r.text)) for r in script.references)
        gone = [r.text for r, c in classified if r.used and c.origin == "gone" and r.need in ("needed", "unknown")]
        ours = installed or script.path in explicit
        return ScannedFile(
            script=script,
            subject=subject,
            roles=runners.get(script.path, ()),
            other_roots=path_map.other_roots,
            classified=classified,
            reached_by=os.path.relpath(reached[script.path], directory) if script.path in reached else "",
            owner=""
            if ours or own_name is None
            else owner_of(script, subject, classified, own=own_name, homes=homes, roots_of=roots),
            elsewhere={t: p for t in gone if (p := path_map.same_tail(Path(os.path.normpath(t)))) is not None},
        )

    started = {script.path for script in outside}
    files = [scanned(s, os.path.relpath(s.path, directory)) for s in scripts if s.path not in started]
    files += [f for s in outside if _names_known_machine(f := scanned(s, str(s.path), installed=True))]
    other_machines = tuple(n for n in (manifest.machines if manifest is not None else ()) if n != own_name)
    return ScanResult(
        directory=directory, files=tuple(files), complete=complete, other_machines=other_machines, places=tuple(places)
    )


def _read_installed(installed: Installed, path_map: PathMap, directory: Path) -> list[Script]:
    found = [read_script(p, path_map, directory=directory) for p in installed.units]
    if installed.crontab:
        found.append(read_text(CRONTAB, installed.crontab, path_map, directory=directory))
    return found


def _names_known_machine(file: ScannedFile) -> bool:
    known = ("here", "gone", "mappable")
    return any(r.used and (c.origin in known or c.root in file.other_roots) for r, c in file.classified)
