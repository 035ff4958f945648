"""Models as the manifest writes them: types checked, nothing looked up or filled in yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sage_doctor.manifest import keys
from sage_doctor.manifest.names import is_path_or_hub_ref, is_variable
from sage_doctor.manifest.requirements import read_requires
from sage_doctor.manifest.tables import Table
from sage_doctor.manifest.toml_lines import KeyPath
from sage_doctor.text import printable

_DEVICES = "'cpu', 'mps', 'cuda' or 'cuda:N'"


@dataclass(frozen=True)
class RawValue:
    """A text with the key it stands at, and how messages call that key."""

    text: str
    key: KeyPath
    label: str


@dataclass(frozen=True)
class Fields:
    """What one `[models.X]` or `[machines.M.models.X]` table sets; what it leaves out is not in `values`."""

    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, RawValue] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)

    def over(self, other: Fields) -> Fields:
        """Return these settings where they are set and the `other` ones elsewhere."""
        return Fields({**other.values, **self.values}, {**other.places, **self.places}, {**other.budget, **self.budget})


@dataclass(frozen=True)
class RawModel:
    """One model as written.

    `places` of its fields may hold path, base, merge.base, merge.adapter and served_by; those of a service, its url.
    `instead` are the models that may be used where this one is not complete.
    """

    name: str
    kind: str
    fields: Fields
    key: KeyPath
    instead: tuple[RawValue, ...] = ()

    def references(self) -> list[RawValue]:
        """Return where this model names other models of the manifest that it is built on."""
        apart = ("path", "url", "served_by")
        return [w for what, w in self.fields.places.items() if what not in apart and not is_path_or_hub_ref(w.text)]

    @property
    def served_by(self) -> RawValue | None:
        """Where this model names the service that may be asked instead."""
        return self.fields.places.get("served_by")

    def on(self, override: Fields | None) -> RawModel:
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
        "model": table.text("model"),
    }
    places = {what: written(table, what) for what in ("path", "base", "url", "served_by")}
    return Fields(
        {key: value for key, value in values.items() if value is not None},
        {what: place for what, place in places.items() if place is not None},
        read_budget(table),
    )


def written(table: Table, key: str) -> RawValue | None:
    """Return a text of the table with the place it stands at."""
    text = table.text(key)
    return None if text is None else RawValue(text, (*table.path, key), table.field(key))


def _device(table: Table) -> str | None:
    value = table.text("device")
    if value is None or value in keys.ACCELERATORS:
        return value
    kind, _, number = value.partition(":")
    if kind == "cuda" and number.isascii() and number.isdigit() and len(number) <= 3:
        return value
    table.wrong("device", _DEVICES)
    return None


def read_models(top: Table) -> dict[str, RawModel]:
    """Return the models by name."""
    tables = top.named("models", keys.MODEL, "model", marks=("kind", "path"))
    return {name: _model(name, table) for name, table in tables.items()}


def _model(name: str, table: Table) -> RawModel:
    kind = table.choice("kind", keys.KINDS)
    lies = ("url", "where it answers") if kind == "service" else ("path", "a directory or hf:org/name")
    for key, what in (("kind", f"one of {', '.join(keys.KINDS)}"), lies):
        if key not in table.data:
            table.problems.add(table.path, f"{table.title} has no {key}: {what}")
    fields = read_fields(table)
    if kind is not None:
        only_its_own(table, kind)
    reached = {"api": table.choice("api", keys.APIS), "api_key_env": _variable(table)}
    fields = Fields({key: value for key, value in reached.items() if value is not None}).over(fields)
    described = table.text("description", empty=True)
    if described is not None:
        fields = Fields({"description": described}).over(fields)
    requires = read_requires(table)
    if requires:
        fields = Fields({"requires": requires}).over(fields)
    if "merge" in table.data and kind != "service":
        if kind in ("full", "adapter"):
            table.problems.add(
                (*table.path, "merge"), f"{table.title} merge is for models of kind 'merged'; this one is '{kind}'"
            )
        fields = Fields(places=_merge(table)).over(fields)
    instead = table.texts("or", or_one=True) or ()
    words = tuple(RawValue(text, (*table.path, "or"), table.field("or")) for text in instead)
    return RawModel(name, kind or "full", fields, table.path, words)


def only_its_own(table: Table, kind: str) -> None:
    """Note the keys of a table for a model that mean nothing for one of this kind."""
    foreign = keys.ONLY_DIRECTORY if kind == "service" else keys.ONLY_SERVICE
    whose = "models in a directory" if kind == "service" else "models of kind 'service'"
    for key in foreign:
        if key in table.data:
            table.problems.add((*table.path, key), f"{table.field(key)} is for {whose}; this one is '{kind}'")


def _variable(table: Table) -> str | None:
    """Return the name of the environment variable with a key; somebody may have written the key itself."""
    name = table.text("api_key_env")
    if name is None or (is_variable(name) and "-" not in name):
        return name
    told = f"{table.field('api_key_env')} must be the name of an environment variable, not the key itself"
    table.problems.add((*table.path, "api_key_env"), told)
    return None


def _merge(parent: Table) -> dict[str, RawValue]:
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
