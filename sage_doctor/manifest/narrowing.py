"""The manifest as if this machine had to run only what was asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sage_doctor.errors import UsageError
from sage_doctor.manifest.names import nearest
from sage_doctor.manifest.specs import LintSpec, Manifest
from sage_doctor.text import join_limited, printable


def for_role(manifest: Manifest, name: str) -> Manifest:
    """Return the manifest as if this machine had that role only.

    Raises `UsageError` where there is no such role, or this machine does not have it.
    """
    shown = printable(name, limit=80)
    where = printable(str(manifest.path))
    if name not in manifest.roles:
        near = nearest(name, list(manifest.roles))
        hint = f"did you mean '{printable(near)}'?" if near else f"roles: {join_limited(list(manifest.roles))}"
        if not manifest.roles:
            hint = "it has no roles yet: [roles.NAME] with models = [...] says what one needs"
        raise UsageError(f"no role '{shown}' in {where}; {hint}")
    if manifest.machine is not None and name not in manifest.machine.roles:
        raise UsageError(
            f"machine {printable(manifest.machine.name)} does not have the role '{shown}' "
            f"(its roles: {join_limited(list(manifest.machine.roles)) or 'none'}); see {where}"
        )
    return _narrowed(manifest, [name])


def for_targets(manifest: Manifest, targets: Collection[str]) -> Manifest:
    """Return the manifest as if this machine had only those of its roles that are among the targets.

    A model that is asked for is not judged by the scripts and traces of its roles; the accelerator that they declare
    is what it is loaded on.
    """
    roles = [manifest.roles[name] for name in manifest.needed_roles()]
    concerned = [r for r in roles if r.name in targets or set(r.models) & set(targets)]
    accelerator = manifest.accelerator or next((r.accelerator for r in concerned if r.accelerator), None)
    return replace(_narrowed(manifest, [r.name for r in roles if r.name in targets]), accelerator=accelerator)


def _narrowed(manifest: Manifest, roles: list[str]) -> Manifest:
    machine = replace(manifest.machine, roles=tuple(roles)) if manifest.machine is not None else None
    return replace(
        manifest,
        machine=machine,
        machines={**manifest.machines, **({machine.name: machine} if machine is not None else {})},
        roles={name: manifest.roles[name] for name in roles},
        heartbeats={k: spec for k, spec in manifest.heartbeats.items() if any(map(spec.concerns, roles))},
        states={k: spec for k, spec in manifest.states.items() if any(map(spec.concerns, roles))},
        lint=LintSpec(),
        whole=manifest.whole or manifest,
    )
