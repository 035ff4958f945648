"""Files that the user running sessions may not read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sage_doctor.findings.repairability import why_not_modes
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, Tell, repair
from sage_doctor.system.file_steps import Applied, wrap_os_errors

OTHERS = 0o444
OWNER = 0o400
ENTER = 0o500


@repair(name="fix-modes", codes=["path-unreadable", "weights-private-mode"])
def plan_fix_modes(situation: RepairContext) -> Plan:
    """Gives the user that runs sessions leave to read the files."""
    finding, model = situation.finding, situation.model
    names = finding.evidence.get("files")
    named = [str(n) for n in names] if isinstance(names, list) else ["."]
    obstacle = why_not_modes(model, named)
    if obstacle:
        raise RepairRefused(f"{obstacle}. Look at it with `ls -l`, and change the mode by hand if that is right.")
    added = OTHERS if finding.code == "weights-private-mode" else OWNER
    changes: dict[Path, tuple[int, int]] = {}
    for name in named:
        path = Path(os.path.realpath(model.path / name))
        node = os.stat(path)
        mode = stat.S_IMODE(node.st_mode)
        changes[path] = (mode, mode | (ENTER if stat.S_ISDIR(node.st_mode) else added))

    def apply(_on_progress: Tell) -> Applied:
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
        does="adds permission to read to the mode bits, and takes none away",
        reads=(),
        writes=tuple(f"{path}: mode {old:04o} becomes {new:04o}" for path, (old, new) in changes.items()),
        leaves="owners, contents, and every file that a link outside the directory leads to",
        undo="; ".join(f"chmod {old:04o} {path.name}" for path, (old, _) in list(changes.items())[:3]),
        apply=apply,
    )
