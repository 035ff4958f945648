"""`sage-doctor sync ROLE --from MACHINE`: copy a role's models from another machine of the manifest, over ssh.

Each model is compared first: what is here already is not copied again. Exits 0 if every model is here in the end, 1 if
one is not.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import say
from sage_doctor.cli.options import add_manifest
from sage_doctor.cli.plan_dialogue import confirmed, show_attempt, width
from sage_doctor.render.progress import live_progress
from sage_doctor.report import EXIT_HEALTHY, EXIT_UNHEALTHY
from sage_doctor.text import printable

if TYPE_CHECKING:
    from sage_doctor.repairs.model_sync import SyncOutcome
    from sage_doctor.repairs.repair import Plan

EXAMPLES = (
    ("sync talk --from sprout --dry-run", "what would be copied for the role talk"),
    ("sync talk --from sprout", "copy it, asking before each model"),
    ("sync MODEL --from sprout --allow-delete", "take sprout's files where they differ"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("targets", nargs="+", metavar="ROLE", help="roles or models of the manifest")
    parser.add_argument(
        "--from", dest="source", required=True, metavar="MACHINE", help="the machine of the manifest that has them"
    )
    add_manifest(parser)
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the plans, change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--allow-delete",
        action="store_true",
        help="take the other machine's files where they differ and nothing says which are right",
    )


def run(options: argparse.Namespace) -> int:
    """Copy, show what became of each model, and return 0 if all are here now."""
    from sage_doctor.repairs.model_sync import sync  # noqa: PLC0415 - --help needs no pytest
    from sage_doctor.repairs.repair_session import RepairCallbacks, journal_of  # noqa: PLC0415
    from sage_doctor.subjects.selection import Request  # noqa: PLC0415

    request = Request(targets=tuple(options.targets), manifest=options.manifest, level="static", cwd=os.getcwd())
    done: list[SyncOutcome] = []
    with live_progress() as progress:

        def consent(plan: Plan) -> bool:
            progress.close()
            say(*plan.lines(width(), os.getcwd()))
            return options.yes or confirmed(plan)

        callbacks = RepairCallbacks(consent=consent, on_progress=progress.update)
        for outcome in sync(
            request,
            options.source,
            callbacks,
            journal=journal_of(os.environ),
            dry_run=options.dry_run,
            allow_delete=options.allow_delete,
        ):
            progress.close()
            who = f"sync: {printable(outcome.model, limit=200)}"
            show_attempt(who, outcome.plan, outcome.status, outcome.reason)
            done.append(outcome)
    if not done:
        say("No model of this machine is meant by that.")
    return EXIT_HEALTHY if done and all(o.status in ("here", "copied") for o in done) else EXIT_UNHEALTHY
