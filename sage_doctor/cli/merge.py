"""`sage-doctor merge`: merge an adapter into its base: bit-exact, in little memory, safe to kill at any time."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import agreed
from sage_doctor.cli.options import add_manifest, duration_or_zero
from sage_doctor.errors import UsageError
from sage_doctor.render.progress import live_progress
from sage_doctor.text import format_bytes, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.merge import MergeOutcome, Step


EXAMPLES = (
    ("merge ADAPTER --out DIR --dry-run", "the plan: what is read, written and needed"),
    ("merge ADAPTER --out DIR", "onto the base that the manifest or the adapter names"),
    ("merge ./adapter --base hf:org/name --out DIR", "onto a base of the Hugging Face cache"),
)
SEE = "A merged model of the manifest is made again, by its recipe, with `sage-doctor fix MODEL`."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("adapter", metavar="ADAPTER", help="the adapter: a model of the manifest or a directory")
    add_manifest(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="directory of the merged model, replaced in one step"
    )
    parser.add_argument(
        "--base",
        metavar="BASE",
        help="the base: a model of the manifest, a directory, or hf:org/name (default: the manifest's word for it, "
        "else what the adapter's configuration leads to)",
    )
    result = parser.add_argument_group("the result")
    result.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="dtype of the result (default: that of the base)"
    )
    result.add_argument(
        "--dequantize",
        action="store_true",
        help="dequantize a quantized base; the plan shows what is lost",
    )
    result.add_argument(
        "--allow-delete",
        action="store_true",
        help="delete what is in the replaced directory and cannot be carried over; the plan lists it",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the plan, change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before replacing a directory")
    parser.add_argument(
        "--wait",
        type=duration_or_zero,
        default=0.0,
        metavar="TIME",
        help="wait this long for another merge of the same model",
    )


def run(options: argparse.Namespace) -> int:
    """Plan, show, ask before replacing a directory, and merge. Raises `MergeRefused` and `UsageError`."""
    from sage_doctor.cli.merge_inputs import plan_named  # noqa: PLC0415 - --help needs none of it
    from sage_doctor.merge.elsewhere import apply_with  # noqa: PLC0415
    from sage_doctor.merge.target import require_deletable  # noqa: PLC0415
    from sage_doctor.system.state_directory import hash_cache  # noqa: PLC0415

    plan, python = plan_named(options)
    sys.stdout.write(f"{plan}\n")
    if python is not None:
        sys.stdout.write(f"{'runs in':9} {printable(str(python))}: this Python has no torch\n")
    if options.dry_run:
        return 0
    require_deletable(plan.present, allow_delete=options.allow_delete)
    if plan.replaces and not options.yes and not _agreed(plan.target):
        return 0
    sys.stdout.flush()
    cache = hash_cache(os.environ)
    with live_progress() as progress:

        def on_progress(step: Step) -> None:
            progress.update(step.activity, step.done, step.total)

        outcome = apply_with(
            python,
            plan,
            progress=on_progress,
            wait_s=options.wait,
            hash_cache=cache,
            allow_delete=options.allow_delete,
        )
    _report(outcome)
    return 0


def _agreed(target: Path) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"{printable(str(target))} exists already; use --yes to replace it")
    if agreed(f"Replace {printable(str(target))}?"):
        return True
    sys.stderr.write("Nothing was changed.\n")
    return False


def _report(outcome: MergeOutcome) -> None:
    for left in outcome.cleaned:
        sys.stderr.write(f"found beside the target, {printable(left.path.name)}: {left.what}\n")
    for code, message in outcome.warnings:
        sys.stderr.write(f"warning: {message} [{code}]\n")
    share = outcome.surviving_delta
    kept = f"; delta kept: {max(0.0, min(share, 1.0)):.1%} (cosine)" if share is not None else ""
    sys.stdout.write(
        f"merged   {format_bytes(outcome.nbytes)} in {outcome.seconds:.1f} s{kept}\n"
        f"next     sage-doctor check {shell_quote(outcome.target)} --level generate\n"
    )
