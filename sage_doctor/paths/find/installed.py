"""What is installed with this machine's schedulers: systemd units not from packages, and the user's crontab.

None of it belongs to a checkout, so it is only read on request.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from sage_doctor.paths.find.unit_file import UNIT_SUFFIXES
from sage_doctor.system.child import run
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path

CRONTAB = Path("crontab -l")  # a name for text that is not in a file a user may read
SYSTEM = Path("/etc/systemd/system")
MOST_UNITS = 2_000
DEADLINE_S = 10.0


@frozen
class Installed:
    """The unit files, and the text of the user's crontab, empty if there is none."""

    units: tuple[Path, ...] = ()
    crontab: bytes = b""


def find_installed(home: Path, environ: Mapping[str, str], *, system: Path = SYSTEM) -> Installed:
    """Return the user's units, those of the machine's administrator in `system`, and what `crontab -l` says.

    Links are left out: they lead to the units of packages, or to others that are read themselves.
    """
    config = environ.get("XDG_CONFIG_HOME", "")
    user = (Path(config) if config.startswith("/") else home / ".config") / "systemd/user"
    units = [path for directory in (user, system) for path in _units(directory)]
    done = run(["crontab", "-l"], timeout_s=DEADLINE_S, env=environ)
    return Installed(units=tuple(units[:MOST_UNITS]), crontab=done.out if done is not None and done.code == 0 else b"")


def _units(directory: Path) -> Iterator[Path]:
    try:
        machine_names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in machine_names:
        path = directory / name
        if path.suffix in UNIT_SUFFIXES and inspect_path(path).kind == "file" and not inspect_path(path).is_link:
            yield path
