"""The names by which the tables of a manifest refer to each other: every one must lead somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sage_doctor.manifest.machines import MachineDraft
from sage_doctor.manifest.names import is_path_or_hub_ref
from sage_doctor.manifest.problems import Problems
from sage_doctor.manifest.raw_models import RawModel, refuse_foreign_keys, shown_name
from sage_doctor.manifest.tables import RawValue, Table
from sage_doctor.manifest.toml_lines import KeyPath


@dataclass(frozen=True)
class References:
    """What there is to refer to."""

    drafts: Mapping[str, RawModel]
    roles: Mapping[str, Table]
    problems: Problems

    def check(self, machines: Mapping[str, MachineDraft]) -> None:
        """Note every name of a model or role that the manifest does not have."""
        for role in self.roles.values():
            for index, name in role.items("models"):
                self._model(name, (*role.path, "models", index), role.title)
        for machine in machines.values():
            self._machine(machine)
        for draft in self.drafts.values():
            self._bases(draft.fields.places)
            for reference in draft.fallback:
                self._model(reference.text, reference.key, reference.label)
            if draft.served_by is not None:
                self._server(draft.served_by)

    def check_roles(self, table: Table) -> None:
        """Note the roles that a table lists and the manifest does not have."""
        for index, name in table.items("roles"):
            self._role(name, (*table.path, "roles", index), table.title)

    def _machine(self, machine: MachineDraft) -> None:
        self.check_roles(machine.table)
        for name, inner in machine.override_tables.items():
            self._model(name, inner.path, machine.table.title)
            if name in self.drafts:
                refuse_foreign_keys(inner, self.drafts[name].kind)
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
            if reference.text in self.drafts and self.drafts[reference.text].kind == "service":
                told = f"{reference.label}: {shown_name(reference.text)} is a service, and nothing can be built on one"
                self.problems.add(reference.key, told)

    def _server(self, named: RawValue) -> None:
        services = {name: draft for name, draft in self.drafts.items() if draft.kind == "service"}
        if named.text in services:
            return
        if named.text in self.drafts:
            self.problems.add(named.key, f"{named.label}: {shown_name(named.text)} is not of kind 'service'")
            return
        what = f"unknown service {shown_name(named.text)} in {named.label}"
        self.problems.unknown(named.key, what, services, word=named.text)

    def _model(self, name: str, key: KeyPath, where: str) -> None:
        if name not in self.drafts:
            self.problems.unknown(key, f"unknown model {shown_name(name)} in {where}", self.drafts, word=name)
