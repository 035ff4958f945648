"""Several reports side by side: roles first, because "where can it run now" is the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sage_doctor.render.terminal.wording import counted, joined
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.report.comparison import Comparison
from sage_doctor.report.subjects import SubjectState
from sage_doctor.text import MOST_COMMAND, join_limited, printable

_STATES: Final[Mapping[str, SubjectState]] = {
    "ready": "healthy",
    "blocked": "unhealthy",
    "possible": "info",
    "unknown": "unknown",
}
_MOST_MODELS: Final = 50
_MOST_COPIES: Final = 20


def draw_comparison(out: Writer, comparison: Comparison) -> None:
    """Write machines, roles, models that are not the same everywhere, and what to copy."""
    machines = len(comparison.machines) + len(comparison.silent)
    out.text(f"sage-doctor report{out.dot}{counted(machines, 'machine')}", style="bold")
    out.blank()
    for machine in comparison.machines:
        told = [machine.report.verdict, machine.age, f"level {machine.report.level}"]
        head = f"{machine.label}: {joined(told, out.dot)}"
        out.text(f"{head}{out.dot}stale: run the check again there" if machine.stale else head, after=4)
    for silence in comparison.silent:
        out.text(f"{silence.label}: {silence.state}: {silence.why}", after=4, style=out.style("unknown"))
    if comparison.passed_over:
        out.text(f"older reports of the same machines, not used: {join_limited(list(comparison.passed_over))}")
    for role in comparison.roles:
        out.blank()
        out.text(f"role {printable(role.role, limit=100)}: {role.sentence}", style="bold", after=4)
        for machine, cell in zip(comparison.machines, role.cells, strict=True):
            if cell is not None:
                stale = " (stale)" if machine.stale and cell.state == "ready" else ""
                state = f"{cell.state}{stale}{': ' * bool(cell.why)}{cell.why}"
                out.headline(_STATES[cell.state], machine.label, state, counts="")
    _models(out, comparison)
    _copies(out, comparison)


def _models(out: Writer, comparison: Comparison) -> None:
    rows = [row for row in comparison.models if out.verbose or any(c.state != "complete" for c in row.cells)]
    if rows:
        out.blank()
        out.text("models:" if out.verbose else "models that are not in order everywhere:", style="bold")
    for row in rows if out.verbose else rows[:_MOST_MODELS]:
        cells = zip(comparison.machines, row.cells, strict=True)
        told = [(f"{m.label} {c.state}{f' ({c.words})' if c.words else ''}", "") for m, c in cells]
        out.text(f"{printable(row.name, limit=200)}:", indent=2)
        out.flow(told, indent=6)
    rest = len(rows) - _MOST_MODELS
    if rest > 0 and not out.verbose:
        out.text(f"and {rest} more (-v)", indent=2, style="dim")
    if comparison.differences:
        out.blank()
        out.text("not the same everywhere, under one name:", style="bold")
    for difference in comparison.differences:
        values = ", ".join(f"{label} {value}" for label, value in difference.values)
        out.text(f"{printable(difference.model, limit=200)}: {difference.what} differ: {values}", indent=2, after=4)
    if comparison.unsure:
        out.blank()
        names = join_limited(list(comparison.unsure))
        out.text(f"alike in size and tensors; the hashes are not known everywhere: {names}", style="dim", after=2)


def _copies(out: Writer, comparison: Comparison) -> None:
    for copy in comparison.copies[: None if out.verbose else _MOST_COPIES]:
        out.blank()
        name = printable(copy.model, limit=200)
        out.text(f"{name}: {copy.target} lacks it ({copy.why}), {copy.source} has it", after=4)
        if copy.command is not None:
            out.text(f"on {copy.target}:", indent=4)
            out.command(printable(copy.command, limit=MOST_COMMAND), indent=8)
        else:
            out.text(f"no command: {copy.note}", indent=4)
    rest = len(comparison.copies) - _MOST_COPIES
    if rest > 0 and not out.verbose:
        out.blank()
        out.text(f"and {rest} more to copy (-v)", style="dim")
