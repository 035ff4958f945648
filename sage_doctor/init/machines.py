"""This host as a machine of the manifest, and the others that units, scripts and homes in the code name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sage_doctor.init.models import can_be_written
from sage_doctor.init.names import name_of
from sage_doctor.init.roles import Launcher
from sage_doctor.launchers.starters import Starter, homes_in
from sage_doctor.system.frozen import frozen
from sage_doctor.system.location import foreign_home
from sage_doctor.system.path_info import inspect_path

MOST_MACHINES: Final = 10
_GENERATED: Final = re.compile(r"[0-9a-f]{12}\Z|localhost\Z|ip-\d")  # containers and clouds name hosts anew each time


@frozen
class MachineFound:
    """A machine that the code names. `file` and `line` say where; `python` is what its units start scripts with."""

    name: str
    file: Path
    line: int
    home: str | None = None
    python: str | None = None


@frozen
class ThisHost:
    """The table to propose for this host. `python` is a virtual environment's, or that of its units."""

    name: str
    hostname: str
    home: str | None
    python: str | None

    @property
    def has_stable_name(self) -> bool:
        """Whether the hostname is one that a person chose."""
        return _GENERATED.match(self.hostname) is None


def machines_named(
    starters: Sequence[Starter], texts: Mapping[Path, str], launchers: Iterable[Launcher], home: Path
) -> list[MachineFound]:
    """Return the machines that units and scripts are for, then those whose homes the launchers name, by their user."""
    found: dict[str, MachineFound] = {}
    for name in sorted({s.machine for s in starters if s.machine}):
        own = [s for s in starters if s.machine == name]
        homes = {h: (s.path, line) for s in own for h, line in homes_in(texts[s.path])}
        file, line = next(iter(homes.values()), (own[0].path, 1))
        python = next((s.python for s in own if s.python), None)
        one = next(iter(homes)) if len(homes) == 1 else None
        found[name] = MachineFound(name=name, file=file, line=line, home=one, python=python)
    known = {m.home for m in found.values()} | {str(home)}
    for launcher in launchers:
        for text, line in launcher.homes:
            name = name_of(text.rpartition("/")[2])
            if text in known or foreign_home(Path(text) / "x", home) is None or not can_be_written(text):
                continue
            known.add(text)
            if name in found:
                continue  # a machine of that name, whose home is not certain
            found[name] = MachineFound(name=name, file=launcher.path, line=line, home=text)
    return list(found.values())[:MOST_MACHINES]


def this_host(environ: Mapping[str, str], home: Path, directory: Path, named: Sequence[MachineFound]) -> ThisHost:
    """Return this host as a machine: named by `SAGE_MACHINE`, else as the code names the one with this home or name."""
    hostname = os.uname().nodename.lower().partition(".")[0] or "localhost"
    same = [m.name for m in named if m.home == str(home)]
    alike = [m.name for m in named if m.name.lower() == hostname] or (same if len(same) == 1 else [])
    name = name_of(environ.get("SAGE_MACHINE") or (alike[0] if alike else hostname))
    started = next((m.python for m in named if m.name == name and m.python), None)
    there = started if started is not None and inspect_path(Path(started)).kind == "file" else None
    return ThisHost(
        name=name,
        hostname=hostname,
        home=str(home) if home != Path("/") and home.is_absolute() and can_be_written(home) else None,
        python=_environment(directory) or there,
    )


def _environment(directory: Path) -> str | None:
    """Return the interpreter of a virtual environment beside the manifest that sessions could run in."""
    for name in (".venv", "venv"):
        libraries = directory / name / "lib"
        try:
            pythons = sorted(os.listdir(libraries))
        except OSError:
            continue
        held = any(
            inspect_path(libraries / p / "site-packages" / "transformers").kind == "directory" for p in pythons[:20]
        )
        if held and inspect_path(directory / name / "bin" / "python").kind == "file":
            return f"{name}/bin/python"
    return None
