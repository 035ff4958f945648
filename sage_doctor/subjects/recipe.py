"""The directories that the merge recipe of a model names."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import inspect_path


def recipe_places(model: Model) -> tuple[Path, Path] | None:
    """Return the directories of base and adapter that a model's merge recipe names, None where they are not here."""
    recipe = model.spec.merge if model.spec is not None else None
    if recipe is None:
        return None
    places: list[Path] = []
    for name, place in ((recipe.base, recipe.base_path), (recipe.adapter, recipe.adapter_path)):
        sibling = model.siblings.get(name)
        if place is not None and place.path is not None:
            path: Path | None = place.path
        elif place is not None and place.hub is not None:
            from sage_doctor.facts.hub_cache import resolve_hub  # noqa: PLC0415 - most runs never ask the cache

            path = resolve_hub(model.host.hub_cache_dir, place.hub, place.revision).snapshot
        else:
            path = sibling.path if sibling is not None and sibling.found else None
        if path is None or inspect_path(path).kind != "directory":
            return None
        places.append(path)
    return places[0], places[1]
