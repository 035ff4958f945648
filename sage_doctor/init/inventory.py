"""Everything found below the roots, named and paired; a person is asked what only a person knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sage_doctor.facts.runners import find_runners
from sage_doctor.init.machines import OtherMachine, ThisHost, other_machines, this_host
from sage_doctor.init.models import MOST_MODELS, can_be_written, find_new_models, kind_at
from sage_doctor.init.names import free, name_all, name_of
from sage_doctor.init.pairs import BaseLink, base_of, ingredients_of
from sage_doctor.init.portable_paths import Portable, shared_root
from sage_doctor.init.roles import RoleFound, roles_of
from sage_doctor.init.scripts import Code, Script, read_code
from sage_doctor.manifest import Manifest, ModelPath
from sage_doctor.readers.repo_id import is_repo_id
from sage_doctor.readers.tree import is_model_directory, read_tree
from sage_doctor.subjects.declared import models_of
from sage_doctor.subjects.directories import is_merged
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import join_limited, printable

MOST_QUESTIONS = 6


@dataclass(frozen=True, kw_only=True)
class OpenQuestion:
    """A question for a person. `options` are the possible answers, the best guess first."""

    text: str
    options: tuple[str, ...]


# Returns one of the options, or None if nobody answers.
Ask = Callable[[OpenQuestion], "str | None"]


@dataclass(kw_only=True)
class Inventory:
    """What was found. `models` are all, by name; `new` those without an entry yet, in the order to write.

    `remarks` are sentences for the user about what was skipped. `is_new` says that there is no manifest yet.
    """

    portable: Portable
    models: Mapping[str, Model] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    bases: dict[str, BaseLink | None] = field(default_factory=dict)
    merges: dict[str, tuple[BaseLink, BaseLink] | None] = field(default_factory=dict)
    roles: list[RoleFound] = field(default_factory=list)
    host: ThisHost | None = None
    others: list[OtherMachine] = field(default_factory=list)
    variable: tuple[str, Path] | None = None
    remarks: list[str] = field(default_factory=list)
    is_new: bool = True


def take_inventory(
    roots: Sequence[Path], target: Path, manifest: Manifest | None, environ: Mapping[str, str], ask: Ask
) -> Inventory:
    """Return what is below the roots, `new` being what the manifest does not have yet.

    `target` is the manifest's absolute path, `manifest` its present content, None if there is none.
    """
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    host = Host(cwd=Path.cwd(), home=home, environ=environ, manifest=manifest, root=roots[0])
    code = read_code(roots)
    models, remarks = _models(roots, host, manifest, code)
    found = Inventory(
        portable=Portable(directory=target.parent, home=home, variables=manifest.vars if manifest else {}),
        models=models,
        is_new=manifest is None,
        remarks=remarks,
    )
    asked = _LimitedQuestions(ask)
    for name, model in list(models.items()):
        if model.kind == "adapter" and model.found:
            found.bases[name] = base_of(model, models)
    found.new = tuple(n for n, m in models.items() if m.spec is None)
    _confirm_bases(found, asked)
    found.merges = {n: ingredients_of(models[n], models, found.bases) for n in found.new if models[n].kind == "merged"}
    _confirm_merges(found, asked)
    _add_roles(found, code, roots, manifest)
    _add_machines(found, code, manifest, environ, home)
    found.variable = _variable(found)
    _remark(found, code)
    return found


class _LimitedQuestions:
    """Asks a few questions at most; after that the best guess is written and marked."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._left = MOST_QUESTIONS

    def __call__(self, question: OpenQuestion) -> str | None:
        if self._left <= 0:
            return None
        self._left -= 1
        return self._ask(question)


def _models(
    roots: Sequence[Path], host: Host, manifest: Manifest | None, code: Code
) -> tuple[dict[str, Model], list[str]]:
    """Return the manifest's models and those found, by name: below the roots, named by scripts, and adapters' bases."""
    models = models_of(manifest) if manifest is not None else {}
    known = {os.path.realpath(m.path) for m in models.values() if m.reference.path is not None}
    places = find_new_models(roots, known)
    named = [p for s in code.scripts for t in s.texts if (p := _directory(t)) is not None]
    here = dict.fromkeys([*places.found, *(p for p in named if os.path.realpath(p) not in known and can_be_written(p))])
    unique = list({os.path.realpath(p): p for p in reversed(here)}.values())[::-1]
    taken = _taken(manifest)
    names = name_all(unique, taken)
    for path in unique:
        _add(models, names[path], kind_at(path), host, ModelPath(text=str(path), path=path))
    _add_hub_models(models, host, code.scripts, taken)
    remarks = list(places.skipped)
    for model in [m for m in models.values() if m.kind == "adapter" and m.spec is None]:
        base = model.base.model
        if base is None or models.get(base.name) is base or base.reference.hub is not None:
            repository = base.reference.hub if base is not None else None
            if repository is not None and not any(m.reference.hub == repository for m in models.values()):
                name = free(name_of(repository.rpartition("/")[2]), [*models, *taken])
                _add(models, name, "full", host, base.reference)  # type: ignore[union-attr]
            continue
        if not can_be_written(base.path):
            where = f"{printable(str(base.path), limit=300)}, a name that is not UTF-8"
            remarks.append(f"the base of {printable(model.name)} is left out: no manifest can contain {where}")
            continue
        name = free(name_all([base.path], ())[base.path], [*models, *taken])
        _add(models, name, "full", host, ModelPath(text=str(base.path), path=base.path))
        vars(model).pop("base", None)  # it leads to a model of this run from now on
    if places.truncated:
        remarks.append(f"stopped at {MOST_MODELS} models: name narrower directories")
    return models, remarks


def _taken(manifest: Manifest | None) -> list[str]:
    if manifest is None:
        return []
    return [*manifest.models, *manifest.services, *manifest.unavailable_here, *manifest.roles]


def _add(models: dict[str, Model], name: str, kind: str, host: Host, reference: ModelPath) -> None:
    models[name] = Model(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        host=host,
        reference=reference,
        required=False,
        siblings=models,
    )


def _directory(text: str) -> Path | None:
    """Return the model directory that a script names by its absolute path."""
    if not text.startswith("/") or "\0" in text or len(text) > 1000:
        return None
    path = Path(os.path.normpath(text))
    return path if inspect_path(path).kind == "directory" and is_model_directory(read_tree(path)) else None


def _add_hub_models(models: dict[str, Model], host: Host, scripts: Sequence[Script], taken: list[str]) -> None:
    """Add what scripts load by repository: what is in the cache, or is named in the call itself."""
    texts = {t for s in scripts for t in s.texts if "/" in t and is_repo_id(t) and not t.startswith(".")}
    wanted = {t for s in scripts for t in s.loaded} & texts
    if not texts:
        return
    cached = {c.repo_id for c in host.cached_models}
    there = {m.reference.hub for m in models.values()}
    for text in sorted((texts & cached) | wanted):
        if text not in there and inspect_path(host.cwd / text).kind == "missing":
            name = free(name_of(text.rpartition("/")[2]), [*models, *taken])
            _add(models, name, "full", host, ModelPath(text=f"hf:{text}", hub=text))


def _confirm_bases(found: Inventory, ask: Ask) -> None:
    for name, link in found.bases.items():
        if link is not None and not link.sure and name in found.new:
            text = f"Which model was the adapter {printable(name)} trained on?"
            found.bases[name] = _confirmed(link, text, ask)


def _confirm_merges(found: Inventory, ask: Ask) -> None:
    for name, pair in found.merges.items():
        if pair is None or pair[1].sure:
            continue
        adapter = _confirmed(pair[1], f"Which adapter was {printable(name)} merged from?", ask)
        base = found.bases.get(adapter.name) if adapter is not None else None
        found.merges[name] = (base, adapter) if base is not None and adapter is not None else None


_NONE_OF_THEM = "none of them"


def _confirmed(link: BaseLink, text: str, ask: Ask) -> BaseLink | None:
    """Return the link as a person confirms it; unchanged if nobody answers, None if it is none of the options."""
    said = ask(OpenQuestion(text=f"{text} ({link.why})", options=(link.name, *link.others, _NONE_OF_THEM)))
    if said is None:
        return link
    return None if said == _NONE_OF_THEM else replace(link, name=said, why="named by you", sure=True)


def _add_roles(found: Inventory, code: Code, roots: Sequence[Path], manifest: Manifest | None) -> None:
    """Propose roles for scripts without one, unless the manifest has no roles: they would narrow what is needed."""
    covered = frozenset(
        os.path.realpath(p)
        for r in (manifest.roles.values() if manifest else ())
        for g in r.runners
        for p in find_runners(g, manifest.directory if manifest else Path())
    )
    proposed = roles_of(code.scripts, roots, found.models, covered)
    if manifest is not None and not manifest.roles:
        if proposed:
            found.remarks.append("no roles are proposed: this manifest has none, so every model in it is needed")
        return
    taken = [*found.models, *_taken(manifest)]
    for role in proposed:
        ingredients = {p[1].name for n in role.models if (p := found.merges.get(n)) is not None}
        models = tuple(n for n in role.models if n not in ingredients) or _loadable_models(found)
        name = free(role.name, taken)
        taken.append(name)
        runners = tuple(r for r in role.runners if can_be_written(r[0] / r[1]))
        if len(runners) < len(role.runners):
            found.remarks.append(
                f"scripts of {name} whose names are not UTF-8 are left out: no manifest can contain them"
            )
        found.roles.append(replace(role, name=name, models=models, runners=runners))


def _loadable_models(found: Inventory) -> tuple[str, ...]:
    """Return the models that nothing else is built on: what sessions may load if no script says."""
    below = {t.name for t in found.bases.values() if t is not None}
    below |= {t.name for pair in found.merges.values() if pair is not None for t in pair}
    return tuple(n for n in found.models if n not in below)


def _add_machines(
    found: Inventory, code: Code, manifest: Manifest | None, environ: Mapping[str, str], home: Path
) -> None:
    here = this_host(environ, home, found.portable.directory)
    if here.home is not None and not can_be_written(here.home):
        here = replace(here, home=None)
    if manifest is None:
        found.host = here
        found.others = other_machines(code.homes, home, (), [here.name])
        return
    if not manifest.machines:
        return
    taken = list(manifest.machines)
    if manifest.machine is None:
        found.host = replace(here, name=free(here.name, taken))
        taken.append(found.host.name)
    known = {m.home for m in manifest.machines.values() if m.home}
    # A machine of that name without a home is most likely the one whose home it is.
    known |= {h for h in code.homes if h.rpartition("/")[2] in manifest.machines}
    found.others = other_machines(code.homes, home, known, taken)


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
    for name in found.new:
        model = found.models[name]
        if model.kind == "merged" and found.merges.get(name) is None and is_merged(model.path):
            found.remarks.append(
                f"{printable(name)} looks merged, but its base and adapter are unknown: add `merge` to allow a rebuild"
            )
