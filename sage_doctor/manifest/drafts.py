"""Models as the manifest writes them: types checked, nothing looked up or filled in yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sage_doctor.manifest import keys
from sage_doctor.manifest.names import is_place
from sage_doctor.manifest.requirements import read_requires
from sage_doctor.manifest.tables import Table
from sage_doctor.manifest.toml_lines import KeyPath
from sage_doctor.text import printable

_DEVICES = "'cpu', 'mps', 'cuda' or 'cuda:N'"


@dataclass(frozen=True)
class Written:
    """A text with the key it stands at, and how messages call that key."""

    text: str
    key: KeyPath
    label: str


@dataclass(frozen=True)
class Fields:
    """What one `[models.X]` or `[machines.M.models.X]` table sets; what it leaves out is not in `values`."""

    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Written] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)

    def over(self, other: Fields) -> Fields:
        """Return these settings where they are set and the `other` ones elsewhere."""
        return Fields({**other.values, **self.values}, {**other.places, **self.places}, {**other.budget, **self.budget})


@dataclass(frozen=True)
class ModelDraft:
    """One model as written. `places` of its fields may hold path, base, merge.base and merge.adapter.

    `instead` are the models that may be used where this one is not complete.
    """

    name: str
    kind: str
    fields: Fields
    key: KeyPath
    instead: tuple[Written, ...] = ()

    def references(self) -> list[Written]:
        """Return where this model names other models of the manifest."""
        return [w for what, w in self.fields.places.items() if what != "path" and not is_place(w.text)]

    def on(self, override: Fields | None) -> ModelDraft:
        """Return the model with a machine's settings over its own."""
        return self if override is None else replace(self, fields=override.over(self.fields))


def read_budget(parent: Table) -> dict[str, float]:
    """Return the budget table inside `parent`."""
    table = parent.section("budget")
    table.only(keys.BUDGET)
    read = {key: table.positive(key) for key in keys.BUDGET}
    return {key: value for key, value in read.items() if value is not None}


def read_fields(table: Table) -> Fields:
    """Return what a model table and a machine's table for a model have in common."""
    values = {
        "prompt": table.text("prompt"),
        "max_new_tokens": table.count("max_new_tokens"),
        "dtype": table.choice("dtype", keys.DTYPES),
        "device": _device(table),
    }
    places = {what: written(table, what) for what in ("path", "base")}
    return Fields(
        {key: value for key, value in values.items() if value is not None},
        {what: place for what, place in places.items() if place is not None},
        read_budget(table),
    )


def written(table: Table, key: str) -> Written | None:
    """Return a text of the table with the place it stands at."""
    text = table.text(key)
    return None if text is None else Written(text, (*table.path, key), table.field(key))


def _device(table: Table) -> str | None:
    value = table.text("device")
    if value is None or value in keys.ACCELERATORS:
        return value
    kind, _, number = value.partition(":")
    if kind == "cuda" and number.isascii() and number.isdigit() and len(number) <= 3:
        return value
    table.wrong("device", _DEVICES)
    return None


def read_models(top: Table) -> dict[str, ModelDraft]:
    """Return the models by name."""
    tables = top.named("models", keys.MODEL, "model", marks=("kind", "path"))
    return {name: _model(name, table) for name, table in tables.items()}


def _model(name: str, table: Table) -> ModelDraft:
    kind = table.choice("kind", keys.KINDS)
    for key, what in (("kind", f"one of {', '.join(keys.KINDS)}"), ("path", "a directory or hf:org/name")):
        if key not in table.data:
            table.problems.add(table.path, f"{table.title} has no {key}: {what}")
    fields = read_fields(table)
    described = table.text("description", empty=True)
    if described is not None:
        fields = Fields({"description": described}).over(fields)
    requires = read_requires(table)
    if requires:
        fields = Fields({"requires": requires}).over(fields)
    if "merge" in table.data:
        if kind in ("full", "adapter"):
            table.problems.add(
                (*table.path, "merge"), f"{table.title} merge is for models of kind 'merged'; this one is '{kind}'"
            )
        fields = Fields(places=_merge(table)).over(fields)
    instead = table.texts("or", or_one=True) or ()
    words = tuple(Written(text, (*table.path, "or"), table.field("or")) for text in instead)
    return ModelDraft(name, kind or "full", fields, table.path, words)


def _merge(parent: Table) -> dict[str, Written]:
    table = parent.section("merge")
    table.only(keys.MERGE)
    found = {}
    for key in keys.MERGE:
        place = written(table, key)
        if place is not None:
            found[f"merge.{key}"] = place
        elif key not in table.data and isinstance(parent.data["merge"], dict):
            parent.problems.add(table.path, f"{parent.title} merge has no {key}: a model's name, a path or hf:org/name")
    return found


def shown_name(name: str) -> str:
    """Return a name from the manifest in quotes, safe to show."""
    return f"'{printable(name, limit=80)}'"
