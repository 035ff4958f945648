"""The user's own ssh: a script on another machine, without a question, a terminal or a forward.

Who may log in where, under which name, through which port and with which key is the matter of the user's own
configuration. BatchMode: where ssh would ask for a password or whether a host is known, it fails instead.
"""

from __future__ import annotations

import os
import shutil
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.system.child import ChildResult, run
from sage_doctor.text import is_host_name, printable

CONNECT_S: Final = 15
SSH: Final = (
    *("ssh", "-T", "-a", "-x", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", "-o", "ClearAllForwardings=yes"),
)
# A login without a terminal finds less than a person's does: where pipx and `fleet install` put a doctor.
FIND_DOCTOR: Final = 'PATH="$PATH:$HOME/.local/bin:/opt/sage-doctor/bin:/usr/local/bin"'
_FAILED: Final = 255  # ssh's own exit code where it did not get there


class Unreachable(DoctorError):
    """Another machine could not be asked. The text says why, in ssh's words."""


def why_not_host(host: str) -> str:
    """Return why a name cannot be a host to log in to, or an empty text."""
    if is_host_name(host):
        return ""
    return f"{printable(host, limit=80)} is not a host name: letters, digits, `.`, `_` and `-`, no `-` in front"


def require_programs(*names: str) -> None:
    """Raise `DoctorError` where one of the programs is not installed."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        packages = " ".join("openssh-client" if n == "ssh" else n for n in missing)
        what = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
        raise DoctorError(f"{what}. Install it (`apt install {packages}`), then try again.")


def run_there(host: str, script: str, *, timeout_s: float) -> tuple[int, bytes]:
    """Run a POSIX sh script on a host; return its exit code and what it printed. Raises `Unreachable`, `DoctorError`.

    The script is sent to `sh -s`, so that the login shell there reads nothing of it, and has no standard input of its
    own. What that shell prints by itself (greetings in `.bashrc`) is left out.
    """
    refusal = why_not_host(host)
    if refusal:
        raise Unreachable(refusal)
    mark = f"sage-doctor-{os.urandom(8).hex()}"
    # In braces it is read as a whole before it runs: what it starts cannot eat the rest of it.
    ask = f"{{\nprintf %s {mark}\n{script}\n}} </dev/null\n".encode("utf-8", "surrogateescape")
    done = run([*SSH, "--", host, "sh", "-s"], timeout_s=timeout_s, ask=ask)
    if done is None:
        raise DoctorError("ssh is not installed. Install it (`apt install openssh-client`), then try again.")
    _, found, said = done.out.partition(mark.encode())
    if done.code is None or done.code == _FAILED or not found:
        raise Unreachable(f"ssh {host} failed: {_why(done, timeout_s)}. Try `ssh {host} true`")
    return done.code, said


def _why(done: ChildResult, timeout_s: float) -> str:
    if done.timed_out:
        return f"no answer within {round(timeout_s)} s"
    if done.flooded:
        return "it printed too much"
    return printable(done.last_error.strip().removeprefix("ssh: ").rstrip(".") or "no reason given", limit=300)
