"""The files of the Hugging Face cache that decide what an offline load of a model finds, besides its own directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sage_doctor.facts.custom_code import code_references
from sage_doctor.facts.hub_cache import HubFacts, resolve_hub
from sage_doctor.subjects.model import Model


def cached_files(model: Model) -> Iterator[Path]:
    """Yield them: of the model's own repository, and of those that its `auto_map` takes code from."""
    if model.hub is not None:
        yield from _of(model.hub)
    for reference in code_references((model.config_file.value or {}).get("auto_map")):
        if reference.repository is not None:
            hub = resolve_hub(model.host.hub_cache_dir, reference.repository)
            yield from _of(hub)
            yield (hub.snapshot or hub.folder) / reference.file


def _of(hub: HubFacts) -> Iterator[Path]:
    """Yield what decides which snapshot of a repository is found, and whether all of it is there."""
    yield from (hub.folder, hub.folder / "refs" / hub.revision, hub.folder / "blobs", hub.folder / "trees")
