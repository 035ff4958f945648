"""The files of the Hugging Face cache that decide what an offline load of a model finds, besides its own directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sage_doctor.facts.custom_code import code_references
from sage_doctor.facts.hub_cache import HubFacts, resolve_hub
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.subjects.model import Model


def cached_files(model: Model) -> Iterator[Path]:
    """Yield them: of the model's own repository, and of those that its `auto_map` takes code from."""
    if model.hub is not None:
        yield from _of(model.hub)
    for reference in (r for values in _configurations(model) for r in code_references(values.get("auto_map"))):
        if reference.repository is not None:
            hub = resolve_hub(model.host.hub_cache_dir, reference.repository)
            yield from _of(hub)
            yield (hub.snapshot or hub.folder) / reference.file


def _configurations(model: Model) -> Iterator[Mapping[str, Any]]:
    for name in ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json"):
        yield read_json_object(model.path / name, most=1 << 24).value or {}


def _of(hub: HubFacts) -> Iterator[Path]:
    """Yield what decides which snapshot of a repository is found, and whether all of it is there."""
    yield from (hub.folder, hub.folder / "refs" / hub.revision, hub.folder / "blobs", hub.folder / "trees")
