"""Everything found below the roots, named and paired; a person is asked what only a person knows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sage_doctor.init.machines import MachineFound, ThisHost, machines_named, this_host
from sage_doctor.init.models import MOST_MODELS, can_be_written, find_new_models, kind_at
from sage_doctor.init.names import free, name_all
from sage_doctor.init.pairs import Ask, BaseLink, base_of, confirm_guesses, ingredients_of
from sage_doctor.init.portable_paths import Portable, shared_root
from sage_doctor.init.role_models import NamedModels, NamedPlaces
from sage_doctor.init.roles import RoleFound, find_launchers, roles_of
from sage_doctor.launchers.code import Code, read_code
from sage_doctor.launchers.starters import Starter, read_starters
from sage_doctor.manifest.specs import Manifest, ModelPath, RoleSpec
from sage_doctor.subjects.declared import models_of
from sage_doctor.subjects.directories import is_merged
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.system.globbing import glob_files
from sage_doctor.system.state_directory import home_of
from sage_doctor.text import join_limited, printable


@dataclass(kw_only=True)
class Inventory:
    """What was found. `models` are all, by name; `new` those that get an entry, in the order to write.

    `remarks` are sentences for the user about what was skipped. `is_new` says that there is no manifest yet.
    """

    portable: Portable
    models: Mapping[str, Model] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    bases: dict[str, BaseLink | None] = field(default_factory=dict)
    merges: dict[str, tuple[BaseLink | None, BaseLink] | None] = field(default_factory=dict)
    roles: list[RoleFound] = field(default_factory=list)
    host: ThisHost | None = None
    others: list[MachineFound] = field(default_factory=list)
    variable: tuple[str, Path] | None = None
    lint: tuple[tuple[Path, str], ...] = ()
    remarks: list[str] = field(default_factory=list)
    is_new: bool = True

    def is_run_here(self, role: RoleFound) -> bool:
        """Whether a role is this host's; where the code says what this host runs, the roles of others are not."""
        if not role.machines or self.host is None or self.host.name in role.machines:
            return True
        known = any(self.host.name in r.machines for r in self.roles)
        return not known and not any(launcher.only for launcher in role.launchers)

    def is_home_of(self, machine: MachineFound, role: RoleFound) -> bool:
        """Whether a role's scripts name the home of that machine, and no other machine has the same."""
        homes = [m.home for m in self.others] + ([self.host.home] if self.host is not None else [])
        named = {home for launcher in role.launchers for home, _ in launcher.homes}
        return machine.home in named and homes.count(machine.home) == 1

    def is_base(self, name: str) -> bool:
        """Whether another model is built on this one."""
        links = [*self.bases.values(), *(t for pair in self.merges.values() for t in pair or ())]
        return any(link is not None and link.name == name for link in links)


def take_inventory(
    roots: Sequence[Path],
    target: Path,
    manifest: Manifest | None,
    environ: Mapping[str, str],
    ask: Ask,
    *,
    everything: bool = False,
) -> Inventory:
    """Return what is below the roots, `new` being what the manifest does not have yet.

    `target` is the manifest's absolute path, `manifest` its present content, None if there is none. Where scripts say
    which models they load, the others are left out, but for `everything`.
    """
    home = home_of(environ)
    host = Host(cwd=Path.cwd(), home=home, environ=environ, manifest=manifest, root=roots[0])
    code = read_code(roots)
    starters = read_starters(
        code, {environ.get("SAGE_MACHINE", "")} - {""} | set(manifest.machines if manifest else ())
    )
    named, remarks = _models(roots, target.parent, host, manifest)
    found = Inventory(
        portable=Portable(directory=target.parent, home=home, variables=manifest.vars if manifest else {}),
        models=named.models,
        is_new=manifest is None,
        remarks=remarks,
    )
    launchers = find_launchers(code, starters, roots, home, _covered(manifest))
    proposed = [named.models_of(role) for role in roles_of(launchers, code, roots)]
    proposed = [r for r in proposed if r.models or r.candidates or any(x.is_started for x in r.launchers)]
    _add_roles(found, proposed, manifest)
    everything = everything or not (any(r.models for r in found.roles) or any(r.models for r in _started(manifest)))
    _choose(found, named, roots, everything=everything)
    confirm_guesses(found.new, found.bases, found.merges, ask)
    _add_machines(found, starters, code, manifest, environ, home)
    found.variable = _variable(found)
    if found.is_new:
        found.lint = _lint(starters, code, found)
    _remark(found, code)
    return found


def _models(
    roots: Sequence[Path], directory: Path, host: Host, manifest: Manifest | None
) -> tuple[NamedModels, list[str]]:
    """Return the manifest's models and those below the roots, by name."""
    models = models_of(manifest) if manifest is not None else {}
    known = {os.path.realpath(m.path) for m in models.values() if m.reference.path is not None}
    places = find_new_models(roots, known)
    taken = _taken(manifest)
    cached = {c.repo_id for c in host.cached_models}
    where = NamedPlaces(directory=directory, home=host.home, cached=cached)
    named = NamedModels(models=models, host=host, places=where, taken=taken)
    for path, name in name_all(places.found, taken).items():
        named.add(name, kind_at(path), ModelPath(text=str(path), path=path))
    if places.truncated:
        places.skipped.append(f"stopped at {MOST_MODELS} models: name narrower directories")
    return named, places.skipped


def _taken(manifest: Manifest | None) -> list[str]:
    if manifest is None:
        return []
    return [*manifest.models, *manifest.services, *manifest.unavailable_here, *manifest.roles]


def _covered(manifest: Manifest | None) -> frozenset[str]:
    """Return the real paths of the scripts that have a role."""
    if manifest is None:
        return frozenset()
    globs = [g for r in manifest.roles.values() for g in r.runners]
    return frozenset(os.path.realpath(p) for g in globs for p in glob_files(g, manifest.directory))


def _started(manifest: Manifest | None) -> list[RoleSpec]:
    """Return the manifest's roles whose scripts were found: what these load is declared."""
    if manifest is None:
        return []
    return [r for r in manifest.roles.values() if any(glob_files(g, manifest.directory) for g in r.runners)]


def _add_roles(found: Inventory, proposed: Sequence[RoleFound], manifest: Manifest | None) -> None:
    """Propose roles, unless the manifest has none: they would narrow what is needed."""
    if manifest is not None and not manifest.roles:
        if proposed:
            found.remarks.append("no roles are proposed: this manifest has none, so every model in it is needed")
        return
    taken = [*found.models, *_taken(manifest)]
    for role in proposed:
        name = free(role.name, taken)
        taken.append(name)
        runners = tuple(r for r in role.runners if can_be_written(r[0] / r[1]))
        if len(runners) < len(role.runners):
            found.remarks.append(
                f"scripts of {name} whose names are not UTF-8 are left out: no manifest can contain them"
            )
        found.roles.append(replace(role, name=name, runners=runners))


def _choose(found: Inventory, named: NamedModels, roots: Sequence[Path], *, everything: bool) -> None:
    """Choose the models that get an entry: those that roles or a person name, what they are built on; else all."""
    models = named.models
    wanted = [n for role in found.roles for n in (*role.models, *role.candidates)]
    wanted += [n for n, m in models.items() if m.reference.path in roots]
    if everything:
        wanted = [*wanted, *models]

    def base(name: str) -> BaseLink | None:
        if name not in found.bases:
            found.bases[name] = base_of(models[name], models, named.loaded_onto.get(name))
        return found.bases[name]

    chosen: dict[str, None] = {}
    while wanted:
        name = wanted.pop()
        if name in chosen:
            continue
        chosen[name] = None
        model = models[name]
        if model.kind == "adapter" and model.found:
            _add_recorded_base(model, named, found)
            link = base(name)
            wanted += [link.name] if link is not None else []
        elif model.kind == "merged" and model.spec is None:
            found.merges[name] = ingredients_of(model, models, base)
            wanted += [t.name for t in found.merges[name] or () if t is not None]
    found.new = tuple(n for n, m in models.items() if n in chosen and m.spec is None)
    left = [n for n, m in models.items() if m.spec is None and n not in chosen]
    if left:
        found.remarks.append(
            f"left out {len(left)} model{'' if len(left) == 1 else 's'} that no launcher names: {join_limited(left)} "
            "(--all adds them)"
        )


def _add_recorded_base(model: Model, named: NamedModels, found: Inventory) -> None:
    """Add the base that an adapter's own configuration leads to, if it has no entry yet."""
    base = model.base.model
    if base is None or model.spec is not None or named.models.get(base.name) is base:
        return
    if base.reference.path is not None and not can_be_written(base.path):
        where = f"{printable(str(base.path), limit=300)}, a name that is not UTF-8"
        found.remarks.append(f"the base of {printable(model.name)} is left out: no manifest can contain {where}")
        return
    named.name_at(replace(base.reference, text=str(base.reference.hub or base.path)), adapter=False)
    vars(model).pop("base", None)  # it leads to a model of this run from now on


def _add_machines(
    found: Inventory,
    starters: Sequence[Starter],
    code: Code,
    manifest: Manifest | None,
    environ: Mapping[str, str],
    home: Path,
) -> None:
    if manifest is not None and not manifest.machines:
        return
    launchers = [launcher for role in found.roles for launcher in role.launchers]
    named = machines_named(starters, code.texts, launchers, home)
    here = this_host(environ, home, found.portable.directory, named)
    known = manifest.machines if manifest is not None else {}
    if manifest is None or (manifest.machine is None and here.name not in known):
        found.host = here
    homes = {m.home for m in known.values() if m.home}
    found.others = [m for m in named if m.name != here.name and m.name not in known and m.home not in homes]


def _lint(starters: Sequence[Starter], code: Code, found: Inventory) -> tuple[tuple[Path, str], ...]:
    """Return globs, with their directories, for the units and scripts that start sessions or are a machine's.

    A glob stands for files of a kind only if it matches no others: those may be for machines that nothing tells of.
    """
    launchers = {launcher.path for role in found.roles for launcher in role.launchers}
    groups: dict[tuple[Path, str], set[Path]] = {}
    for starter in starters:
        path = starter.path
        ours = bool(starter.machine) or any(script in launchers for script, _ in starter.started)
        if ours and path.is_relative_to(found.portable.directory) and can_be_written(path):
            groups.setdefault((path.parent, path.suffix), set()).add(path)
    globs: list[tuple[Path, str]] = []
    for (directory, suffix), paths in sorted(groups.items()):
        alike = {p for p in code.texts if (p.parent, p.suffix) == (directory, suffix)}
        if len(paths) > 1 and alike == paths:
            globs.append((directory, f"*{suffix}"))
        else:
            globs += [(directory, p.name) for p in sorted(paths)]
    return tuple(globs)


def _variable(found: Inventory) -> tuple[str, Path] | None:
    """Return a variable for models in one place outside the manifest's directory; this machine's new table sets it."""
    if found.host is None:
        return None
    paths = [found.models[n].reference.path for n in found.new]
    made = shared_root([p for p in paths if p is not None], found.portable)
    if made is not None and made[0] not in found.portable.variables:
        found.portable = replace(found.portable, variables={**found.portable.variables, made[0]: str(made[1])})
        return made
    return None


def _remark(found: Inventory, code: Code) -> None:
    if code.unreadable:
        found.remarks.append(
            f"not searched, permission denied: {join_limited([str(p) for p in code.unreadable], most=3)}"
        )
    if code.truncated:
        found.remarks.append("not everything was searched, there are too many files: name narrower directories")
    found.remarks += code.remarks
    for name in found.new:
        model = found.models[name]
        if model.kind == "merged" and found.merges.get(name) is None and is_merged(model.path):
            found.remarks.append(
                f"{printable(name)} looks merged, but its base and adapter are unknown: add `merge` to allow a rebuild"
            )
