"""The names by which the tables of a manifest refer to each other: every one must exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sage_doctor.manifest.machines import RawMachine
from sage_doctor.manifest.names import is_path_or_hub_ref
from sage_doctor.manifest.problems import Problems
from sage_doctor.manifest.raw_models import RawModel, refuse_foreign_keys, shown_name
from sage_doctor.manifest.tables import RawValue, Table
from sage_doctor.manifest.toml_lines import KeyPath


@dataclass(frozen=True)
class References:
    """What there is to refer to."""

    raw_models: Mapping[str, RawModel]
    roles: Mapping[str, Table]
    problems: Problems

    def check(self, machines: Mapping[str, RawMachine]) -> None:
        """Note every name of a model or role that the manifest does not have."""
        for role in self.roles.values():
            for index, name in role.items("models"):
                self._model(name, (*role.path, "models", index), role.title)
        for machine in machines.values():
            self._machine(machine)
        for raw in self.raw_models.values():
            self._bases(raw.fields.places)
            for reference in raw.fallback:
                self._model(reference.text, reference.key, reference.label)
            if raw.served_by is not None:
                self._server(raw.served_by)

    def check_roles(self, table: Table) -> None:
        """Note the roles that a table lists and the manifest does not have."""
        for index, name in table.items("roles"):
            self._role(name, (*table.path, "roles", index), table.title)

    def _machine(self, machine: RawMachine) -> None:
        self.check_roles(machine.table)
        for name, inner in machine.override_tables.items():
            self._model(name, inner.path, machine.table.title)
            if name in self.raw_models:
                refuse_foreign_keys(inner, self.raw_models[name].kind)
        for fields in machine.overrides.values():
            self._bases(fields.places)
            if "served_by" in fields.places:
                self._server(fields.places["served_by"])

    def _role(self, name: str, key: KeyPath, where: str) -> None:
        if name not in self.roles:
            self.problems.unknown(key, f"unknown role {shown_name(name)} in {where}", self.roles, word=name)

    def _bases(self, places: Mapping[str, RawValue]) -> None:
        for what, reference in places.items():
            if what in ("path", "url", "served_by") or is_path_or_hub_ref(reference.text):
                continue
            self._model(reference.text, reference.key, reference.label)
            if reference.text in self.raw_models and self.raw_models[reference.text].kind == "service":
                told = f"{reference.label}: {shown_name(reference.text)} is a service, not something to build on"
                self.problems.add(reference.key, told)

    def _server(self, named: RawValue) -> None:
        services = {name: raw for name, raw in self.raw_models.items() if raw.kind == "service"}
        if named.text in services:
            return
        if named.text in self.raw_models:
            self.problems.add(named.key, f"{named.label}: {shown_name(named.text)} is not of kind 'service'")
            return
        what = f"unknown service {shown_name(named.text)} in {named.label}"
        self.problems.unknown(named.key, what, services, word=named.text)

    def _model(self, name: str, key: KeyPath, where: str) -> None:
        if name not in self.raw_models:
            self.problems.unknown(key, f"unknown model {shown_name(name)} in {where}", self.raw_models, word=name)
