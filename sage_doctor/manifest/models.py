"""From models as written to the models of this machine: which it needs, where they are, which are elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sage_doctor.manifest.model_keys import MODEL
from sage_doctor.manifest.names import is_path_or_hub_ref
from sage_doctor.manifest.problems import Problems
from sage_doctor.manifest.raw_models import Fields, RawModel
from sage_doctor.manifest.resolver import Resolver
from sage_doctor.manifest.specs import Budget, MergeRecipe, ModelPath, ModelSpec, ServiceSpec, as_kind
from sage_doctor.manifest.tables import RawValue
from sage_doctor.text import printable

RawModels = Mapping[str, RawModel]


def with_dependencies(raw_models: RawModels, names: Iterable[str]) -> frozenset[str]:
    """Return these models and all they name: bases, what they are merged from, the service asked instead."""
    waiting, found = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in raw_models and name not in found:
            found.add(name)
            waiting.extend(reference.text for reference in raw_models[name].references())
            server = raw_models[name].served_by
            if server is not None:
                waiting.append(server.text)
    return frozenset(found)


def check_cycles(raw_models: RawModels, problems: Problems) -> None:
    """Note models that are built on themselves through bases and merges; each cycle once."""
    done: set[str] = set()
    for start in raw_models:
        trail: list[str] = []  # the models between `start` and here
        on_trail: set[str] = set()
        waiting = [(start, False)]
        while waiting:
            name, leaving = waiting.pop()
            if leaving:
                on_trail.discard(trail.pop())
                done.add(name)
            elif name in on_trail:
                cycle = [*trail[trail.index(name) :], name]
                shown = printable(" -> ".join(cycle), limit=200)
                problems.add((*raw_models[name].key, "base"), f"models are built on each other in a cycle: {shown}")
            elif name not in done and name in raw_models:
                trail.append(name)
                on_trail.add(name)
                waiting.append((name, True))
                waiting.extend((reference.text, False) for reference in raw_models[name].references())


def build_models(
    raw_models: RawModels, needed: frozenset[str], resolver: Resolver, budgets: Mapping[str, float]
) -> tuple[dict[str, ModelSpec], dict[str, ServiceSpec], dict[str, str]]:
    """Return the models and services of this machine, and those that are elsewhere with the reason.

    What this machine needs must have a location here. `budgets` are the defaults of the machine and the manifest.
    """
    models: dict[str, ModelSpec] = {}
    services: dict[str, ServiceSpec] = {}
    elsewhere: dict[str, str] = {}
    for name, raw in raw_models.items():
        missing: list[str] = []
        written = raw.fields.places
        if raw.kind == "service":
            url = resolver.url(written["url"], needed=name in needed, missing=missing) if "url" in written else None
            if missing:
                elsewhere[name] = missing[0]
            else:
                services[name] = _service(raw, url or "", budgets, resolver.problems.lines.of(raw.key))
            continue
        places = {
            what: resolver.model(value, needed=name in needed, missing=missing)
            for what, value in written.items()
            if what not in ("url", "served_by") and (what == "path" or is_path_or_hub_ref(value.text))
        }
        if missing:
            elsewhere[name] = missing[0]
        else:
            models[name] = _spec(raw, places, budgets, resolver.problems.lines.of(raw.key))
    _move_dependents(raw_models, models, elsewhere)
    return models, services, elsewhere


def _move_dependents(raw_models: RawModels, models: dict[str, ModelSpec], elsewhere: dict[str, str]) -> None:
    """Move to `elsewhere` what is built on a model that is there, so that every name in `models` exists."""
    users: dict[str, list[str]] = {}
    for name, raw in raw_models.items():
        for reference in raw.references():
            users.setdefault(reference.text, []).append(name)
    waiting = list(elsewhere)
    while waiting:
        base = waiting.pop()
        for name in users.get(base, ()):
            if models.pop(name, None) is not None:
                elsewhere[name] = f"it is built on '{printable(base, limit=80)}', and {elsewhere[base]}"
                waiting.append(name)


def _service(raw: RawModel, url: str, budgets: Mapping[str, float], line: int) -> ServiceSpec:
    known = _own(raw, "service")
    budget = Budget(**{**budgets, **raw.fields.budget})
    return ServiceSpec(name=raw.name, url=url, budget=budget, line=line, **{"model": raw.name, **known})


def _spec(raw: RawModel, places: Mapping[str, ModelPath | None], budgets: Mapping[str, float], line: int) -> ModelSpec:
    fields: Fields = raw.fields
    base = _named(fields.places.get("base"), places.get("base"))
    merge_base = _named(fields.places.get("merge.base"), places.get("merge.base"))
    adapter = _named(fields.places.get("merge.adapter"), places.get("merge.adapter"))
    recipe = None
    if merge_base is not None and adapter is not None:
        recipe = MergeRecipe(
            base=merge_base,
            adapter=adapter,
            base_path=places.get("merge.base"),
            adapter_path=places.get("merge.adapter"),
        )
    return ModelSpec(
        name=raw.name,
        kind=as_kind(raw.kind),
        path=places.get("path") or ModelPath(text=""),  # without a path there is a problem, and no manifest
        base=base,
        base_path=places.get("base"),
        merge=recipe,
        budget=Budget(**{**budgets, **fields.budget}),
        served_by=raw.served_by.text if raw.served_by is not None else None,
        line=line,
        fallback=tuple(reference.text for reference in raw.fallback),
        **_own(raw, "directory"),
    )


def _own(raw: RawModel, whose: str) -> dict[str, Any]:
    """Return the plain values that models of this sort have; of others there is a problem, and no manifest."""
    return {name: value for name, value in raw.fields.values.items() if MODEL.key(name).only in (None, whose)}


def _named(value: RawValue | None, place: ModelPath | None) -> str | None:
    if value is None:
        return None
    return value.text if place is None else place.text
