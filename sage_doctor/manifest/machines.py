"""Which machine this is: the `[machines.X]` tables, and the one that matches this host."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from sage_doctor.manifest.names import not_a_machine
from sage_doctor.manifest.problems import Problems
from sage_doctor.manifest.quoting import header
from sage_doctor.manifest.raw_models import Fields, read_fields
from sage_doctor.manifest.tables import RawValue, Table
from sage_doctor.manifest.variables import Scope, Unresolved
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable


@frozen
class HostIdentity:
    """What a manifest asks about this host. `device_tree` is the board's model text, None if there is none."""

    environ: Mapping[str, str]
    hostname: str
    device_tree: str | None
    home: Path

    def names(self) -> tuple[str, ...]:
        """Return the hostname in lower case, in full and without its domain."""
        full = self.hostname.lower()
        return tuple(dict.fromkeys((full, full.partition(".")[0])))


@frozen
class RawMachine:
    """One machine as written. `roles` is None if the table does not list any."""

    name: str
    table: Table
    hostname: tuple[str, ...]
    device_tree: tuple[str, ...]
    roles: tuple[str, ...] | None
    python: RawValue | None
    accelerator: str | None
    requires: tuple[str, ...]
    home: str | None
    vars: Mapping[str, RawValue]
    budget: Mapping[str, float]
    overrides: Mapping[str, Fields]
    override_tables: Mapping[str, Table]

    def matches(self, host: HostIdentity) -> bool:
        """Return whether the hostname or the device tree fits one of the globs; letter case does not matter."""
        tree = (host.device_tree.lower(),) if host.device_tree else ()
        pairs = ((self.hostname, host.names()), (self.device_tree, tree))
        return any(fnmatchcase(text, glob.lower()) for globs, texts in pairs for glob in globs for text in texts)


def read_machine(name: str, table: Table) -> RawMachine:
    """Return one machine as its table says."""
    values = table.read()
    match = values.get("match", {})
    overrides = values.get("models", {})
    return RawMachine(
        name=name,
        table=table,
        hostname=match.get("hostname", ()),
        device_tree=match.get("device_tree", ()),
        roles=values.get("roles"),
        python=values.get("python"),
        accelerator=values.get("accelerator"),
        requires=values.get("requires", ()),
        home=values.get("home"),
        vars=values.get("vars", {}),
        budget=values.get("budget", {}),
        overrides={model: read_fields(inner.read()) for model, inner in overrides.items()},
        override_tables=overrides,
    )


def match_host(
    machines: Mapping[str, RawMachine], host: HostIdentity, problems: Problems
) -> tuple[RawMachine | None, bool]:
    """Return the machine that is this host, and whether that is certain; notes an unknown name or two matches.

    `SAGE_MACHINE` decides if it is set. A manifest without machines is the same on every host.
    """
    wanted = host.environ.get("SAGE_MACHINE", "")
    if wanted and machines:
        if wanted in machines:
            return machines[wanted], True
        shown = printable(wanted, limit=80)
        problems.add(("machines",), f"SAGE_MACHINE is '{shown}': {not_a_machine(wanted, machines)}")
        return None, False
    fitting = [machine for machine in machines.values() if machine.matches(host)]
    if len(fitting) < 2:
        return (fitting[0] if fitting else None), True
    fitting.sort(key=lambda machine: problems.lines.of(machine.table.path))
    first, *others = (f"{header(*m.table.path)} (line {problems.lines.of(m.table.path)})" for m in fitting[:5])
    tree = f", device tree '{printable(host.device_tree, limit=80)}'" if host.device_tree else ""
    host_text = f"this host (hostname '{printable(host.hostname, limit=80)}'{tree})"
    advice = "set SAGE_MACHINE to the name of one, or narrow their match"
    problems.add(fitting[1].table.path, f"{host_text} matches {first} and {' and '.join(others)}; {advice}")
    return None, False


class Scopes:
    """The variables of the manifest, as this host and as every other machine sees them."""

    def __init__(self, shared: Mapping[str, RawValue], machines: Mapping[str, RawMachine], directory: Path) -> None:
        self.shared = {name: value.text for name, value in shared.items()}
        self.directory = str(directory)
        self.set_elsewhere: dict[str, list[str]] = {}
        for machine in machines.values():
            for name in machine.vars:
                self.set_elsewhere.setdefault(name, []).append(machine.name)

    def local(self, machine: RawMachine | None, host: HostIdentity, *, host_known: bool) -> Scope:
        """Return the variables of this host. `{home}` is the home its machine states, else the running user's."""
        built_in = {"manifest_dir": self.directory, "home": str(host.home)}
        if machine is not None:
            built_in |= {"machine": machine.name, **({"home": machine.home} if machine.home else {})}
        return Scope(
            variables=self._variables(machine),
            built_in=built_in,
            environ=host.environ,
            tilde=str(host.home),
            set_elsewhere=self.set_elsewhere,
            machine=machine.name if machine is not None else None,
            host_known=host_known,
        )

    def remote(self, machine: RawMachine) -> Scope:
        """Return the variables of a machine that is not this host: its environment is unknown."""
        built_in = {"manifest_dir": self.directory, "machine": machine.name}
        return Scope(
            variables=self._variables(machine),
            built_in=built_in | ({"home": machine.home} if machine.home else {}),
            set_elsewhere=self.set_elsewhere,
            machine=machine.name,
            this_host=False,
        )

    def _variables(self, machine: RawMachine | None) -> Mapping[str, str]:
        """Return a chain, not a copy: many machines share one long table of defaults."""
        own = {name: value.text for name, value in machine.vars.items()} if machine is not None else {}
        return ChainMap(own, self.shared)


def check_vars(scope: Scope, variables: Mapping[str, RawValue], problems: Problems) -> None:
    """Note every variable whose text is wrong on any machine: unknown names, cycles, stray braces."""
    for name, value in variables.items():
        try:
            scope.check(name)
        except Unresolved as missing:
            report_unresolved(missing, value, scope, problems)


def report_unresolved(missing: Unresolved, value: RawValue, scope: Scope, problems: Problems) -> None:
    """Report why a text could not be resolved, unless that is reported at the cause."""
    if missing.reported:
        return
    message = f"{value.label}: {missing}"
    if missing.word:
        problems.unknown(value.key, message, scope.known(), word=missing.word)
    else:
        problems.add(value.key, message)
