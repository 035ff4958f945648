"""`sage-doctor history`: show earlier runs and their measurements on each machine.

`--accept` makes the newest measurements the new normal. Exits with 0 also if no run is recorded yet.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_doctor.cli.help_page import Renamed
from sage_doctor.cli.options import add_manifest, number_to
from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.render.table import Row, write_table
from sage_doctor.text import format_bytes, format_number, join_limited, printable

if TYPE_CHECKING:
    from sage_doctor.subjects.host import Host

_MOST_FINDINGS = 3
_PATH_CHARS = 300
_STYLE = {"healthy": "green", "degraded": "yellow", "unhealthy": "red", "unknown": "magenta"}


EXAMPLES = (
    ("history", "the last runs, and what was measured"),
    ("history MODEL --limit 100", "of one model"),
    ("history --accept MODEL", "it is slower on purpose: the newest run is the new normal"),
    ("history calibrate", "budgets from what was measured"),
)
SEE = "See also `sage-doctor history accept --help` and `sage-doctor history calibrate --help`."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", nargs="?", metavar="MODEL|ROLE", help="show only its runs")
    add_manifest(parser)
    count = number_to(100_000, "a number of runs")
    parser.add_argument("--limit", type=count, default=20, metavar="N", help="how many runs (default: 20)")
    parser.add_argument("-n", dest="limit", action=Renamed, new="--limit", type=count, default=20)
    parser.add_argument(
        "-f", "--format", dest="history_format", choices=("terminal", "json"), default="terminal", help="text or JSON"
    )
    parser.add_argument(
        "--accept", action="store_true", help="make the newest measurements the new normal, for MODEL or for all models"
    )


def run(options: argparse.Namespace) -> int:
    """Show the history, or accept what is new. Raises `DoctorError` if it cannot be read or written."""
    from sage_doctor.cli.this_host import this_host  # noqa: PLC0415 - --help needs no manifest
    from sage_doctor.history.listing import listing  # noqa: PLC0415 - nor SQLite

    host = this_host(options.manifest)
    manifest = host.manifest
    if (
        options.name is not None
        and manifest is not None
        and options.name not in {*manifest.roles, *manifest.unavailable_here}
    ):
        manifest.model(options.name)  # suggests a similar name
    if options.accept:
        return _accept(host, options.name)
    source = str(manifest.path) if manifest else None
    found = listing(file_of(host), manifest=source, name=options.name, limit=options.limit)
    if options.history_format == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    if not found["runs"]:
        sys.stdout.write(f"no runs recorded yet ({printable(found['history'])})\n")
        return 0
    write_table(
        [_run(one) for one in found["runs"]], head=("started", "machine", "command", "level", "verdict", "problems")
    )
    if found["measurements"]:
        sys.stdout.write("\nmeasured:\n")
        _write_measurements(found["measurements"])
    return 0


def file_of(host: Host) -> Path:
    """Return the path of this user's history; it need not exist."""
    from sage_doctor.subjects.host import HISTORY  # noqa: PLC0415
    from sage_doctor.system.state_directory import state_directory  # noqa: PLC0415

    return state_directory(host.environ, host.home) / HISTORY


def _accept(host: Host, name: str | None) -> int:
    from sage_doctor.history.baseline import accept  # noqa: PLC0415
    from sage_doctor.history.runs import series_of  # noqa: PLC0415

    series = series_of(host)
    if series is None or host.manifest is None:
        raise UsageError("--accept needs a manifest; name one with --manifest")
    if name is not None and name not in host.manifest.models:
        raise UsageError(f"--accept needs a model of this machine, not {printable(name)}")
    done, notices = accept(series, [name] if name is not None else list(host.manifest.models))
    if notices:
        raise DoctorError("\n".join(notices))
    if not done:
        raise DoctorError(f"no measurements of {printable(name or 'any model')} on this machine yet")
    sys.stdout.write(f"accepted the newest run as the new normal: {join_limited(done, most=50)}\n")
    return 0


def _run(one: dict[str, Any]) -> Row:
    problems = [
        f"{f['code']} ({printable(f['subject'], limit=_PATH_CHARS)})"
        for f in one["findings"]
        if f["severity"] != "info"
    ]
    rest = len(problems) - _MOST_FINDINGS
    named = ", ".join(problems[:_MOST_FINDINGS]) + (f" and {rest} more" if rest > 0 else "")
    targets = " ".join(printable(t, limit=_PATH_CHARS) for t in one["targets"]) or "all"
    verdict = one["verdict"]
    started = one["started_at"][:19].replace("T", " ")
    return started, _machine(one), f"{one['verb']} {targets}", one["level"], (verdict, _STYLE.get(verdict, "")), named


def _write_measurements(measured: list[dict[str, Any]]) -> None:
    """Write a table of them; columns that say nothing here are left out: one machine, no budget."""
    head = ("machine", "model", "metric", "n", "median", "min", "max", "last", "budget")
    rows = [_measurement(one) for one in measured]
    several, budgets = len({row[0] for row in rows}) > 1, any(row[-1] for row in rows)
    shown = slice(0 if several else 1, None if budgets else -1)
    write_table([row[shown] for row in rows], head=head[shown])


def _measurement(one: dict[str, Any]) -> tuple[str, ...]:
    values = [_number(one[key], one["unit"]) for key in ("median", "least", "most", "newest")]
    name, subject = printable(one["name"], limit=40), printable(one["subject"], limit=_PATH_CHARS)
    budget = _number(one["budget"], one["unit"]) if "budget" in one else ""
    return _machine(one), subject, name, str(one["runs"]), *values, budget


def _machine(row: dict[str, Any]) -> str:
    name, host = printable(row["machine"], limit=60), printable(row["hostname"], limit=60)
    return name if name == host else f"{name} ({host})"


def _number(value: float, unit: str) -> str:
    return format_bytes(value) if unit == "bytes" else f"{format_number(value)} {printable(unit, limit=20)}".rstrip()
