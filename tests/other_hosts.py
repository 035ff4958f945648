"""A manifest as it applies to a host that is not this one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sage_doctor.manifest.load import read_manifest_text
from sage_doctor.manifest.machines import HostIdentity
from sage_doctor.manifest.parse import parse_manifest
from sage_doctor.manifest.specs import Manifest


def load_manifest(
    path: Path, *, environ: Mapping[str, str], hostname: str, device_tree: str | None, home: Path
) -> Manifest:
    """Return the manifest at `path` for the host that the other arguments describe. Raises `ManifestError`."""
    host = HostIdentity(environ=environ, hostname=hostname, device_tree=device_tree, home=home)
    return parse_manifest(read_manifest_text(path), path=Path.cwd() / path, shown_as=path, host=host)
