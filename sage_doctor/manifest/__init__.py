"""The manifest `sage-doctor.toml`: which models this machine is meant to run, where they lie, and what they may cost.

    path = find_manifest(Path.cwd(), os.environ)
    manifest = load_for_host(path)             # ManifestError: every problem, as file:line: message
    for name in manifest.required(): manifest.models[name].path

`toml_lines` finds the lines of keys, `tables` reads typed values, `drafts` and `machines` what is written,
`variables`, `fill` and `places` what that means on this host, `references` and `models` how it hangs together.
"""

from __future__ import annotations

from sage_doctor.manifest.load import (
    FILE_NAME,
    find_manifest,
    load_for_host,
    load_manifest,
    nearest_manifest,
    parse_for_host,
    read_manifest_text,
)
from sage_doctor.manifest.specs import (
    Budget,
    GateSpec,
    MachineSpec,
    Manifest,
    MergeRecipe,
    ModelKind,
    ModelPath,
    ModelSpec,
    RoleSpec,
    ServiceSpec,
)
from sage_doctor.manifest.watched import HeartbeatSpec, StateSpec

__all__ = [
    "FILE_NAME",
    "Budget",
    "GateSpec",
    "HeartbeatSpec",
    "MachineSpec",
    "Manifest",
    "MergeRecipe",
    "ModelKind",
    "ModelPath",
    "ModelSpec",
    "RoleSpec",
    "ServiceSpec",
    "StateSpec",
    "find_manifest",
    "load_for_host",
    "load_manifest",
    "nearest_manifest",
    "parse_for_host",
    "read_manifest_text",
]
