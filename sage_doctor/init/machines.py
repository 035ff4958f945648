"""This host as a machine of the manifest, and other machines whose home directories the code names."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sage_doctor.init.models import can_be_written
from sage_doctor.init.names import free, name_of
from sage_doctor.init.scripts import Mention
from sage_doctor.system.location import foreign_home
from sage_doctor.system.path_info import inspect_path

MOST_MACHINES: Final = 10
_GENERATED: Final = re.compile(r"[0-9a-f]{12}\Z|localhost\Z|ip-\d")  # containers and clouds name hosts anew each time


@dataclass(frozen=True, kw_only=True)
class ThisHost:
    """The table to propose for this host. `python` is a virtual environment's, relative to the manifest."""

    name: str
    hostname: str
    home: str | None
    python: str | None

    @property
    def has_stable_name(self) -> bool:
        """Whether the hostname is one that a person chose."""
        return _GENERATED.match(self.hostname) is None


@dataclass(frozen=True, kw_only=True)
class OtherMachine:
    """A machine whose home directory the code names, and where."""

    name: str
    mention: Mention


def this_host(environ: Mapping[str, str], home: Path, directory: Path) -> ThisHost:
    """Return this host as a machine, named by `SAGE_MACHINE` if that is set."""
    hostname = os.uname().nodename.lower().partition(".")[0] or "localhost"
    return ThisHost(
        name=name_of(environ.get("SAGE_MACHINE") or hostname),
        hostname=hostname,
        home=str(home) if home != Path("/") and home.is_absolute() else None,
        python=_environment(directory),
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


def other_machines(
    homes: Mapping[str, Mention], home: Path, known: Collection[str], taken: Collection[str]
) -> list[OtherMachine]:
    """Return a machine for each home in the code that is not here and not `known`, named by its user."""
    found: list[OtherMachine] = []
    for text in sorted(homes):
        if text in known or not can_be_written(text) or foreign_home(Path(text) / "x", home) is None:
            continue
        name = free(name_of(text.rpartition("/")[2]), [*taken, *(m.name for m in found)])
        found.append(OtherMachine(name=name, mention=homes[text]))
    return found[:MOST_MACHINES]
