"""`sage-doctor merge ADAPTER --out DIR`: an adapter and its base as one model directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sage_doctor.errors import UsageError
from sage_doctor.facts.hashing import hash_cache_path
from sage_doctor.render.progress import Progress
from sage_doctor.text import human_bytes, printable, quoted

if TYPE_CHECKING:
    from sage_doctor.merge import MergeOutcome, Step


def merge(
    adapter: Annotated[Path, typer.Argument(help="The adapter's directory.")],
    out: Annotated[Path, typer.Option("--out", help="The directory of the merged model. Replaced in one step.")],
    base: Annotated[
        Path | None, typer.Option("--base", help="The base's directory. Default: what the adapter's config names.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float32, bfloat16 or float16. Default: as the base stores it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before replacing a directory.")] = False,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for another merge of it to end.")] = 0.0,
) -> int:
    """Merge an adapter into its base: exact, in little memory, and safe to kill at any moment."""
    from sage_doctor.merge import apply, plan_merge  # noqa: PLC0415 - --help needs none of it

    plan = plan_merge(adapter, out, base=base, dtype=dtype)
    sys.stdout.write(f"{plan}\n")
    if dry_run:
        return 0
    if plan.replaces and not yes and not _agreed(plan.target):
        return 0
    sys.stdout.flush()
    cache = hash_cache_path(os.environ, Path(os.path.expanduser("~")))
    with Progress(sys.stderr) as line:
        outcome = apply(plan, progress=lambda step: line.update(_told(step)), wait_s=wait, hash_cache=cache)
    _report(outcome)
    return 0


def _agreed(target: Path) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"{printable(str(target))} is there already; --yes replaces it")
    sys.stderr.write(f"Replace {printable(str(target))}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    sys.stderr.write("nothing was changed\n")
    return False


def _told(step: Step) -> str:
    speed = step.done / step.elapsed_s if step.elapsed_s > 0 else 0.0
    # The first bytes come after torch's import and say nothing about the rest.
    known = step.total * 0.02 < step.done < step.total
    left = f"{(step.total - step.done) / speed:.0f} s left" if known and speed > 0 else ""
    share = step.done / step.total if step.total else 1.0
    return f"{share:4.0%}  {step.doing}  {human_bytes(speed)}/s  {left}"


def _report(outcome: MergeOutcome) -> None:
    for left in outcome.cleaned:
        sys.stderr.write(f"left-over of a killed merge, {printable(left.path.name)}: {left.what}\n")
    for code, message in outcome.warnings:
        sys.stderr.write(f"warning: {message} [{code}]\n")
    share = outcome.surviving_delta
    kept = f"; {min(share, 1.0):.1%} of the adapter's change survived rounding" if share is not None else ""
    sys.stdout.write(
        f"merged   {human_bytes(outcome.nbytes)} in {outcome.seconds:.1f} s{kept}\n"
        f"next     sage-doctor check {quoted(outcome.target)} --level generate\n"
    )
