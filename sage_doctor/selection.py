"""Which models a run examines, in which order, and how deep: manifest, roles and targets → models."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sage_doctor.errors import NothingSelected, UsageError
from sage_doctor.host import Host
from sage_doctor.manifest import Manifest, ModelPath, ModelSpec, find_manifest, load_for_host
from sage_doctor.manifest.names import nearest
from sage_doctor.model import Kind, Model
from sage_doctor.readers.location import locate
from sage_doctor.readers.regular import look
from sage_doctor.readers.tree import find_model_directories, is_model_directory, read_tree
from sage_doctor.report import Level
from sage_doctor.text import listed, printable, quoted


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody asked for, as plain values: it travels to worker processes as JSON.

    `deadline` is a `time.time()` in seconds, None for no deadline. `run_directory` holds what workers share.
    """

    targets: tuple[str, ...] = ()
    manifest: str | None = None
    level: Level | None = None
    cwd: str = ""
    deadline: float | None = None
    run_directory: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the request as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """Return the request that `to_json` wrote."""
        return cls(**{**data, "targets": tuple(data["targets"])})


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a run examines. `models` are ordered so that what others are built on comes first.

    `deep` names the models that levels above `integrity` concern: those asked for, not what they are built on.
    """

    host: Host
    models: tuple[Model, ...]
    level: Level
    deep: frozenset[str]
    roles: tuple[str, ...] = ()

    def group_of(self, model: Model) -> str:
        """Return a name shared by all models that are built on the same one: they are examined together."""
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
    if manifest is not None:
        _refuse_unknown(request.targets, manifest, cwd)
    if manifest is not None and not (
        request.targets and all(_is_directory_target(t, manifest) for t in request.targets)
    ):
        return _from_manifest(request, Host(cwd=cwd, home=home, environ=environ, manifest=manifest), manifest)
    targets = request.targets or (".",)
    host = Host(cwd=cwd, home=home, environ=environ, manifest=manifest, root=cwd / targets[0])
    models = _from_directories(targets, host)
    if not models:
        where = ", ".join(printable(t) for t in targets)
        hint = (
            ""
            if request.targets
            else "; name a model directory, write a sage-doctor.toml, or see how it works with `sage-doctor demo`"
        )
        raise NothingSelected(f"no model directory at or below {where}{hint}")
    ordered = _ordered(models)
    return Selection(
        host=host,
        models=ordered,
        level=request.level or "static",
        deep=frozenset(m.name for m in ordered),
    )


def _manifest(request: Request, cwd: Path, environ: Mapping[str, str]) -> Manifest | None:
    if request.manifest is not None:
        return load_for_host(cwd / request.manifest)
    if request.targets and all(t in (".", "..") or "/" in t for t in request.targets):
        return None
    found = find_manifest(cwd, environ)
    return load_for_host(found) if found is not None else None


def _is_directory_target(target: str, manifest: Manifest) -> bool:
    return target not in manifest.models and target not in manifest.roles and target not in manifest.elsewhere


def _from_manifest(request: Request, host: Host, manifest: Manifest) -> Selection:
    models: dict[str, Model] = {}
    asked = _asked(request.targets, manifest)
    needed = manifest.required() if not request.targets else asked
    for spec in manifest.models.values():
        models[spec.name] = Model(
            name=spec.name,
            kind=spec.kind,
            host=host,
            reference=spec.path,
            spec=spec,
            required=spec.name in needed,
            siblings=models,
        )
    built_on = {m.name for name in needed for m in models[name].depends_on()} if needed else set()
    for name in built_on & models.keys():
        models[name].required = True
    chosen = (
        list(models.values())
        if not request.targets
        else [models[n] for n in sorted(asked | (built_on & models.keys()))]
    )
    directories = [t for t in request.targets if _is_directory_target(t, manifest)]
    if directories:
        extra = _from_directories(directories, host)
        for model in extra:
            if model.name in models:  # ./NAME beside the manifest's NAME
                model.name = os.path.join(".", model.name)
        chosen += extra
        asked |= {m.name for m in extra}
    bare = _accelerator_alone(request.targets, manifest)
    if not chosen and request.targets and not bare:
        raise NothingSelected(f"nothing to examine: {listed(list(request.targets))} needs no model on this machine")
    if not chosen and not bare:
        raise NothingSelected(f"{printable(str(manifest.path))} names no model; add one under [models.NAME]")
    if not request.targets and not needed and not bare:
        roles = ", ".join(manifest.needed_roles()) or "none"
        raise NothingSelected(f"no role of this machine needs a model (machine {host.name}, roles: {roles})")
    explicit = asked if request.targets else _named_by_roles(manifest)
    return Selection(
        host=host,
        models=_ordered(chosen),
        level=request.level or "generate",
        deep=frozenset(explicit),
        roles=manifest.needed_roles(),
    )


def _accelerator_alone(targets: Iterable[str], manifest: Manifest) -> bool:
    """Return whether a role asks for an accelerator, so that there is something to examine without any model."""
    roles = [t for t in targets if t in manifest.roles] if targets else manifest.needed_roles()
    return any(manifest.roles[r].accelerator or manifest.accelerator for r in roles)


def _asked(targets: Iterable[str], manifest: Manifest) -> set[str]:
    asked: set[str] = set()
    for target in targets:
        if target in manifest.models or target in manifest.elsewhere:
            asked.add(manifest.model(target).name)
        elif target in manifest.roles:
            asked.update(n for n in manifest.roles[target].models if n in manifest.models)
    return asked


def _refuse_unknown(targets: Iterable[str], manifest: Manifest, cwd: Path) -> None:
    """Raise `UsageError` for a target that is no name of the manifest and no path either."""
    for target in targets:
        if _is_directory_target(target, manifest) and not _path_like(target) and look(cwd / target).kind == "missing":
            near = nearest(target, [*manifest.models, *manifest.roles, *manifest.elsewhere])
            hint = f"did you mean {quoted(near)}?" if near else f"models: {listed(list(manifest.models)) or 'none'}"
            raise UsageError(f"no model, role or directory named {quoted(target)}; {hint}")


def _named_by_roles(manifest: Manifest) -> set[str]:
    """Return the models a session of this machine loads itself; a base is loaded through its adapter."""
    if not manifest.machines or not manifest.roles:
        return set(manifest.models)
    return {name for role in manifest.needed_roles() for name in manifest.roles[role].models}


def _path_like(target: str) -> bool:
    return "/" in target or target in (".", "..") or target.startswith("~")


def _from_directories(targets: Iterable[str], host: Host) -> list[Model]:
    """Return the model directories at or below the targets, named by their path below the target.

    With more than one target the names start with it, so that no two are alike.
    """
    targets = list(targets)
    models: dict[str, Model] = {}
    for target in targets:
        text = str(host.home) + target[1:] if target == "~" or target.startswith("~/") else target
        root = host.cwd / text
        node = look(root)
        if node.kind == "missing" and not _path_like(target):
            near = locate(root, home=host.home).near
            hint = f"; did you mean {quoted(near[0].name)}?" if near else ""
            raise UsageError(f"no model, role or directory named {quoted(target)}{hint}")
        for relative, path in _named(root, found_directory=node.kind == "directory"):
            name = relative if len(targets) == 1 else os.path.normpath(os.path.join(target, relative))
            models[name] = Model(
                name=name,
                kind=_kind(path),
                host=host,
                reference=ModelPath(text=str(path), path=path),
                siblings=models,
            )
    return list(models.values())


def _named(root: Path, *, found_directory: bool) -> list[tuple[str, Path]]:
    """Return names and paths for one target: `.` for the directory itself, else those below it, relative to it."""
    if not found_directory or is_model_directory(read_tree(root)):
        return [(".", root)]
    return [(os.path.relpath(path, root), path) for path in find_model_directories(root)]


def _kind(path: Path) -> Kind:
    names = read_tree(path).names
    marks = {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}
    return "adapter" if names & marks else "full"


def _ordered(models: Iterable[Model]) -> tuple[Model, ...]:
    """Return the models with those that others are built on first, else in the order given."""
    models = list(models)
    chosen = {m.name: m for m in models}
    done: dict[str, Model] = {}

    def visit(model: Model, above: frozenset[str]) -> None:
        if model.name in done or model.name in above:
            return
        for name in _built_from(model):
            if name in chosen:
                visit(chosen[name], above | {model.name})
        done[model.name] = model

    for model in models:
        visit(model, frozenset())
    return tuple(done.values())


def _built_from(model: Model) -> list[str]:
    spec: ModelSpec | None = model.spec
    names = [m.name for m in model.depends_on()]
    if spec is not None and spec.merge is not None:
        names += [spec.merge.base, spec.merge.adapter]
    return names
