"""What a run was about, for its report: the models as they are here, and what each role needs of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from sage_doctor.facts.hashing import KnownHashes
from sage_doctor.lock.entry import weights_digest
from sage_doctor.lock.record import locked_tensors, weight_headers
from sage_doctor.manifest.specs import Manifest, RoleSpec
from sage_doctor.report import ModelInfo, RoleInfo
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Selection
from sage_doctor.system.globbing import glob_files

MOST_SECONDS: Final = 5.0  # headers are known from the checks; with workers they are read once more


def model_infos(selection: Selection) -> tuple[ModelInfo, ...]:
    """Return what each model of a run is here. Nothing is hashed: a digest of weights is there where a run made it.

    What is not read within `MOST_SECONDS` is left out.
    """
    until = time.monotonic() + MOST_SECONDS
    hashes = KnownHashes(selection.host.hash_cache)
    found = []
    for model in selection.models:
        path = os.path.abspath(model.path)
        info = ModelInfo(name=model.name, kind=model.kind, path=path, found=model.found)
        seen = model.found and time.monotonic() < until
        found.append(_with_identity(info, model, hashes) if seen else info)
    return tuple(found)


def _with_identity(info: ModelInfo, model: Model, hashes: KnownHashes) -> ModelInfo:
    names = [name for name, _ in weight_headers(model) if model.tree.info(name).kind == "file"]
    known = [hashes.get(model.path / name) for name in names]
    sums = [sha256 for sha256 in known if sha256 is not None]
    tensors = locked_tensors(model)
    return replace(
        info,
        nbytes=sum(model.tree.info(name).size for name in names),
        weights=weights_digest(sums) if sums and len(sums) == len(names) else None,
        shapes=tensors.header if tensors is not None else None,
        base=_base_of(model) if model.kind == "adapter" else None,
    )


def _base_of(model: Model) -> str | None:
    base = model.base
    ours = base.model is not None and model.siblings.get(base.model.name) is base.model
    return base.model.name if ours and base.model is not None else base.text


def role_infos(selection: Selection) -> tuple[RoleInfo, ...]:
    """Return what each role of the manifest needs; empty without a manifest."""
    manifest = selection.host.manifest
    if manifest is None or selection.host.root is not None:
        return ()
    models = {m.name: m for m in selection.models}
    return tuple(_role(manifest, role, role.name in selection.roles, models) for role in manifest.roles.values())


def _role(manifest: Manifest, role: RoleSpec, here: bool, models: Mapping[str, Model]) -> RoleInfo:
    needed = manifest.loaded_by(role)
    built_on = {b.name for n in needed if n in models for b in models[n].depends_on() if models.get(b.name) is b}
    return RoleInfo(
        name=role.name,
        here=here,
        models=tuple(sorted({*needed, *built_on, *(n for n in role.models if n in manifest.services)})),
        others=tuple(dict.fromkeys(_others(manifest, role))) if here else (),
        elsewhere=tuple(n for n in role.models if n in manifest.unavailable_here),
    )


def _others(manifest: Manifest, role: RoleSpec) -> Iterator[str]:
    for pattern in role.runners:
        yield pattern
        yield from (os.path.relpath(p, manifest.directory) for p in glob_files(pattern, manifest.directory))
    yield from (f"heartbeat:{spec.name}" for spec in manifest.heartbeats.values() if spec.concerns(role.name))
    yield from (f"state:{spec.name}" for spec in manifest.states.values() if spec.concerns(role.name))
