"""Where the manifest says that other machines have a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.manifest.load import read_manifest_text
from sage_doctor.manifest.machines import HostIdentity
from sage_doctor.manifest.parse import parse_manifest
from sage_doctor.manifest.specs import Manifest
from sage_doctor.system.frozen import frozen

_UNKNOWN_HOME: Final = Path("/\N{REPLACEMENT CHARACTER}")


@frozen
class ModelElsewhere:
    """A model on another machine: the machine's name, the host to reach it by, and the directory there."""

    machine: str
    host: str
    path: Path


def elsewhere(manifest: Manifest, name: str) -> Iterator[ModelElsewhere]:
    """Give the machines whose roles need the model, with where it is there, as far as the manifest alone tells.

    A path below the manifest's own directory is left out: where another machine has that is not known.
    """
    ours = manifest.machine.name if manifest.machine is not None else None
    for machine in manifest.machines.values() if ours is not None else ():
        there = _as_on(manifest, machine.name) if machine.name != ours else None
        spec = there.models.get(name) if there is not None and name in there.required() else None
        path = spec.path.path if spec is not None else None
        if path is None or path.is_relative_to(_UNKNOWN_HOME) or path.is_relative_to(manifest.directory):
            continue
        plain = next((h for h in machine.hostname if not set(h) & set("*?[")), machine.name)
        yield ModelElsewhere(machine=machine.name, host=plain, path=path)


def _as_on(manifest: Manifest, machine: str) -> Manifest | None:
    """Return the manifest as it applies to another machine, None where it cannot be told from here."""
    host = HostIdentity(environ={"SAGE_MACHINE": machine}, hostname="", device_tree=None, home=_UNKNOWN_HOME)
    try:
        text = read_manifest_text(manifest.path)
        return parse_manifest(text, path=manifest.path, shown_as=manifest.path, host=host)
    except DoctorError:
        return None
