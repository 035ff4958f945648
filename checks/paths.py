"""Where models are said to be, and whether they are there."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.bases import SIMILAR
from sage_doctor.findings.access import unreadable, unreadable_file, with_modes
from sage_doctor.findings.candidates import as_candidates, copy_commands, where_it_may_be
from sage_doctor.findings.fetching import copy_from_elsewhere
from sage_doctor.findings.repairability import why_not_modes
from sage_doctor.findings.restore import copy_model, merge_commands, with_repair
from sage_doctor.findings.volumes import is_empty, not_mounted
from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable, shell_quote

ORDER = 40  # of the check files: causes before consequences


@check("static")
def check_path(model: Model) -> Iterator[Finding]:
    """The declared path leads to a directory."""
    if model.hub is not None:
        raise NotApplicable("it is in the Hugging Face cache")
    node = model.location.node
    shown = printable(str(model.path))
    evidence = {"path": str(model.path)}
    apart = _volume(model)
    if apart is not None:
        yield apart
    elif node.kind == "missing" and inspect_path(model.location.existing).kind in ("dangling", "loop"):
        link = model.location.existing
        yield finding(
            "path-dangling-symlink",
            f"{shown} does not exist: on the way to it, {printable(str(link))} is "
            f"{printable(inspect_path(link).detail)}",
            evidence={**evidence, "link": str(link)},
            fix=Fix(summary="Point the link at an existing directory, or mount its target."),
        )
    elif node.kind == "missing":
        yield _missing(model)
    elif node.kind in ("dangling", "loop"):
        yield finding(
            "path-dangling-symlink",
            f"{shown} is {printable(node.detail)}",
            evidence=evidence,
            fix=Fix(summary="Point the link at an existing directory, or name that directory in the manifest."),
        )
    elif node.kind == "unreadable":
        yield unreadable(model.host, model.path) or finding(
            "path-unreadable",
            f"{shown} cannot be inspected: {node.detail}",
            evidence=evidence,
            fix=Fix(
                summary="Give this user access to every directory on the way.",
                commands=(f"namei -l {shell_quote(model.path)}",),
            ),
        )
    elif node.kind != "directory":
        what = node.detail or "a file"
        yield finding(
            "path-not-directory",
            f"{shown} is {what}, not a model directory",
            evidence=evidence,
            fix=Fix(
                summary="Name the directory that holds the model's files.",
                commands=(f"sage-doctor check {shell_quote(model.path.parent)}",) if model.spec is None else (),
            ),
        )
    else:
        yield from _closed(model)


def _volume(model: Model) -> Finding | None:
    """Return the finding for a volume that is not mounted, where nothing is at the path, or an empty directory."""
    node = model.location.node
    if node.kind in ("missing", "dangling") or (node.kind == "directory" and is_empty(model.path)):
        return not_mounted(model.host, model.path)
    return None


def _closed(model: Model) -> Iterator[Finding]:
    """Yield the finding for a directory that cannot be listed, or a file in it that a loader reads and we cannot."""
    found = unreadable(model.host, model.path)
    if found is not None:
        yield with_modes(found, model, ["."])
    elif os.getuid() == 0 and not _enterable(model):
        node = model.location.node
        fix = Fix(summary="Allow reading and entering.", commands=(f"chmod u+rx {shell_quote(model.path)}",))
        yield finding(
            "path-unreadable",
            f"{printable(str(model.path))} has mode {node.mode:04o}: the user running sessions cannot list or enter it",
            evidence={"path": str(model.path), "mode": f"{node.mode:04o}", "owner": node.uid},
            fix=fix if why_not_modes(model, ["."]) else with_repair(fix, model, "fix-modes"),
        )
    else:
        file = unreadable_file(model)
        if file is not None:
            yield file


def _enterable(model: Model) -> bool:
    """Ask the mode bits: root may enter anything, and a session that is not root may not."""
    node = model.location.node
    return bool(node.mode & 0o444) and bool(node.mode & 0o111)


def _missing(model: Model) -> Finding:
    location = model.location
    shown = printable(str(model.path))
    foreign = location.foreign_home
    near = [
        {"path": str(p), "why": "the same trailing path" if p.name == model.path.name else "a similar name"}
        for p in location.near
    ]
    others = (
        as_candidates(c for c in model.candidates(model.path.name) if c.rank <= SIMILAR)
        if model.kind != "adapter"
        else []
    )
    seen = {c["path"] for c in near}
    evidence = {
        "path": str(model.path),
        "exists_up_to": str(location.existing),
        "candidates": near + [c for c in others if c["path"] not in seen],
    }
    what_now = "Correct the path in the manifest" if model.spec else "Correct the path"
    if foreign is not None:
        evidence["foreign_home"] = foreign
        return finding(
            "path-foreign-home",
            f"{shown} is in {printable(foreign)}, another machine's or user's home, and does not exist here",
            evidence=evidence,
            fix=Fix(
                summary=f'{what_now}: write it with a variable (path = "{{zoo}}/…") that each machine sets to its own '
                f"directory.{where_it_may_be(evidence['candidates'])}",
                commands=copy_commands(near),
            ),
        )
    empty = is_empty(location.existing)  # as a mount point is whose server has gone, and any directory may be
    perhaps = f"If a disk or a server is usually mounted at {printable(str(location.existing))}, mount it. "
    what_now = f"{perhaps}Otherwise c{what_now[1:]}" if empty else what_now
    copy = copy_from_elsewhere(model, ()) if empty or near else copy_model(model, ())
    where = where_it_may_be(evidence["candidates"]) if near or copy is None else ""
    if copy is None:
        fix = Fix(summary=f"{what_now}, or bring the model here.{where}", commands=copy_commands(near))
    elif empty:  # nothing is copied below a mount point
        fix = Fix(summary=f"{what_now}. {copy.summary}{where}", commands=copy_commands(near))
    elif near:  # it may only have been moved
        fix = Fix(summary=f"{what_now}. {copy.summary}{where}", commands=(*copy_commands(near), *copy.commands))
    else:
        fix = copy
    return finding(
        "path-missing",
        f"{shown} does not exist; the deepest existing parent is {printable(str(location.existing))}"
        + (", which is empty" if empty else ""),
        evidence=evidence,
        fix=_merged_anew(model) if _can_be_merged(model) else fix,
    )


def _can_be_merged(model: Model) -> bool:
    return bool(merge_commands(model)) and inspect_path(model.path.parent).kind == "directory"


def _merged_anew(model: Model) -> Fix:
    summary = "The manifest says how to merge it: merge it, or copy it from a machine that has it."
    return with_repair(Fix(summary=summary, commands=merge_commands(model)), model, "merge")
