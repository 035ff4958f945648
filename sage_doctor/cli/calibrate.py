"""`sage-doctor calibrate`: propose budgets from what was measured on this machine, as TOML to paste.

Changes nothing. Exits with 3 where there is not enough history for any model.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from sage_doctor.cli.history import host_of
from sage_doctor.cli.options import add_manifest
from sage_doctor.errors import UsageError
from sage_doctor.text import format_number, printable

if TYPE_CHECKING:
    from sage_doctor.history.calibration import Proposal


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("names", nargs="*", metavar="MODEL", help="models of the manifest (default: all)")
    add_manifest(parser)


def run(options: argparse.Namespace) -> int:
    """Print the proposals. Raises `DoctorError` where there is no manifest, no such model or no readable history."""
    from sage_doctor.history import series_of  # noqa: PLC0415 - --help needs no SQLite
    from sage_doctor.history.calibration import LEAST_RUNS, propose  # noqa: PLC0415
    from sage_doctor.manifest.quoting import key  # noqa: PLC0415

    host = host_of(options.manifest)
    series = series_of(host)
    manifest = host.manifest
    if series is None or manifest is None:
        raise UsageError("budgets belong to a manifest, and there is none here; name one with --manifest")
    names = [manifest.model(name).name for name in options.names] or list(manifest.models)
    table = f"machines.{key(manifest.machine.name)}.models" if manifest.machine is not None else "models"
    out = [
        f"# What {printable(host.name, limit=80)} measured, with room to spare.",
        "# Where a table exists already, paste the line with the budget into it.",
    ]
    proposed = False
    for name in names:
        found = propose(series, name)
        most = max(p.runs for p in found)
        enough = [p for p in found if p.value]
        if not enough:
            lacking = LEAST_RUNS - most
            out.append(f"# {printable(name)}: {most} runs measured it, {lacking} more are needed")
            continue
        proposed = True
        out += ["", f"[{table}.{key(name)}]", *(f"# {_words(p)}" for p in found), f"budget = {{ {_values(enough)} }}"]
    sys.stdout.write("\n".join(out) + "\n")
    return 0 if proposed else 3


def _words(proposal: Proposal) -> str:
    if proposal.value is None:
        return f"{proposal.name}: {proposal.runs} runs, too few"
    median, extreme = format_number(proposal.median), format_number(proposal.extreme)
    return f"{proposal.name}: median {median}, at worst {extreme}, of {proposal.runs} runs"


def _values(proposals: list[Proposal]) -> str:
    return ", ".join(f"{p.name} = {p.value:g}" for p in proposals)
