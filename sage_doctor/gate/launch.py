"""What follows a decision: the command in place of this process, or another one if sessions are kept out."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.gate.decision import Decision
from sage_doctor.text import format_duration, printable, shell_quote

PREFIX: Final = "SAGE_DOCTOR_MODEL_"
ON_BLOCKED_S: Final = 30.0


def find_command(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the program of a command. Raises `UsageError` where it is not there or cannot be run.

    Asked before anything is examined: a mistake in a crontab shows at once, not after the next reboot.
    """
    import shutil  # noqa: PLC0415 - brings three compression libraries; a gate without a command needs none

    found = shutil.which(command[0], path=environ.get("PATH") or os.defpath)
    if found is not None:
        return found
    name = shell_quote(command[0])
    if "/" in command[0] and os.path.isdir(command[0]):
        raise UsageError(f"{name} is a directory, not a program")
    if "/" in command[0] and os.path.exists(command[0]):
        raise UsageError(f"{name} cannot be run: it is not executable; chmod +x {name}")
    where = "" if "/" in command[0] else f" on PATH ({printable(environ.get('PATH') or os.defpath, limit=300)})"
    raise UsageError(f"no program {name}{where}; under cron write its whole path")


def model_variables(decision: Decision) -> dict[str, str]:
    """Return the variables that tell a command where the role's models are.

    `SAGE_DOCTOR_MODEL_<NAME>` is the model's directory, with `_BASE` behind it the directory of an adapter's base.
    NAME is in capitals, with `_` for everything but letters and digits. Where two models would have the same
    variable, neither gets it.
    """
    found: dict[str, str | None] = {}
    for name, place in decision.models.items():
        variable = PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())
        for key, value in ((variable, place.path), (f"{variable}_BASE", place.base)):
            if value is not None:
                found[key] = None if key in found and found[key] != value else value
    return {key: value for key, value in found.items() if value is not None}


def start(program: str, command: Sequence[str], environ: Mapping[str, str], decision: Decision) -> NoReturn:
    """Become the command. Raises `DoctorError` where the system refuses to start it."""
    # Python ignores these two; a program that inherits that would never be told that its reader is gone.
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        os.execve(program, list(command), {**environ, **model_variables(decision)})  # noqa: S606 - this is the point
    except (OSError, ValueError) as error:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        reason = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
        hint = "; does its first line name an interpreter (#!) that is there?" if isinstance(error, OSError) else ""
        raise DoctorError(f"{shell_quote(program)} could not be started: {reason}{hint}") from error


def split_on_blocked(text: str) -> list[str]:
    """Return the words of `--on-blocked`. Raises `UsageError` for what a shell could not split either."""
    import shlex  # noqa: PLC0415 - likewise

    try:
        words = shlex.split(text)
    except ValueError as error:
        reason = str(error).lower()
        raise UsageError(f"--on-blocked {printable(text, limit=200)} is not a command: {reason}") from error
    if not words or not words[0]:
        raise UsageError("--on-blocked names no command")
    return words


def run_on_blocked(words: Sequence[str], environ: Mapping[str, str], decision: Decision) -> str | None:
    """Run what was asked for where sessions are kept out, and return what went wrong with it, if anything.

    It learns the verdict from `SAGE_DOCTOR_VERDICT` and `SAGE_DOCTOR_REASON`, has half a minute, and its exit code
    never becomes the gate's: a notification that went out must not open the gate.
    """
    from sage_doctor.system.child import Child  # noqa: PLC0415 - a gate that opens needs none

    told = {"SAGE_DOCTOR_VERDICT": decision.state, "SAGE_DOCTOR_REASON": decision.reason}
    try:
        done = Child(words, timeout_s=ON_BLOCKED_S, env={**environ, **told}, output="ours").finish()
    except (OSError, ValueError) as error:  # ValueError: a NUL
        reason = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
        return f"--on-blocked {shell_quote(words[0])} could not be started: {reason}"
    if done.timed_out:
        return f"--on-blocked {shell_quote(words[0])} did not end within {format_duration(ON_BLOCKED_S)} and was killed"
    return f"--on-blocked {shell_quote(words[0])} ended with status {done.code}" if done.code else None
