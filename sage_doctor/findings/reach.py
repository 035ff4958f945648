"""What is out of reach: on a disk that is not mounted, closed to this user, or lost. Nothing else is known of it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.findings.access import make_ours, unreadable
from sage_doctor.findings.making import finding
from sage_doctor.findings.scripts import surely_used, used_only, whose
from sage_doctor.findings.volumes import lacking_volume, not_mounted
from sage_doctor.report import Finding, Fix
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts
    from sage_doctor.paths.find import ClassifiedPath, PathReference
    from sage_doctor.paths.scan import ScannedFile
    from sage_doctor.subjects.host import Host
    from sage_doctor.subjects.model import Model

_SHOWN = 50


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


def lost_paths(seen: ScannedFile, host: Host) -> Iterator[Finding]:
    """Yield that a runner needs what is not on this machine, or on a disk that is not mounted."""
    lost, apart = [], None
    for reference, placed in seen.missing_paths if seen.roles else ():
        found = lacking_volume(host, os.path.normpath(reference.text))
        if found is None:
            lost.append((reference, placed))
        elif apart is None:
            message = f"line {reference.line}: {found.message}"
            apart = dataclasses.replace(found, subject=seen.subject, message=message)
    if apart is not None:
        yield apart
    if lost:
        yield _missing(seen, lost)


def _missing(seen: ScannedFile, lost: list[tuple[PathReference, ClassifiedPath]]) -> Finding:
    needed = [r for r, _ in lost if r.usage == "use" and r.need == "needed"]
    certain = surely_used(needed)
    first = certain or (*needed, *(r for r, _ in lost))[0]
    sure = certain is not None and not seen.script.problem
    more = f" ({len(lost)} such paths)" if len(lost) > 1 else ""
    place = seen.elsewhere.get(first.text)
    lies = f"; here it is {printable(str(place), limit=300)}" if place is not None else ""
    kind = "the default path " if first.usage == "fallback" else ""
    return finding(
        "runner-path-missing",
        f"line {first.line}: {kind}{printable(first.text, limit=300)} does not exist on this machine{more}{lies}"
        + ("" if certain else used_only(first))
        + whose(seen),
        subject=seen.subject,
        severity="error" if sure else "warning",
        evidence={
            "file": str(seen.script.path),
            "count": len(lost),
            "lines": [r.line for r, _ in lost[:_SHOWN]],
            "paths": [
                {"line": r.line, "path": r.text, **({"here": str(p)} if (p := seen.elsewhere.get(r.text)) else {})}
                for r, _ in lost[:_SHOWN]
            ],
            "path": first.text,
            "candidates": [{"path": str(place), "why": "the same trailing path"}] if place is not None else [],
        },
        fix=Fix(
            summary=f"Write the path that is right now: {printable(str(place), limit=300)}."
            if place is not None
            else "Write the path that is right now, or bring the files there.",
            commands=(f"sage-doctor paths {shell_quote(seen.script.path)}",),
        ),
    )
