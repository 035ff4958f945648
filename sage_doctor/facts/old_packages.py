"""Packages that were installed for another Python than the one that runs: what an upgrade of Python leaves behind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.readers.versions import plain_name
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.small_text import read_text

_MINOR = re.compile(r"python(?P<minor>\d+\.\d+)t?")
_DISTRIBUTION = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)\.dist-info")
_MOST_ENTRIES = 20_000


@frozen
class OldPackages:
    """Packages of another Python. `minor` is that Python (`3.10`), `environment` the virtual one, None elsewhere."""

    minor: str
    place: Path
    packages: frozenset[str]
    environment: Path | None = None


@frozen
class VirtualEnvironment:
    """A virtual environment by its `pyvenv.cfg`: where it is, and the Python it was made with (`3.10.13`)."""

    directory: Path
    made_with: str = ""


def virtual_environment(python: str | os.PathLike[str]) -> VirtualEnvironment | None:
    """Return the virtual environment that an interpreter belongs to by where its name lies; it need not exist."""
    directory = Path(python).parent.parent
    text = read_text(directory / "pyvenv.cfg")
    if text is None:
        return None
    match = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+[\w.]*)", text, re.MULTILINE)
    return VirtualEnvironment(directory=directory, made_with=match[1] if match else "")


def old_packages(python: str, *, version: str | None, prefix: str | None, home: Path) -> list[OldPackages]:
    """Return the packages of other Pythons in the interpreter's environment, the newest first.

    `version` is what it runs, None where it does not run: then all there are count.
    """
    now = ".".join(version.split(".")[:2]) if version else ""
    made = virtual_environment(python)
    if made is not None:
        bases = [made.directory / "lib"]
    elif prefix is not None:
        bases = [Path(prefix) / "lib", Path(prefix) / "local/lib", home / ".local/lib"]
    else:
        return []
    found = []
    for minor, place in (one for base in bases for one in _places(base)):
        packages = _distributions(place) if minor != now else frozenset()
        if packages:
            where = made.directory if made is not None else None
            found.append(OldPackages(minor=minor, place=place, packages=packages, environment=where))
    return sorted(found, key=lambda o: [int(n) for n in o.minor.split(".")], reverse=True)


def _places(base: Path) -> Iterator[tuple[str, Path]]:
    try:
        names = sorted(os.listdir(base))[:_MOST_ENTRIES]
    except OSError:
        return
    for name in names:
        match = _MINOR.fullmatch(name)
        for last in ("site-packages", "dist-packages") if match else ():
            if inspect_path(base / name / last).kind == "directory":
                yield match["minor"], base / name / last  # type: ignore[index]


def _distributions(place: Path) -> frozenset[str]:
    try:
        names = os.listdir(place)[:_MOST_ENTRIES]
    except OSError:
        return frozenset()
    return frozenset(plain_name(m["name"]) for n in names if (m := _DISTRIBUTION.fullmatch(n)))
