"""From models as written to the models of this machine: which it needs, where they lie, which lie elsewhere."""

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

Drafts = Mapping[str, RawModel]


def closure(drafts: Drafts, names: Iterable[str]) -> frozenset[str]:
    """Return these models and all they name: bases, what they are merged from, the service asked instead."""
    waiting, found = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in drafts and name not in found:
            found.add(name)
            waiting.extend(reference.text for reference in drafts[name].references())
            server = drafts[name].served_by
            if server is not None:
                waiting.append(server.text)
    return frozenset(found)


def check_circles(drafts: Drafts, problems: Problems) -> None:
    """Note models that are built on themselves, by way of bases and merges; each circle once."""
    done: set[str] = set()
    for start in drafts:
        trail: list[str] = []  # the models between `start` and here
        on_trail: set[str] = set()
        waiting = [(start, False)]
        while waiting:
            name, leaving = waiting.pop()
            if leaving:
                on_trail.discard(trail.pop())
                done.add(name)
            elif name in on_trail:
                circle = [*trail[trail.index(name) :], name]
                shown = printable(" -> ".join(circle), limit=200)
                problems.add((*drafts[name].key, "base"), f"models that are built on each other: {shown}")
            elif name not in done and name in drafts:
                trail.append(name)
                on_trail.add(name)
                waiting.append((name, True))
                waiting.extend((reference.text, False) for reference in drafts[name].references())


def build_models(
    drafts: Drafts, needed: frozenset[str], resolver: Resolver, budgets: Mapping[str, float]
) -> tuple[dict[str, ModelSpec], dict[str, ServiceSpec], dict[str, str]]:
    """Return the models and services of this machine, and those that lie elsewhere with the reason.

    What this machine needs must have a place here. `budgets` are the defaults of the machine and the manifest.
    """
    models: dict[str, ModelSpec] = {}
    services: dict[str, ServiceSpec] = {}
    elsewhere: dict[str, str] = {}
    for name, draft in drafts.items():
        lacking: list[str] = []
        written = draft.fields.places
        if draft.kind == "service":
            url = resolver.url(written["url"], needed=name in needed, lacking=lacking) if "url" in written else None
            if lacking:
                elsewhere[name] = lacking[0]
            else:
                services[name] = _service(draft, url or "", budgets, resolver.problems.lines.of(draft.key))
            continue
        places = {
            what: resolver.model(value, needed=name in needed, lacking=lacking)
            for what, value in written.items()
            if what not in ("url", "served_by") and (what == "path" or is_path_or_hub_ref(value.text))
        }
        if lacking:
            elsewhere[name] = lacking[0]
        else:
            models[name] = _spec(draft, places, budgets, resolver.problems.lines.of(draft.key))
    _follow(drafts, models, elsewhere)
    return models, services, elsewhere


def _follow(drafts: Drafts, models: dict[str, ModelSpec], elsewhere: dict[str, str]) -> None:
    """Move to `elsewhere` what is built on a model that lies there, so that every name in `models` leads somewhere."""
    users: dict[str, list[str]] = {}
    for name, draft in drafts.items():
        for reference in draft.references():
            users.setdefault(reference.text, []).append(name)
    waiting = list(elsewhere)
    while waiting:
        base = waiting.pop()
        for name in users.get(base, ()):
            if models.pop(name, None) is not None:
                elsewhere[name] = f"it is built on '{printable(base, limit=80)}', and {elsewhere[base]}"
                waiting.append(name)


def _service(draft: RawModel, url: str, budgets: Mapping[str, float], line: int) -> ServiceSpec:
    known = _own(draft, "service")
    budget = Budget(**{**budgets, **draft.fields.budget})
    return ServiceSpec(name=draft.name, url=url, budget=budget, line=line, **{"model": draft.name, **known})


def _spec(
    draft: RawModel, places: Mapping[str, ModelPath | None], budgets: Mapping[str, float], line: int
) -> ModelSpec:
    fields: Fields = draft.fields
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
        name=draft.name,
        kind=as_kind(draft.kind),
        path=places.get("path") or ModelPath(text=""),  # without a path there is a problem, and no manifest
        base=base,
        base_path=places.get("base"),
        merge=recipe,
        budget=Budget(**{**budgets, **fields.budget}),
        served_by=draft.served_by.text if draft.served_by is not None else None,
        line=line,
        fallback=tuple(reference.text for reference in draft.fallback),
        **_own(draft, "directory"),
    )


def _own(draft: RawModel, whose: str) -> dict[str, Any]:
    """Return the plain values that models of this sort have; of others there is a problem, and no manifest."""
    return {name: value for name, value in draft.fields.values.items() if MODEL.key(name).only in (None, whose)}


def _named(value: RawValue | None, place: ModelPath | None) -> str | None:
    if value is None:
        return None
    return value.text if place is None else place.text
