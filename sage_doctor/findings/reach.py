"""What is not known of a model since its place is out of reach: a disk that is not mounted, a user who is kept out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.findings.access import make_ours, unreadable
from sage_doctor.findings.volumes import not_mounted
from sage_doctor.report import Finding, Fix
from sage_doctor.system.path_info import inspect_path

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts
    from sage_doctor.subjects.model import Model


def hub_out_of_reach(hub: HubFacts, model: Model) -> Finding | None:
    """Return why nothing can be said about a repository of the cache, or None."""
    ref = hub.folder / "refs" / hub.revision
    closed = (unreadable(model.host, p, tree=hub.folder) for p in (hub.folder, hub.folder / "snapshots", ref))
    found = next((f for f in closed if f is not None), None)
    if found is None and inspect_path(hub.folder).kind in ("missing", "dangling"):
        found = not_mounted(model.host, hub.folder)
    return dataclasses.replace(found, evidence={"repo_id": hub.repo_id, **found.evidence}) if found else None


def base_out_of_reach(model: Model) -> Finding | None:
    """Return why nothing is known of an adapter's base that was not found, or None."""
    base = model.base
    if base.place is not None and base.place.form == "absolute":
        path = base.place.tried[0]
        return not_mounted(model.host, path) or unreadable(model.host, path)
    return hub_out_of_reach(base.hub, model) if base.hub is not None else None


def writable_first(model: Model, folder: Path, fix: Fix) -> Fix:
    """Return the fix with what makes the cache ours in front, where it belongs to somebody else: root, after sudo."""
    command = make_ours(model.host, folder)
    if not command:
        return fix
    summary = f"The cache belongs to another user (a run with sudo does that): make it yours first. {fix.summary}"
    return Fix(summary=summary, commands=(command, *(c for c in fix.commands if not c.startswith("sage-doctor "))))
