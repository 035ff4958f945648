"""The host that a command runs on, with the manifest in use."""

from __future__ import annotations

import os
from pathlib import Path

from sage_doctor.errors import ManifestError
from sage_doctor.manifest.load import find_manifest, load_for_host
from sage_doctor.subjects.directories import path_like
from sage_doctor.subjects.host import Host
from sage_doctor.system.state_directory import home_of


def this_host(manifest: str | None, *named: str) -> Host:
    """Return this host with the manifest in use, if there is one. Raises `ManifestError`.

    Where all that was `named` are paths, one that cannot be used counts as none.
    """
    cwd = Path(os.getcwd())
    found = cwd / manifest if manifest is not None else find_manifest(cwd, os.environ)
    try:
        read = load_for_host(found) if found is not None else None
    except ManifestError:
        if manifest is not None or not named or not all(map(path_like, named)):
            raise
        read = None
    return Host(cwd=cwd, home=home_of(os.environ), environ=os.environ, manifest=read)
