"""The directories that the merge recipe of a model names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.subjects.model import Model
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts


@frozen
class RecipeBase:
    """The base that a merge recipe names. `name` is how the manifest names it, `recipe` the model of the recipe.

    `path` is where it is or should be, `hub` what the Hugging Face cache has of it where it is a repository.
    """

    name: str
    recipe: str
    path: Path
    found: bool
    hub: HubFacts | None


def recipe_base(model: Model) -> RecipeBase | None:
    """Return the base in a model's own merge recipe, or for an adapter in the recipe that uses it; None without one."""
    for owner in (model, *model.siblings.values()):
        recipe = owner.spec.merge if owner.spec is not None else None
        if recipe is None or (owner is not model and recipe.adapter != model.name):
            continue
        base = model.siblings.get(recipe.base)
        if recipe.base_path is not None:
            base = Model(name=recipe.base, kind="full", host=model.host, reference=recipe.base_path)
        if base is not None:
            return RecipeBase(name=recipe.base, recipe=owner.name, path=base.path, found=base.found, hub=base.hub)
    return None


def base_to_download(model: Model) -> tuple[HubFacts, Path] | None:
    """Return the hub repository that a model's merge recipe waits for, and the adapter; None where they are not that.

    The adapter is here then, and the base is not cached.
    """
    recipe = model.spec.merge if model.spec is not None else None
    base = recipe_base(model) if recipe is not None else None
    if recipe is None or base is None or base.found or base.hub is None:
        return None
    adapter = recipe.adapter_path.path if recipe.adapter_path is not None else None
    if recipe.adapter_path is None and (sibling := model.siblings.get(recipe.adapter)) is not None and sibling.found:
        adapter = sibling.path
    return (base.hub, adapter) if adapter is not None and inspect_path(adapter).kind == "directory" else None


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
