"""Writing files so that a kill at any moment leaves the old content or the new, never a part of it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.text import printable


def write_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`: a temporary file beside it, flushed to disk, then renamed over it.

    Keeps the mode of a file that is replaced; a new one gets what the umask leaves. A pipe or device is written as
    it is. Raises `DoctorError` naming the path.
    """
    raw = text.encode("utf-8", "surrogateescape")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(raw)
            return
        target = Path(os.path.realpath(path))  # a link stays a link
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fchmod(file.fileno(), _mode_for(target))
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise DoctorError(f"{printable(str(path))} could not be written: {reason}") from error


def _mode_for(target: Path) -> int:
    try:
        return target.stat().st_mode & 0o7777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
