"""The order in which models are examined: what others are built on comes first."""

from __future__ import annotations

from collections.abc import Iterable

from sage_doctor.subjects.model import Model


def in_order(models: Iterable[Model]) -> tuple[Model, ...]:
    """Return the models with those that others are built on first, else in the order given."""
    models = list(models)
    chosen = {m.name: m for m in models}
    done: dict[str, Model] = {}

    def visit(model: Model, above: frozenset[str]) -> None:
        if model.name in done or model.name in above:
            return
        for name in _built_from(model):
            if name in chosen:
                visit(chosen[name], above | {model.name})
        done[model.name] = model

    for model in models:
        visit(model, frozenset())
    return tuple(done.values())


def _built_from(model: Model) -> list[str]:
    spec = model.spec
    names = [m.name for m in model.depends_on()]
    if spec is not None and spec.merge is not None:
        names += [spec.merge.base, spec.merge.adapter]
    return names
