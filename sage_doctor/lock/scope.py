"""Which models a lock is about on this machine, and where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sage_doctor.errors import UsageError
from sage_doctor.lock import LOCK_NAME
from sage_doctor.lock.entry import LockedModel
from sage_doctor.lock.parse import read_lock
from sage_doctor.manifest.load import find_manifest, load_for_host
from sage_doctor.manifest.names import nearest
from sage_doctor.manifest.specs import Manifest
from sage_doctor.subjects.declared import models_of
from sage_doctor.subjects.directories import path_like
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.named import find_named
from sage_doctor.system.frozen import frozen
from sage_doctor.text import join_limited, shell_quote


@frozen
class LockScope:
    """`models` are to be recorded or compared; `named` those asked for by name, empty where nothing was asked for.

    `locked` is what the lock says, None where there is none. `known` are all names of the manifest, `elsewhere` those
    of other machines, with the reason.
    """

    lock: Path
    locked: Mapping[str, LockedModel] | None
    models: tuple[Model, ...]
    named: frozenset[str]
    known: frozenset[str]
    elsewhere: Mapping[str, str]
    cache: Path | None


def read_scope(
    targets: Sequence[str], named: str | None, output: str | None, cwd: Path, environ: Mapping[str, str]
) -> LockScope:
    """Return the models that the targets stand for.

    By default, those that this machine's roles need, and those that are locked and here. Raises `UsageError` for a
    name that neither manifest nor lock has, and for a broken one of these.
    """
    path = cwd / named if named is not None else find_manifest(cwd, environ)
    if path is None:
        raise UsageError("a lock needs a manifest: no sage-doctor.toml here or above; `sage-doctor init` writes one")
    manifest = load_for_host(path)
    lock = cwd / output if output is not None else manifest.directory / LOCK_NAME
    models = models_of(manifest)
    locked = read_lock(lock)
    asked = _asked(targets, manifest, locked or {}, models)
    if targets:
        wanted = asked & models.keys()
    else:
        wanted = set(manifest.required()) | {n for n in locked or () if n in models and models[n].found}
    wanted |= {m.name for n in wanted for m in models[n].depends_on()} & models.keys()
    return LockScope(
        lock=lock,
        locked=locked,
        models=tuple(models[n] for n in sorted(wanted)),
        named=frozenset(asked),
        known=frozenset({*manifest.models, *manifest.unavailable_here}),
        elsewhere=manifest.unavailable_here,
        cache=next((m.host.hash_cache for m in models.values()), None),
    )


def _at_place(target: str, models: Mapping[str, Model]) -> str:
    """Return the name of the manifest's model in a directory or repository. Raises `UsageError` where it has none."""
    model = find_named(target, next(iter(models.values())).host, models)
    if model.name not in models:
        add = shell_quote(str(model.path)) if model.found else "DIR"
        raise UsageError(
            f"{shell_quote(target)} is no model of the manifest, and a lock records those; "
            f"`sage-doctor init {add}` adds it"
        )
    return model.name


def _asked(
    targets: Sequence[str], manifest: Manifest, locked: Mapping[str, LockedModel], models: Mapping[str, Model]
) -> set[str]:
    found: set[str] = set()
    for target in targets:
        if target in manifest.roles:
            found |= {n for n in manifest.roles[target].models if n not in manifest.services}
        elif target in manifest.models or target in manifest.unavailable_here or target in locked:
            found.add(target)
        elif target in manifest.services:
            raise UsageError(f"{shell_quote(target)} is a service: it has no files here to lock")
        elif path_like(target) and models:
            found.add(_at_place(target, models))
        else:
            names = [*manifest.models, *manifest.unavailable_here, *manifest.roles]
            near = nearest(target, names)
            hint = (
                f"did you mean {shell_quote(near)}?"
                if near
                else f"models: {join_limited(list(manifest.models)) or 'none'}"
            )
            raise UsageError(f"no model or role named {shell_quote(target)} in the manifest; {hint}")
    return found
