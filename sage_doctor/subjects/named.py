"""One model by what a person types for it: a name of the manifest, a directory, or `hf:org/name`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from sage_doctor.errors import UsageError
from sage_doctor.manifest.names import nearest
from sage_doctor.subjects.declared import declared
from sage_doctor.subjects.directories import HUB, hub_model, model_at, path_like, require_there, target_path
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import join_limited, shell_quote


def find_named(text: str, host: Host, models: Mapping[str, Model] | None = None) -> Model:
    """Return the model that a person calls `text`: the manifest's own, also where its directory was named.

    `models` are those of the manifest, by default as `host` sees them. Raises `UsageError` where `text` is no name, no
    directory and no `hf:` reference; a repository that is not cached is a model that is not found.
    """
    manifest = host.manifest
    if models is None:
        models = declared(manifest, host, frozenset(manifest.models))[0] if manifest is not None else {}
    if text in models:
        return models[text]
    if manifest is not None and not path_like(text) and inspect_path(host.cwd / text).kind == "missing":
        if text in manifest.services or text in manifest.unavailable_here:
            manifest.model(text)  # says what it is instead
        near = nearest(text, [*models, *manifest.unavailable_here])
        hint = f"did you mean {shell_quote(near)}?" if near else f"models: {join_limited(list(models)) or 'none'}"
        raise UsageError(f"no model or directory named {shell_quote(text)}; {hint}")
    if text.startswith(HUB):
        made = hub_model(text, host, models)
    else:
        path = target_path(text, host.home, host.cwd)
        require_there(text, path, host)
        made = model_at(path, text, host, models, required=True)
    return next((m for m in models.values() if m.found and made.found and _same_place(m, made)), made)


def _same_place(one: Model, other: Model) -> bool:
    return os.path.realpath(one.path) == os.path.realpath(other.path)
