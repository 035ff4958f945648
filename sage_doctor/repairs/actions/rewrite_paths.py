"""Rewrites paths of other machines in scripts so that they work on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.findings.many import each_file
from sage_doctor.paths.find.files import repository, uncommitted
from sage_doctor.paths.rewrite.patch import Suggestions, plan_all, suggestions, unified_diff
from sage_doctor.paths.rewrite.plan import MOST_BYTES
from sage_doctor.paths.rewrite.python_source import rewritten
from sage_doctor.paths.rewrite.session_imports import lost_imports
from sage_doctor.paths.scan import scan
from sage_doctor.repairs.backup import unused_name
from sage_doctor.repairs.repair import FileRepairContext, Plan, RepairRefused, read_input, repair
from sage_doctor.subjects.host import Host
from sage_doctor.system.file_steps import Applied, all_of, write_file
from sage_doctor.system.frozen import frozen
from sage_doctor.system.seen import Seen, see
from sage_doctor.text import join_limited, printable, shell_quote


@frozen
class _Change:
    """One file with its old and new content."""

    path: Path
    old: bytes
    new: bytes
    seen: Seen


@repair(name="rewrite-paths", codes=["runner-hardcoded-path", "runner-path-here-only"], of_files=True)
def plan_rewrite_paths(context: FileRepairContext) -> Plan:
    """Rewrites paths of other machines in scripts relative to the script's own root, or as calls of `resolve`."""
    host = context.host
    files = [Path(each.file) for f in context.findings for each in each_file(f)]
    everything = plan_all(host, scan(host, lint=True).files)  # together they determine each other's roots
    planned = [p for p in everything if p.path in files]
    changes: list[_Change] = []
    obstacles = [p.obstacle for p in planned if p.obstacle]
    for edits in planned:
        try:
            new = rewritten(edits, edits.edits)
        except DoctorError as error:
            obstacles.append(str(error))
            continue
        if new != edits.raw:
            seen = see(edits.path)
            if read_input(edits.path, MOST_BYTES + 1) != edits.raw:
                raise seen.changed()
            changes.append(_Change(path=edits.path, old=edits.raw, new=new, seen=seen))
    if not changes:
        why = next(iter(obstacles), "none of its paths can be rewritten with certainty")
        raise RepairRefused(f"{why}. `sage-doctor paths` lists them.")
    top = repository(files[0])
    directory = host.manifest.directory if host.manifest is not None else files[0].parent
    _refuse_dirty(top, [c.path for c in changes], context)
    start = top or directory
    patch = b"".join(unified_diff(start, c.path, c.old, c.new) for c in changes)
    kept = unused_name(host, "patches", "rewrite-paths-{}.patch")
    maybe = suggestions(everything, start, done=True)
    rest = kept.with_name(kept.name.replace("rewrite", "suggested"))
    done = {c.path for c in changes}
    count = sum(len(p.edits) for p in planned if p.path in done)
    return Plan(
        subject="" if len(changes) == 1 else f"{len(changes)} files below {start}",
        action=f"rewrite {count} path{'' if count == 1 else 's'} in "
        f"{join_limited([c.path.name for c in changes], most=10)} "
        f"to work on every machine" + (" (all files or none)" if len(changes) > 1 else ""),
        reads=tuple(str(c.path) for c in changes),
        writes=(*(str(c.path) for c in changes), f"{kept} (the change as a patch)", *_of_suggestions(rest, maybe)),
        write_bytes=sum(len(c.new) for c in changes) + len(patch),
        seconds=1.0,
        runs="the sessions' interpreter, to check the scripts' imports; no script is run",
        unchanged="comments, docstrings, prompts, tests for a machine, and all other bytes of these files",
        undo_commands=(f"git -C {shell_quote(start)} apply -R {shell_quote(kept)}",),
        seen=tuple(c.seen for c in changes),
        diff=tuple(patch.decode("utf-8", "replace").splitlines()),
        suggests=maybe.lines,
        suggests_how=f"git -C {shell_quote(start)} apply {shell_quote(rest)}",
        apply=lambda _on_progress: _apply(host, changes, {kept: patch, rest: maybe.patch}),
    )


def _of_suggestions(path: Path, found: Suggestions) -> list[str]:
    return [f"{path} (what is suggested after it)"] if found.patch else []


def _refuse_dirty(top: Path | None, files: Sequence[Path], context: FileRepairContext) -> None:
    if top is None or context.options.allow_dirty:
        return
    manifest = context.host.manifest
    changed = uncommitted(top, files, but=[manifest.path] if manifest is not None else [])
    if changed is None:
        raise RepairRefused(
            f"git cannot tell whether {printable(str(top))} has uncommitted changes; --allow-dirty skips this test."
        )
    if changed:
        raise RepairRefused(
            f"the work tree of {printable(str(top))} has uncommitted changes "
            f"({join_limited(changed, most=3)}). "
            "Commit them first, or use --allow-dirty."
        )


def _apply(host: Host, changes: Sequence[_Change], patches: Mapping[Path, bytes]) -> Applied:
    """Write all files and patches or none; refuse if the change breaks an import."""
    before, after = [(c.path, c.old) for c in changes], [(c.path, c.new) for c in changes]
    reason = lost_imports(before, after, python=host.python, environ=host.environ)
    if reason:
        raise DoctorError(f"{printable(reason)}; nothing was changed")
    steps = [lambda c=c: write_file(c.path, c.new, seen=c.seen) for c in changes]
    kept = [lambda p=p, data=data: write_file(p, data) for p, data in patches.items() if data]
    return all_of([*kept, *steps])
