"""How to start sage-doctor without a login environment: minimal PATH, another directory, no variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.system import child
from sage_doctor.text import printable, shell_quote

BARE_PATH = "/usr/bin:/bin"
_NAME = "sage-doctor"


def own_program(called_as: str) -> tuple[str, ...]:
    """Return the words that start this doctor: the script it was `called_as`, else its interpreter and module.

    Links are kept: Python finds a virtual environment by the location of its link.
    """
    script = os.path.abspath(called_as)
    if os.path.basename(script) == _NAME and os.path.isfile(script) and os.access(script, os.X_OK):
        return (script,)
    # -P: a directory sage_doctor in the home that cron starts in must not be taken for the package.
    safe = ("-P",) if sys.version_info >= (3, 11) else ()
    return (sys.executable, *safe, "-m", "sage_doctor")


def prove(program: tuple[str, ...], home: Path, environment: Mapping[str, str]) -> None:
    """Start the program as a scheduler would, in an empty environment. Raises `DoctorError` if it does not start."""
    env = {"HOME": str(home), "PATH": BARE_PATH, "SHELL": "/bin/sh", **environment}
    done = child.run([*program, "--version"], timeout_s=60, env=env, cwd=Path("/"))
    if done is not None and done.code == 0 and done.out.startswith(b"sage-doctor "):
        return
    said = (done.err or done.out).decode("utf-8", "replace").strip().rpartition("\n")[2] if done is not None else ""
    reason = f": {printable(said, limit=300)}" if said else ""
    words = " ".join(shell_quote(word) for word in program)
    raise DoctorError(
        f"`{words}` does not start in an empty environment, as a scheduler starts it{reason}; install sage-doctor into "
        "that interpreter (pip install sage-doctor) and run install from there. Nothing was changed"
    )
