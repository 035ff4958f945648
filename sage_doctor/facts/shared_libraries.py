"""Where a shared library lies that the loader of a session does not find, and who names that directory."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.small_text import read_text

# What vendors' installers make; the linker looks into none of these by itself.
_PLACES = (
    *("usr/local/cuda*/lib64", "usr/local/cuda*/targets/*/lib", "usr/local/cuda*/compat", "usr/local/lib*"),
    *("opt/*/lib*", "opt/*/*/lib*", "opt/*/*/*/lib*", "usr/lib/*/nvidia*", "usr/lib/*/tegra", "usr/lib/wsl/lib"),
)
# What a login reads, and a unit, a cron job or a container does not.
_PROFILES = (".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin")
_SYSTEM = ("etc/profile", "etc/bash.bashrc", "etc/environment", "etc/zsh/zshrc", "etc/profile.d/*.sh")
_SETS = re.compile(r"""^[^#\n]*\bLD_LIBRARY_PATH\s*=\s*["']?(?P<value>[^"'\s;#]+)""", re.MULTILINE)
_MOST_ENTRIES = 2000


@frozen
class LibraryPlace:
    """A directory that holds the library; `named_by` is `FILE:LINE` of a login shell's LD_LIBRARY_PATH, or empty."""

    directory: Path
    named_by: str = ""


def find_library(name: str, *, home: Path, near: Iterable[Path] = (), root: Path = Path("/")) -> list[LibraryPlace]:
    """Return where a library of that file name lies: what login shells name first. `near` are site-packages."""
    found: dict[str, LibraryPlace] = {}
    named = _named(home, root)
    environment = (p for site in near for p in (*_matching(site, "nvidia/*/lib"), site / "torch/lib"))
    for directory in (*named, *(p for place in _PLACES for p in _matching(root, place)), *environment):
        if inspect_path(directory / name).kind == "file":
            real = os.path.realpath(directory)
            found.setdefault(real, LibraryPlace(directory=directory, named_by=named.get(directory, "")))
    return list(found.values())


def _named(home: Path, root: Path) -> dict[Path, str]:
    """Return the directories that login shells put into LD_LIBRARY_PATH, each with the line that does."""
    found: dict[Path, str] = {}
    files = [home / name for name in _PROFILES] + [p for name in _SYSTEM for p in _matching(root, name)]
    for file in files:
        text = read_text(file) or ""
        for match in _SETS.finditer(text):
            line = text.count("\n", 0, match.start("value")) + 1
            for word in match["value"].split(":"):
                part = re.sub(r"^(?:~|\$HOME|\$\{HOME\})(?=/)", str(home), word)
                if part.startswith("/") and "$" not in part:
                    found.setdefault(Path(part), f"{file}:{line}")
    return found


def _matching(base: Path, pattern: str) -> Iterator[Path]:
    """Yield the paths below `base` that match a pattern, part by part; no link is followed round in circles."""
    first, _, rest = pattern.partition("/")
    if not any(c in first for c in "*?["):
        names = [first]
    else:
        try:
            names = sorted(fnmatch.filter(os.listdir(base)[:_MOST_ENTRIES], first))
        except OSError:
            return
    for name in names:
        if rest:
            yield from _matching(base / name, rest)
        elif inspect_path(base / name).kind in ("file", "directory"):
            yield base / name
