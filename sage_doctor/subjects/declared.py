"""The models of a manifest, as a session on this machine would see them."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from sage_doctor.manifest.specs import Manifest
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model


def declared(manifest: Manifest, host: Host, needed: Collection[str]) -> tuple[dict[str, Model], set[str]]:
    """Return the manifest's models by name, and the names of those that needed ones are built on."""
    models: dict[str, Model] = {}
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
    built_on = {m.name for name in needed for m in models[name].depends_on()} & models.keys()
    for name in built_on:
        models[name].required = True
    return models, built_on


def models_of(manifest: Manifest) -> dict[str, Model]:
    """Return the manifest's models of this machine by name, as a session started in the working directory sees them."""
    home = Path(os.environ.get("HOME") or os.path.expanduser("~"))
    host = Host(cwd=Path(os.getcwd()), home=home, environ=os.environ, manifest=manifest)
    return declared(manifest, host, frozenset(manifest.models))[0]
