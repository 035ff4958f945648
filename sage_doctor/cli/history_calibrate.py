"""`sage-doctor history calibrate`: propose budgets from this machine's measurements, as TOML to paste.

Changes nothing. Exits with 3 if no model has enough runs.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from sage_doctor.cli.options import add_manifest
from sage_doctor.errors import UsageError
from sage_doctor.text import format_number, printable

if TYPE_CHECKING:
    from sage_doctor.history.calibration import Proposal


EXAMPLES = (
    ("history calibrate", "budgets for all models"),
    ("history calibrate MODEL >> sage-doctor.toml", "append that of one"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("names", nargs="*", metavar="MODEL", help="models of the manifest (default: all)")
    add_manifest(parser)


def run(options: argparse.Namespace) -> int:
    """Print the proposals. Raises `DoctorError` without a manifest, for an unknown model or an unreadable history."""
    from sage_doctor.cli.this_host import this_host  # noqa: PLC0415 - --help needs no manifest
    from sage_doctor.history.calibration import LEAST_RUNS, propose  # noqa: PLC0415
    from sage_doctor.history.runs import series_of  # noqa: PLC0415 - nor SQLite
    from sage_doctor.manifest.quoting import key  # noqa: PLC0415

    host = this_host(options.manifest)
    series = series_of(host)
    manifest = host.manifest
    if series is None or manifest is None:
        raise UsageError("no sage-doctor.toml in this directory or above; name one with --manifest")
    names = [manifest.model(name).name for name in options.names] or list(manifest.models)
    table = f"machines.{key(manifest.machine.name)}.models" if manifest.machine is not None else "models"
    out = [
        f"# Budgets from the runs on {printable(host.name, limit=80)}, with a margin.",
        "# If a table exists already, add the budget line to it.",
    ]
    proposed = False
    for name in names:
        found = propose(series, name)
        most = max(p.runs for p in found)
        enough = [p for p in found if p.value]
        if not enough:
            out.append(f"# {printable(name)}: {most} of {LEAST_RUNS} runs needed")
            continue
        proposed = True
        out += [
            "",
            f"[{table}.{key(name)}]",
            *(f"# {_words(p, LEAST_RUNS)}" for p in found),
            f"budget = {{ {_values(enough)} }}",
        ]
    sys.stdout.write("\n".join(out) + "\n")
    return 0 if proposed else 3


def _words(proposal: Proposal, needed: int) -> str:
    if proposal.value is None:
        return f"{proposal.name}: {proposal.runs} of {needed} runs needed"
    median, extreme = format_number(proposal.median), format_number(proposal.extreme)
    return f"{proposal.name}: median {median}, worst {extreme}, {proposal.runs} runs"


def _values(proposals: list[Proposal]) -> str:
    return ", ".join(f"{p.name} = {p.value:g}" for p in proposals)
