"""The kernel's one-line files, and other small texts of the system: absent or unreadable is None, never an error."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.system.path_info import UnreadableFile, read_start

MOST_BYTES = 64 * 1024


def read_text(path: Path, *, most: int = MOST_BYTES) -> str | None:
    """Return the text of a small file, at most `most` bytes of it; None where there is none to read."""
    try:
        raw = read_start(path, most)
    except UnreadableFile:
        return None
    return raw.decode("utf-8", "replace")


def read_line(path: Path) -> str | None:
    """Return the file's text without NULs (device trees end in one) and blanks around it; None where it has none."""
    text = read_text(path)
    return (text or "").replace("\0", "").strip() or None


def read_integer(path: Path) -> int | None:
    """Return the whole number a file holds; None where it holds something else, such as `max`."""
    line = read_line(path)
    return int(line) if line is not None and line.isascii() and line.isdigit() else None
