"""Models as the manifest writes them: types checked, nothing looked up or filled in yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sage_doctor.manifest.names import is_path_or_hub_ref
from sage_doctor.manifest.tables import RawValue, Table
from sage_doctor.manifest.toml_lines import KeyPath
from sage_doctor.text import printable


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
    `fallback` are the models that may be used where this one is not complete.
    """

    name: str
    kind: str
    fields: Fields
    key: KeyPath
    fallback: tuple[RawValue, ...] = ()

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


def read_fields(values: Mapping[str, Any]) -> Fields:
    """Return the values of a model's table, sorted by what becomes of them."""
    merge = {f"merge.{key}": value for key, value in values.get("merge", {}).items()}
    return Fields(
        {
            k: v
            for k, v in values.items()
            if not isinstance(v, RawValue) and k not in ("kind", "budget", "merge", "fallback")
        },
        {k: v for k, v in {**values, **merge}.items() if isinstance(v, RawValue)},
        values.get("budget", {}),
    )


def read_model(name: str, table: Table) -> RawModel:
    """Return one model as its table says."""
    service = table.data.get("kind") == "service"
    values = table.read(optional=("path",) if service else ("url",))
    kind = values.get("kind")
    if kind is not None:
        refuse_foreign_keys(table, kind)
    if kind in ("full", "adapter") and "merge" in values:
        wrong = f"{table.title} merge is for models of kind 'merged'; this one is '{kind}'"
        table.problems.add((*table.path, "merge"), wrong)
    return RawModel(name, kind or "full", read_fields(values), table.path, values.get("fallback", ()))


def refuse_foreign_keys(table: Table, kind: str) -> None:
    """Note the keys of a table for a model that mean nothing for one of this kind."""
    foreign, owners = (
        ("directory", "models in a directory") if kind == "service" else ("service", "models of kind 'service'")
    )
    for key in table.keys.keys:
        for name in {key.name, key.old} & table.data.keys() if key.only == foreign else ():
            table.problems.add((*table.path, name), f"{table.field(name)} is for {owners}; this one is '{kind}'")


def shown_name(name: str) -> str:
    """Return a name from the manifest in quotes, safe to show."""
    return f"'{printable(name, limit=80)}'"
