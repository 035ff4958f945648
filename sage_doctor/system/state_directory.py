"""Where the doctor keeps what it remembers, and whether the process that left something there still lives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home_of(environ: Mapping[str, str]) -> Path:
    """Return the home directory that an environment names, else the one that the system knows of this user."""
    return Path(environ.get("HOME") or os.path.expanduser("~"))


def state_directory(environ: Mapping[str, str], home: Path | None = None) -> Path:
    """Return where this user's doctor keeps what it must remember; systemd may list several, the first counts."""
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if os.path.isabs(given):
        return Path(given)
    base = environ.get("XDG_STATE_HOME", "")
    return (Path(base) if os.path.isabs(base) else (home or home_of(environ)) / ".local" / "state") / "sage-doctor"


def cache_directory(environ: Mapping[str, str], home: Path | None = None) -> Path:
    """Return where this user's doctor keeps what it could find out again: `$XDG_CACHE_HOME/sage-doctor`."""
    base = environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else (home or home_of(environ)) / ".cache") / "sage-doctor"


def hash_cache(environ: Mapping[str, str], home: Path | None = None) -> Path:
    """Return the file that remembers hashes of files, by their fingerprints."""
    return cache_directory(environ, home) / "hashes.json"


def alive(pid: object) -> bool:
    """Return whether a process of that number runs on this machine; what is no number is none."""
    if type(pid) is not int or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
