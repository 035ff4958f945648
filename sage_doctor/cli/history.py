"""`sage-doctor history`: show earlier runs, and what they measured on each machine.

`--accept` takes what the newest run measured as the new normal. Exits with 0 also where nothing is written down yet.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_doctor.cli.options import add_manifest
from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.text import format_bytes, format_number, join_limited, printable

if TYPE_CHECKING:
    from sage_doctor.subjects.host import Host

_MOST_FINDINGS = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", nargs="?", metavar="MODEL|ROLE", help="show only what concerns it")
    add_manifest(parser)
    parser.add_argument("-n", "--limit", type=_count, default=20, metavar="N", help="how many runs (default: 20)")
    parser.add_argument(
        "-f", "--format", dest="history_format", choices=("terminal", "json"), default="terminal", help="text or JSON"
    )
    parser.add_argument(
        "--accept", action="store_true", help="what was measured last is normal from now on, for MODEL or for all"
    )


def run(options: argparse.Namespace) -> int:
    """Show the history, or accept what is new. Raises `DoctorError` where it cannot be read or written."""
    from sage_doctor.history.listing import Wanted, listing  # noqa: PLC0415 - --help needs no SQLite

    host = host_of(options.manifest)
    manifest = host.manifest
    if (
        options.name is not None
        and manifest is not None
        and options.name not in {*manifest.roles, *manifest.unavailable_here}
    ):
        manifest.model(options.name)  # says which name may have been meant
    if options.accept:
        return _accept(host, options.name)
    wanted = Wanted(manifest=str(manifest.path) if manifest else None, name=options.name, limit=options.limit)
    found = listing(file_of(host), wanted)
    if options.history_format == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    for line in _lines(found):
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    return 0


def host_of(manifest: str | None) -> Host:
    """Return this host with the manifest in use, if there is one. Raises `ManifestError`."""
    from sage_doctor.manifest import find_manifest, load_for_host  # noqa: PLC0415
    from sage_doctor.subjects.host import Host  # noqa: PLC0415

    cwd = Path(os.getcwd())
    found = cwd / manifest if manifest is not None else find_manifest(cwd, os.environ)
    home = Path(os.environ.get("HOME") or os.path.expanduser("~"))
    return Host(cwd=cwd, home=home, environ=os.environ, manifest=load_for_host(found) if found is not None else None)


def file_of(host: Host) -> Path:
    """Return where this user's history lies, whether or not it exists."""
    from sage_doctor.subjects.host import HISTORY  # noqa: PLC0415
    from sage_doctor.system.state_directory import state_directory  # noqa: PLC0415

    return state_directory(host.environ, host.home) / HISTORY


def _accept(host: Host, name: str | None) -> int:
    from sage_doctor.history import accept, series_of  # noqa: PLC0415

    series = series_of(host)
    if series is None or host.manifest is None:
        raise UsageError("--accept needs a manifest; name one with --manifest")
    if name is not None and name not in host.manifest.models:
        raise UsageError(f"--accept takes a model, and {printable(name)} is none of this machine")
    done, notices = accept(series, [name] if name is not None else list(host.manifest.models))
    if notices:
        raise DoctorError("\n".join(notices))
    if not done:
        raise DoctorError(f"nothing was measured yet of {printable(name or 'any model')} on this machine")
    sys.stdout.write(f"normal from the newest run on: {join_limited(done, most=50)}\n")
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    if not found["runs"]:
        return [f"no runs recorded yet in {printable(found['history'])}"]
    lines = []
    for one in found["runs"]:
        told = [
            f"{f['code']} ({printable(f['subject'], limit=80)})" for f in one["findings"] if f["severity"] != "info"
        ]
        rest = len(told) - _MOST_FINDINGS
        named = ", ".join(told[:_MOST_FINDINGS]) + (f" and {rest} more" if rest > 0 else "")
        targets = " ".join(printable(t, limit=80) for t in one["targets"]) or "all"
        lines.append(
            f"{one['started_at'][:19].replace('T', ' ')}  {_machine(one)}  {one['verb']} {targets}  {one['level']}  "
            f"{one['verdict']}" + (f"  {named}" if named else "")
        )
    if found["measurements"]:
        lines += ["", "measured (median of runs without an error):"]
    for m in found["measurements"]:
        numbers = f"{_number(m['least'], m['unit'])} to {_number(m['most'], m['unit'])}"
        budget = f", budget {_number(m['budget'], m['unit'])}" if "budget" in m else ""
        lines.append(
            f"  {_machine(m)}  {printable(m['subject'], limit=80)}  {printable(m['name'], limit=40)} "
            f"{_number(m['median'], m['unit'])} of {m['runs']} ({numbers}; newest {_number(m['newest'], m['unit'])}"
            f"{budget})"
        )
    return lines


def _machine(row: dict[str, Any]) -> str:
    name, host = printable(row["machine"], limit=60), printable(row["hostname"], limit=60)
    return name if name == host else f"{name} ({host})"


def _number(value: float, unit: str) -> str:
    return format_bytes(value) if unit == "bytes" else f"{format_number(value)} {printable(unit, limit=20)}"


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs from 1 to 100000")
    return int(text)
