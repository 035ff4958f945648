"""The text of a manifest → `Manifest`. Gathers every problem before it gives up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.manifest import keys
from sage_doctor.manifest.locations import InvalidLocation, interpreter
from sage_doctor.manifest.machines import (
    HostIdentity,
    RawMachine,
    Scopes,
    check_vars,
    match_host,
    read_machine,
)
from sage_doctor.manifest.models import build_models, check_cycles, with_dependencies
from sage_doctor.manifest.problems import Problems, shown
from sage_doctor.manifest.raw_models import read_model
from sage_doctor.manifest.references import References
from sage_doctor.manifest.resolver import Resolver
from sage_doctor.manifest.sessions import Sessions
from sage_doctor.manifest.specs import GateSpec, LintSpec, MachineSpec, Manifest, RoleSpec
from sage_doctor.manifest.tables import RawValue, Table
from sage_doctor.manifest.toml_text import parse_toml
from sage_doctor.manifest.variables import Unresolved
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable


def parse_manifest(text: str, *, path: Path, shown_as: Path, host: HostIdentity) -> Manifest:
    """Return the manifest of the absolute `path`, as it applies to `host`. Raises `ManifestError`."""
    data, problems = parse_toml(text, shown_as, "manifest")
    return _Parser(data, path, host, problems).manifest()


class _Parser:
    """One pass over one manifest: read all tables, check the names between them, resolve what this host uses."""

    def __init__(self, data: Mapping[str, Any], path: Path, host: HostIdentity, problems: Problems) -> None:
        self.path = path
        self.host = host
        self.problems = problems
        self.top = Table(data, (), problems, keys.TOP)
        self._check_schema()
        self.top.refuse_unknown_keys()
        values = self.top.read(optional=("schema",))
        self.values = values
        self.python: RawValue | None = values.get("python")
        self.accelerator: str | None = values.get("accelerator")
        self.gate = GateSpec(**{f"{name}_s": length for name, length in values.get("gate", {}).items()})
        self.vars: dict[str, RawValue] = values.get("vars", {})
        self.machines = {name: read_machine(name, table) for name, table in values.get("machines", {}).items()}
        self.roles: dict[str, Table] = values.get("roles", {})
        self.raw_models = {name: read_model(name, table) for name, table in values.get("models", {}).items()}

    def _check_schema(self) -> None:
        """Stop at another schema version: it has other keys, so no other message would be right."""
        data = self.top.data
        if "schema" not in data:
            self.problems.add((), f"schema is missing: write `schema = {keys.SCHEMA}` at the top")
            return
        value = data["schema"]
        number = isinstance(value, int) and not isinstance(value, bool)
        if number and value == keys.SCHEMA:
            return
        newer = "; a newer sage-doctor may read it" if number and value > keys.SCHEMA else ""
        self.problems.add(("schema",), f"schema must be {keys.SCHEMA}, not {shown(value)}{newer}")
        if number:
            self.problems.raise_if_any()

    def manifest(self) -> Manifest:
        here, host_known = match_host(self.machines, self.host, self.problems)
        scopes = Scopes(self.vars, self.machines, self.path.parent)
        scope = scopes.local(here, self.host, host_known=host_known)
        resolver = Resolver(scope, self.path.parent, self.problems)
        check_vars(scope, self.vars, self.problems)
        roles = self._roles(here, resolver)
        machines = {
            name: self._machine(raw, resolver if raw is here else self._remote(scopes, raw), here=raw is here)
            for name, raw in self.machines.items()
        }
        overrides = here.overrides if here is not None else {}
        raw_models = {name: raw.on(overrides.get(name)) for name, raw in self.raw_models.items()}
        references = References(self.raw_models, self.roles, self.problems)
        references.check(self.machines)
        sessions = Sessions(resolver, references, here.roles if here is not None else None)
        check_cycles(raw_models, self.problems)
        needed = with_dependencies(raw_models, self._wanted(here, roles))
        budgets = {**self.values.get("budget", {}), **(here.budget if here is not None else {})}
        models, services, elsewhere = build_models(raw_models, needed, resolver, budgets)
        check_paths = self._check_paths(resolver)
        heartbeats = sessions.heartbeats(self.values.get("heartbeats", {}))
        states = sessions.states(self.values.get("state", {}))
        machine = machines[here.name] if here is not None else None
        python = machine.python if machine is not None else self._python(None, resolver, needed=True)
        self.problems.raise_if_any()
        return Manifest(
            path=self.path,
            models=models,
            roles=roles,
            machines=machines,
            machine=machine,
            python=python,
            accelerator=machine.accelerator if machine is not None else self.accelerator,
            requires=tuple(dict.fromkeys((*self.values.get("requires", ()), *(machine.requires if machine else ())))),
            gate=self.gate,
            lint=LintSpec(**self.values.get("lint", {})),
            vars=scope.values(scope.variables),
            check_paths=check_paths,
            ignore=self.values.get("checks", {}).get("ignore", ()),
            unavailable_here=elsewhere,
            heartbeats=heartbeats,
            states=states,
            services=services,
            renamed=tuple(dict.fromkeys(self.problems.renamed)),
        )

    def _remote(self, scopes: Scopes, raw: RawMachine) -> Resolver:
        return Resolver(scopes.remote(raw), self.path.parent, self.problems)

    def _roles(self, here: RawMachine | None, resolver: Resolver) -> dict[str, RoleSpec]:
        mine = here.roles if here is not None else None
        found = {}
        for name, table in self.roles.items():
            ours = mine is None or name in mine
            values = table.read()
            runners = [resolver.text(value, needed=ours) for value in values.get("runners", ())]
            found[name] = RoleSpec(
                name=name,
                models=values.get("models", ()),
                runners=tuple(text for text in runners if text is not None),
                accelerator=values.get("accelerator"),
                max_age_s=values.get("max_age") or self.gate.max_age_s,
                description=values.get("description"),
                line=self.problems.lines.of(table.path),
            )
        return found

    def _machine(self, raw: RawMachine, resolver: Resolver, *, here: bool) -> MachineSpec:
        check_vars(resolver.scope, raw.vars, self.problems)
        if not here:
            for fields in raw.overrides.values():
                for place in fields.places.values():
                    resolver.text(place, needed=False)
        return MachineSpec(
            name=raw.name,
            hostname=raw.hostname,
            device_tree=raw.device_tree,
            roles=tuple(self.roles) if raw.roles is None else raw.roles,
            python=self._python(raw.python, resolver, needed=here),
            accelerator=raw.accelerator or self.accelerator,
            requires=raw.requires,
            vars=resolver.scope.values(raw.vars),
            home=raw.home,
            line=self.problems.lines.of(raw.table.path),
        )

    def _python(self, own: RawValue | None, resolver: Resolver, *, needed: bool) -> Path | None:
        """Return the interpreter of a machine. Faults of the manifest's default are reported for this host only."""
        value = own or self.python
        if value is None:
            return None
        if own is not None or needed:
            return resolver.interpreter(value, needed=needed)
        try:
            return interpreter(resolver.directory, resolver.scope.expand(value.text))
        except (Unresolved, InvalidLocation):
            return None

    def _wanted(self, here: RawMachine | None, roles: Mapping[str, RoleSpec]) -> list[str]:
        """Return the models that this machine's roles name; every model if there are no machines or no roles."""
        if not self.machines or not roles:
            return list(self.raw_models)
        mine = roles if here is None or here.roles is None else [name for name in here.roles if name in roles]
        return [model for name in mine for model in roles[name].models]

    def _check_paths(self, resolver: Resolver) -> tuple[Path, ...]:
        found = []
        for value in self.values.get("checks", {}).get("paths", ()):
            path = resolver.path(value)
            if path is None:
                continue
            node = inspect_path(path)
            if node.kind in ("file", "directory"):
                found.append(path)
                continue
            what = node.detail or {"missing": "nothing is there"}.get(node.kind, node.kind)
            self.problems.add(value.key, f"{value.label}: no file or directory {printable(str(path))} ({what})")
        return tuple(found)
