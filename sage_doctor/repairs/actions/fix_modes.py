"""Makes files readable for the user that runs the sessions."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sage_doctor.findings.repairability import why_not_modes
from sage_doctor.repairs.repair import OnProgress, Plan, RepairContext, RepairRefused, repair
from sage_doctor.system.file_steps import Applied, wrap_os_errors

OTHERS = 0o444
OWNER = 0o400
ENTER = 0o500


@repair(name="fix-modes", codes=["path-unreadable", "weights-private-mode"])
def plan_fix_modes(context: RepairContext) -> Plan:
    """Gives the user that runs the sessions read permission."""
    finding, model = context.finding, context.model
    names = finding.evidence.get("files")
    named = [str(n) for n in names] if isinstance(names, list) else ["."]
    reason = why_not_modes(model, named)
    if reason:
        raise RepairRefused(f"{reason}. Check it with `ls -l` and change the mode by hand.")
    added = OTHERS if finding.code == "weights-private-mode" else OWNER
    changes: dict[Path, tuple[int, int]] = {}
    for name in named:
        path = Path(os.path.realpath(model.path / name))
        node = os.stat(path)
        mode = stat.S_IMODE(node.st_mode)
        changes[path] = (mode, mode | (ENTER if stat.S_ISDIR(node.st_mode) else added))

    def apply(_on_progress: OnProgress) -> Applied:
        done: list[Path] = []

        def rollback() -> None:
            for path in done:
                os.chmod(path, changes[path][0])

        try:
            for path, (_, new) in changes.items():
                with wrap_os_errors(path):
                    os.chmod(path, new)
                done.append(path)
        except BaseException:
            rollback()
            raise
        return Applied(rollback=rollback)

    return Plan(
        repair="fix-modes",
        subject=finding.subject,
        code=finding.code,
        action="add read permission; no permission is removed",
        reads=(),
        writes=tuple(f"{path}: mode {old:04o} -> {new:04o}" for path, (old, new) in changes.items()),
        unchanged="owners, contents, and files outside the directory that links point to",
        undo="; ".join(f"chmod {old:04o} {path.name}" for path, (old, _) in list(changes.items())[:3]),
        apply=apply,
    )
