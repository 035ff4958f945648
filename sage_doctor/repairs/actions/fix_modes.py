"""Makes files readable for the user that runs the sessions."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from sage_doctor.findings.repairability import why_not_modes
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.system.file_steps import Applied, all_of, wrap_os_errors
from sage_doctor.system.frozen import frozen
from sage_doctor.system.seen import Seen, fields, see
from sage_doctor.text import shell_quote

OTHERS = 0o444
OWNER = 0o400
ENTER = 0o500


@frozen
class _Change:
    """One file with its old and new mode."""

    seen: Seen
    old: int
    new: int

    def apply(self) -> Applied:
        """Give it the new mode."""
        _set_mode(self.seen, self.new)
        now = see(self.seen.path)
        return Applied(rollback=lambda: _set_mode(now, self.old))


@repair(name="fix-modes", codes=["path-unreadable", "weights-private-mode"])
def plan_fix_modes(context: RepairContext) -> Plan:
    """Gives the user that runs the sessions read permission."""
    finding, model = context.finding, context.model
    names = finding.evidence.get("files")
    named = [str(n) for n in names] if isinstance(names, list) else ["."]
    real = {Path(os.path.realpath(model.path / name)): name for name in named}
    seen = [see(path) for path in real]
    reason = why_not_modes(model, named) or next(
        (f"{n} was just replaced" for p, n in real.items() if os.path.realpath(model.path / n) != str(p)), ""
    )
    if reason:
        raise RepairRefused(f"{reason}. Check it with `ls -l` and change the mode by hand.")
    added = OTHERS if finding.code == "weights-private-mode" else OWNER
    changes = [change for one in seen for change in _changes(one, added)]
    if all(c.old == c.new for c in changes):
        raise RepairRefused("the owner may read it already: it takes another owner, group or access list.")
    return Plan(
        action="add read permission; no permission is removed",
        writes=tuple(f"{c.seen.path}: mode {c.old:04o} -> {c.new:04o}" for c in changes),
        unchanged="owners, contents, and files outside the directory that links point to",
        undo_commands=tuple(_undo(changes)),
        apply=lambda _on_progress: all_of([c.apply for c in changes]),
    )


def _changes(seen: Seen, added: int) -> Iterable[_Change]:
    """Yield the change of a file or directory. What is neither is not touched: opening it may do something."""
    form = seen.mode
    old = stat.S_IMODE(form)
    if stat.S_ISREG(form) or stat.S_ISDIR(form):
        yield _Change(seen=seen, old=old, new=old | (ENTER if stat.S_ISDIR(form) else added))


def _undo(changes: list[_Change]) -> Iterable[str]:
    for old in sorted({c.old for c in changes}):
        yield " ".join([f"chmod {old:04o}", *(shell_quote(c.seen.path) for c in changes if c.old == old)])


def _set_mode(seen: Seen, mode: int) -> None:
    """Give a file another mode by its descriptor, if it is still the one that was seen. Raises `DoctorError`."""
    with wrap_os_errors(seen.path), seen.held() as directory:
        name = seen.path.name
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
            way: int | str = handle
        except PermissionError:
            if not hasattr(os, "O_PATH"):  # macOS: no descriptor without a permission, but a name that is not followed
                os.chmod(name, mode, dir_fd=directory, follow_symlinks=False)
                return
            handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            way = f"/proc/self/fd/{handle}"
        try:
            if fields(os.fstat(handle)) != seen.state:
                raise seen.changed()
            os.chmod(way, mode)
        finally:
            os.close(handle)
