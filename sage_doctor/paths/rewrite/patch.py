"""The suggestions as a patch for `git apply`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.paths.find.files import repository
from sage_doctor.paths.rewrite.file_edits import Edit, FileEdits
from sage_doctor.paths.rewrite.plan import plan_edits, rewrite_context
from sage_doctor.paths.rewrite.python_source import rewritten, suggested
from sage_doctor.paths.scan import ScannedFile, scan
from sage_doctor.subjects.host import Host
from sage_doctor.system.frozen import frozen
from sage_doctor.text import shell_quote


@frozen
class Suggestions:
    """A patch below `top`, and how many paths it rewrites in which files. `obstacles` say why others have none."""

    top: Path
    patch: bytes = b""
    count: int = 0
    files: tuple[Path, ...] = ()
    obstacles: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The patch in lines, as a screen shows it."""
        return tuple(self.patch.decode("utf-8", "replace").splitlines())


def unified_diff(top: Path, path: Path, old: bytes, new: bytes) -> bytes:
    """Return a unified diff that `git apply` takes in `top`."""
    name = os.fsencode(os.path.relpath(path, top))
    ends = old.split(b"\n"), new.split(b"\n")  # lines as git counts them; `splitlines` also splits at other characters
    before, after = ([*(line + b"\n" for line in lines[:-1]), *lines[-1:]] for lines in ends)
    before, after = ([line for line in lines if line] for lines in (before, after))
    lines = difflib.diff_bytes(difflib.unified_diff, before, after, _named(b"a/" + name), _named(b"b/" + name))
    return b"".join(line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n" for line in lines)


def _named(name: bytes) -> bytes:
    """Return a name as git and patch take it: with a tab behind one that has blanks, quoted where it has signs."""
    if min(name) >= 0x20:
        return name + b"\t" if b" " in name else name
    signs = (b"\\%03o" % b if b < 0x20 else b"\\" + bytes([b]) if b in b'"\\' else bytes([b]) for b in name)
    return b'"' + b"".join(signs) + b'"'


def how_to_take(found: Suggestions, manifest: str | None = None) -> str:
    """Return the command that applies a reviewed patch, wherever it is typed; an empty text if there is none.

    `manifest` is the one that was named with --manifest.
    """
    if not found.patch:
        return ""
    options = [] if manifest is None else ["--manifest", os.path.abspath(manifest)]
    words = " ".join(shell_quote(word) for word in (*options, *found.files))
    return f"sage-doctor paths --patch {words} | git -C {shell_quote(found.top)} apply"


def plan_all(host: Host, found: Sequence[ScannedFile]) -> list[FileEdits]:
    """Return the plans for files with paths that a run would take."""
    wrong = [scanned for scanned in found if scanned.broken_paths or scanned.local_paths]
    context = rewrite_context(host) if wrong else None
    return [plan_edits(scanned, context) for scanned in wrong] if context is not None else []


def suggestions(planned: Sequence[FileEdits], top: Path, *, done: bool) -> Suggestions:
    """Return what is only suggested for files below `top`: for as they are, or with `done` for as they will be.

    They will be as their certain edits make them. Raises `DoctorError` where libcst is not installed.
    """
    patch, files, obstacles = b"", [], []
    count = 0
    for plan in planned:
        if not plan.suggestions or not plan.path.is_relative_to(top):
            continue
        before: Sequence[Edit] = plan.edits if done else ()
        try:
            old = rewritten(plan, before)
        except DoctorError:
            before, old = (), plan.raw
        try:
            new, applied = suggested(plan, before)
        except DoctorError as error:
            obstacles.append(str(error))
            continue
        if new != old:
            patch += unified_diff(top, plan.path, old, new)
            files.append(plan.path)
            count += len(applied)
    return Suggestions(top=top, patch=patch, count=count, files=tuple(files), obstacles=tuple(obstacles))


def suggestions_of(host: Host, *, only: Sequence[Path] | None = None) -> list[Suggestions]:
    """Return what is suggested for the files of this host as they are, or for `only` those: one patch a repository."""
    planned = plan_all(host, scan(host, lint=True, only=only).files)
    directory = host.manifest.directory if host.manifest is not None else host.root or host.cwd
    tops: dict[Path, list[FileEdits]] = {}
    for plan in planned:
        top = repository(plan.path) or (directory if plan.path.is_relative_to(directory) else plan.path.parent)
        tops.setdefault(top, []).append(plan)
    found = [suggestions(plans, top, done=False) for top, plans in tops.items()]
    return [s for s in found if s.patch or s.obstacles]
