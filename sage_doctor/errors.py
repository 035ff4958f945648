"""The errors a person may see: each says what is wrong, where, and what to do next."""

from __future__ import annotations

import errno
import os
from typing import Final


class DoctorError(Exception):
    """Something stopped the doctor before or outside the checks.

    `exit_code` is what the command line exits with; the text is shown as it is, without a traceback.
    """

    exit_code = 3


# What a system says when it has no more of something; no file and no model is at fault.
_SCARCE: Final = {
    errno.EAGAIN: "no further process or thread can be started: a limit is reached (ulimit -u, or a container's)",
    errno.ENOMEM: "the system gives no more memory",
    errno.EMFILE: "this process may open no more files (ulimit -n)",
    errno.ENFILE: "the system opens no more files",
    errno.ENOSPC: "no space left on device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not grow any more (ulimit -f)",
    errno.EROFS: "the file system is read-only",
}


def system_refusal(error: BaseException) -> str | None:
    """Return in a sentence what the system refuses to give, None for an error of any other kind."""
    if isinstance(error, MemoryError):
        return _SCARCE[errno.ENOMEM]
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return _SCARCE[errno.EAGAIN]
    if isinstance(error, FileNotFoundError) and "usable temporary directory" in str(error):  # the `tempfile` module's
        return "no directory for temporary files can be written to; set TMPDIR to one"
    said = _SCARCE.get(error.errno or 0) if isinstance(error, OSError) else None
    name = error.filename if isinstance(error, OSError) else None
    return f"{os.fsdecode(name)}: {said}" if said is not None and isinstance(name, (str, bytes)) else said


class UsageError(DoctorError):
    """The command or the request makes no sense as it stands: nothing was checked."""

    exit_code = 2


class UnknownTarget(UsageError):
    """A target names no model, role or directory."""


class ManifestError(UsageError):
    """The manifest cannot be used. `problems` holds one `file:line: message` line for each thing wrong."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class NothingSelected(DoctorError):
    """There is nothing to examine: no manifest, no model directory, or a role without models (exit 3)."""


class Blocked(Exception):
    """Raised inside a check whose subject cannot be judged because of a cause reported elsewhere.

    `code` is the finding code of that cause; the check becomes `skip` with `blocked by CODE`.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(f"blocked by {code}")


class NotApplicable(Exception):
    """Raised inside a check that has nothing to say about this subject; the text becomes the skip's reason."""


class ModelNotFound(DoctorError):
    """A model that a script asked for is not complete on this machine; the text is the doctor's finding."""

    exit_code = 1


# The errors whose kind a caller looks at, also where one comes from another process.
_PASSED: Final = {k.__name__: k for k in (DoctorError, UsageError, UnknownTarget, NothingSelected, ModelNotFound)}


def to_message(error: DoctorError) -> dict[str, str]:
    """Return an error as what a child can send: its text, and the nearest kind of those that callers look at."""
    kind = next(above.__name__ for above in type(error).__mro__ if above.__name__ in _PASSED)
    return {"text": str(error), "kind": kind}


def from_message(message: dict[str, str]) -> DoctorError:
    """Return the error that `to_message` made a message of."""
    return _PASSED[message["kind"]](message["text"])
