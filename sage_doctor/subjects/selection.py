"""Which models a run examines, in which order, and how deep: manifest, roles and targets → models."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from sage_doctor.errors import NothingSelected, UnknownTarget, UsageError
from sage_doctor.manifest.load import find_manifest, load_for_host
from sage_doctor.manifest.names import nearest
from sage_doctor.manifest.narrowing import for_role, for_targets
from sage_doctor.manifest.specs import Manifest
from sage_doctor.report import Level
from sage_doctor.subjects.declared import declared
from sage_doctor.subjects.directories import from_directories, path_like, target_path, why_no_model
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.order import in_order
from sage_doctor.subjects.service import Service, choose_services
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import join_limited, printable, shell_quote


def default_deadline_s(level: Level | None) -> float:
    """Return how many seconds a run may take where nobody says it. A load has a deadline of its own besides."""
    return 600.0 if level == "static" else 4 * 3600.0


@frozen
class Request:
    """What to examine, as plain values: it travels to worker processes as JSON.

    `role` asks for what one role needs and nothing else. `skip_load` names models that are not loaded again, because
    the result of a load is known. `deadline` is a `time.monotonic()` in seconds, None for no deadline; `stage_s` is how
    long one stage of a probe may take. `run_directory` holds what workers share. `history` is whether earlier runs may
    be read and this one recorded. `select_codes` and `ignore_codes` say which findings are reported.
    """

    targets: tuple[str, ...] = ()
    manifest: str | None = None
    level: Level | None = None
    cwd: str = ""
    deadline: float | None = None
    run_directory: str | None = None
    role: str | None = None
    skip_load: tuple[str, ...] = ()
    stage_s: float | None = None
    history: bool = True
    select_codes: tuple[str, ...] = ()
    ignore_codes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the request as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """Return the request that `to_json` wrote."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)


@frozen
class Selection:
    """What a run examines. `models` are ordered so that what others are built on comes first.

    `deep` names the subjects that levels above `integrity` concern: those asked for, not what they are built on.
    """

    host: Host
    models: tuple[Model, ...]
    level: Level
    load_targets: frozenset[str]
    roles: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    cut: str = ""  # what of the directories that were asked for is not among the models

    @property
    def subjects(self) -> tuple[Service | Model, ...]:
        """What is examined, in order: services first, because what they answer may stand in for loading a model."""
        return (*self.services, *self.models)

    def group_of(self, subject: Service | Model) -> str:
        """Return a name shared by all subjects that are examined together.

        Models that are built on the same one are, and a service with the models it stands in for.
        """
        return self._groups[subject.name]

    @cached_property
    def _groups(self) -> Mapping[str, str]:
        names = {s.name: s.name if isinstance(s, Service) else self._root_of(s) for s in self.subjects}
        for service in self.services:
            for model in service.stands_in_for:
                if model.name in names:
                    old, new = names[model.name], names[service.name]
                    names = {name: new if group == old else group for name, group in names.items()}
        return names

    @staticmethod
    def _root_of(model: Model) -> str:
        """Return the name of the model of this run that this one is built on in the end."""
        root = model
        seen = {id(model)}
        while True:
            below = next((m for m in root.depends_on() if root.siblings.get(m.name) is m), None)
            if below is None or id(below) in seen:
                return root.name
            root = below
            seen.add(id(below))


def select(request: Request, environ: Mapping[str, str] | None = None) -> Selection:
    """Return what a request is about.

    Raises `ManifestError` and `UsageError` (exit 2) for what makes no sense, `NothingSelected` (exit 3) where
    there is nothing to examine.
    """
    environ = os.environ if environ is None else environ
    cwd = Path(request.cwd or os.getcwd())
    manifest = _manifest(request, cwd, environ)
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    if request.role is not None:
        if manifest is None:
            raise UsageError("a role needs a manifest: no sage-doctor.toml here or above; name one with --manifest")
        narrowed = for_role(manifest, request.role)
        host = Host(cwd=cwd, home=home, environ=environ, manifest=narrowed, history_enabled=request.history)
        return _of_role(request, host, narrowed)
    if manifest is not None:
        _refuse_unknown(request.targets, manifest, cwd)
    asked = for_targets(manifest, request.targets) if manifest is not None and request.targets else manifest
    if manifest is not None and not (
        request.targets and all(_is_directory_target(t, manifest) for t in request.targets)
    ):
        host = Host(cwd=cwd, home=home, environ=environ, manifest=asked, history_enabled=request.history)
        return _from_manifest(request, host, manifest)
    targets = request.targets or (".",)
    host = Host(cwd=cwd, home=home, environ=environ, manifest=asked, root=target_path(targets[0], home, cwd))
    models, cut = from_directories(targets, host)
    if not models:
        where = ", ".join(printable(t) for t in targets)
        hint = (
            ""
            if request.targets
            else "; name a model directory, let `sage-doctor init DIR` write a sage-doctor.toml, or see how it works "
            "with `sage-doctor demo`"
        )
        apart = next(filter(None, (why_no_model(target_path(t, home, cwd)) for t in targets)), "")
        hint = f"; {printable(apart)}" if apart else hint
        raise NothingSelected(f"no model directory at or below {where}{hint}")
    ordered = in_order(models)
    return Selection(
        host=host,
        models=ordered,
        level=request.level or "static",
        load_targets=frozenset(m.name for m in ordered),
        cut=cut,
    )


def _manifest(request: Request, cwd: Path, environ: Mapping[str, str]) -> Manifest | None:
    if request.manifest is not None:
        return load_for_host(cwd / request.manifest)
    if request.targets and all(path_like(t) for t in request.targets):
        return None
    found = find_manifest(cwd, environ)
    return load_for_host(found) if found is not None else None


def _is_directory_target(target: str, manifest: Manifest) -> bool:
    return not any(
        target in known for known in (manifest.models, manifest.services, manifest.roles, manifest.unavailable_here)
    )


def _from_manifest(request: Request, host: Host, manifest: Manifest) -> Selection:
    asked = _asked(request.targets, manifest)
    asked_services = asked & manifest.services.keys()
    asked -= asked_services
    needed = manifest.required() if not request.targets else asked
    models, built_on = declared(manifest, host, needed)
    chosen = list(models.values()) if not request.targets else [models[n] for n in sorted(asked | built_on)]
    extra, cut = from_directories([t for t in request.targets if _is_directory_target(t, manifest)], host)
    for model in extra:
        if model.name in models or model.name in manifest.services:  # ./NAME beside the manifest's NAME
            model.name = os.path.join(".", model.name)
    chosen += extra
    asked |= {m.name for m in extra}
    explicit = asked if request.targets else _named_by_roles(manifest)
    services = choose_services(manifest, host, asked_services if request.targets else None, chosen, explicit)
    subjects = bool(chosen or services) if request.targets else bool(needed or any(s.named for s in services))
    _require_something(request.targets, manifest, host, subjects=subjects)
    return Selection(
        host=host,
        models=in_order(chosen),
        level=request.level or "generate",
        load_targets=frozenset(explicit) | {s.name for s in services if s.named or s.stands_in_for},
        roles=manifest.needed_roles(),
        services=services,
        cut=cut,
    )


def _of_role(request: Request, host: Host, manifest: Manifest) -> Selection:
    """Return what one role needs: its models, what they are built on, its runners and its accelerator."""
    needed = manifest.required()
    models, built_on = declared(manifest, host, needed)
    role = manifest.roles[request.role or ""]
    chosen = [models[n] for n in sorted(needed | built_on)]
    services = choose_services(manifest, host, set(manifest.required_services()), chosen, set(role.models))
    _require_something((role.name,), manifest, host, subjects=bool(needed or services))
    return Selection(
        host=host,
        models=in_order(chosen),
        level=request.level or "generate",
        load_targets=frozenset({*role.models, *(s.name for s in services)} - set(request.skip_load)),
        roles=manifest.needed_roles(),
        services=services,
    )


def _require_something(targets: Sequence[str], manifest: Manifest, host: Host, *, subjects: bool) -> None:
    """Raise `NothingSelected` where there is nothing to examine, by whatever command it was asked for.

    `subjects` is whether there are models or services. Without any, there are still the runners, heartbeats, states
    and the accelerator of this machine's roles, of those among the targets where there are any.
    """
    roles = [r for r in manifest.needed_roles() if not targets or r in targets]
    watched = manifest.watched and all(t in manifest.roles for t in targets)
    asked = any(manifest.roles[r].runners or manifest.roles[r].accelerator or manifest.accelerator for r in roles)
    if subjects or watched or asked:
        return
    if targets:
        raise NothingSelected(
            f"nothing to examine on this machine for {join_limited(list(targets))}: "
            "no model, runner, heartbeat, state or accelerator"
        )
    if not manifest.models and not manifest.services:
        raise NothingSelected(f"{printable(str(manifest.path))} names no model; add one under [models.NAME]")
    needed = ", ".join(manifest.needed_roles()) or "none"
    raise NothingSelected(f"no role of this machine needs a model (machine {host.name}, roles: {needed})")


def _asked(targets: Iterable[str], manifest: Manifest) -> set[str]:
    asked: set[str] = set()
    for target in targets:
        if target in manifest.services:
            asked.add(target)
        elif target in manifest.models or target in manifest.unavailable_here:
            asked.add(manifest.model(target).name)
        elif target in manifest.roles:
            here = {*manifest.models, *manifest.services}
            asked.update(n for n in manifest.roles[target].models if n in here)
    return asked


def _refuse_unknown(targets: Iterable[str], manifest: Manifest, cwd: Path) -> None:
    """Raise `UsageError` for a target that is no name of the manifest and no path either."""
    for target in targets:
        if (
            _is_directory_target(target, manifest)
            and not path_like(target)
            and inspect_path(cwd / target).kind == "missing"
        ):
            names = [*manifest.models, *manifest.services]
            near = nearest(target, [*names, *manifest.roles, *manifest.unavailable_here])
            hint = f"did you mean {shell_quote(near)}?" if near else f"models: {join_limited(names) or 'none'}"
            raise UnknownTarget(f"no model, role or directory named {shell_quote(target)}; {hint}")


def _named_by_roles(manifest: Manifest) -> set[str]:
    """Return the models a session of this machine loads itself; a base is loaded through its adapter."""
    if manifest.all_models_required:
        return set(manifest.models)
    return {name for role in manifest.needed_roles() for name in manifest.roles[role].models}
