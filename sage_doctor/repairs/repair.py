"""What a repair is: code that changes the disk, but first a plan that changes nothing.

    @repair(name="put-aside", codes=["weights-ambiguous"])
    def plan_put_aside(situation: Situation) -> Plan:
        '''Puts the stale one of two sets of weights aside.'''

The function looks, decides, and returns a `Plan`, or raises `RepairRefused` where it cannot be sure. Nothing is asked
in it, and nothing is written: whoever holds the plan asks for consent and calls `apply`. What `apply` returns knows
how to put the old state back, for the case that the checks are not content with the new one.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.report import Finding
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.system.file_steps import Applied
from sage_doctor.text import format_bytes, printable

ATTRIBUTE: Final = "__sage_repair__"
Tell = Callable[[str], None]

_LABEL: Final = 9  # the width of what stands before each line of a plan
_MOST_DIFF: Final = 40
_MOST_SUGGESTED: Final = 60


class RepairRefused(DoctorError):
    """A repair that cannot be done here, or not with certainty. The text says why and what to do; nothing changed."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a repair will do. Printing it tells a person; `apply` needs nothing else.

    `reads` and `writes` are paths or short phrases with them, `diff` the change of a text file. Sizes are bytes:
    `write_bytes` what is written, `disk_bytes` and `memory_bytes` what must be free. `kept` is where the old state
    lies until the checks are content, None where it is kept in memory or beside the new one for good. `undo` says
    how a person gets the old state back later. `suggests` is a change that only a person should make, after this one
    was made, and `suggests_how` the command that does it.
    """

    repair: str
    subject: str
    code: str
    does: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    leaves: str
    undo: str
    read_bytes: int = 0
    write_bytes: int = 0
    disk_bytes: int = 0
    memory_bytes: int = 0
    seconds: float = 0.0
    network: bool = False
    runs: str | None = None
    diff: tuple[str, ...] = ()
    suggests: tuple[str, ...] = ()
    suggests_how: str = ""
    kept: str | None = None
    apply: Callable[[Tell], Applied] = field(repr=False, compare=False)

    def __str__(self) -> str:
        """Return the plan as a person reads it, in 80 columns; nothing from outside moves the cursor."""
        return "\n".join(self.lines(80))

    def lines(self, width: int, within: str = "") -> list[str]:
        """Return the plan in lines of at most `width` columns; words that are longer stick out whole.

        Paths below the directory `within` are shown without it.
        """
        prefix = within.rstrip("/") + "/" if len(within) > 1 else ""
        needs = [
            f"{format_bytes(self.disk_bytes)} on disk" if self.disk_bytes else "",
            f"{format_bytes(self.memory_bytes)} of memory" if self.memory_bytes else "",
            f"about {round(self.seconds)} s" if self.seconds >= 1 else "less than a second",
            "the network" if self.network else "",
        ]
        rows = [
            ("does", self.does),
            ("cures", self.code),
            *(("reads", path) for path in self.reads),
            ("reads", f"{format_bytes(self.read_bytes)} in all" if self.read_bytes else ""),
            *(("writes", path) for path in self.writes),
            ("writes", f"{format_bytes(self.write_bytes)} in all" if self.write_bytes else ""),
            ("runs", self.runs or ""),
            ("needs", ", ".join(n for n in needs if n)),
            ("leaves", self.leaves),
            ("undo", self.undo),
        ]
        lines = [f"{self.repair}: {printable(self.subject, limit=200)}"]
        before = ""
        for label, text in rows:
            if text:
                shown = printable(text.replace(prefix, "") if prefix else text, limit=1000)
                lines += _row(label if label != before else "", shown, width)
                before = label
        lines += [f"    {printable(line, limit=400)}" for line in self.diff[:_MOST_DIFF]]
        if len(self.diff) > _MOST_DIFF:
            lines.append(f"    (and {len(self.diff) - _MOST_DIFF} lines more)")
        if self.suggests:
            lines += ["", *suggested_lines(self.suggests, self.suggests_how, width)]
        return lines


def suggested_lines(diff: Sequence[str], how: str, width: int, *, after: bool = True) -> list[str]:
    """Return a diff as what it is: a suggestion, with what to do for it. `after` where another change comes first."""
    when = "once the change above is made, " if after else ""
    lines = _row("suggests", f"NOT applied, and {when}for you to judge:", width)
    lines += [f"    {printable(line, limit=400)}" for line in diff[:_MOST_SUGGESTED]]
    if len(diff) > _MOST_SUGGESTED:
        lines.append(f"    (and {len(diff) - _MOST_SUGGESTED} lines more: `sage-doctor paths --patch` prints them all)")
    if how:
        lines.append(f"  {'apply'.ljust(_LABEL)}{how}")
    return lines


def _row(label: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent="  " + label.ljust(_LABEL),
        subsequent_indent=" " * (_LABEL + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


@dataclass(frozen=True, kw_only=True)
class RepairContext:
    """What a repair is called for: the finding, and the model it is about.

    `write_config` is the wish to have the base written into adapter_config.json rather than into the manifest. `base`
    is what a person said is the adapter's base: a model's name or a directory; None where nobody was asked.
    """

    finding: Finding
    model: Model
    write_config: bool = False
    base: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileSituation:
    """What a repair of files is called for: all its findings in one repository, and the host they were found on.

    `allow_dirty` is the wish to change files in a work tree with changes that are not committed.
    """

    findings: tuple[Finding, ...]
    host: Host
    allow_dirty: bool = False


Planner = Callable[[RepairContext], Plan]
FilePlanner = Callable[[FileSituation], Plan]


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What the decorator records. `after` names the repairs that go first, where both are called for.

    `plan_files` is set for a repair of files, which is given all its findings in one repository at once.
    """

    name: str
    title: str
    codes: frozenset[str]
    after: tuple[str, ...]
    plan: Planner
    plan_files: FilePlanner | None = None


def repair(*, name: str, codes: Iterable[str], after: Iterable[str] = ()) -> Callable[[Planner], Planner]:
    """Make a function a repair. Raises `TypeError` where its docstring is missing: it is the repair's title."""

    def mark(function: Planner) -> Planner:
        title = (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")
        if not title:
            raise TypeError(f"repair {name} has no docstring; its first line is the repair's title")
        made = Repair(name=name, title=title, codes=frozenset(codes), after=tuple(after), plan=function)
        setattr(function, ATTRIBUTE, made)
        return function

    return mark


def file_repair(*, name: str, codes: Iterable[str]) -> Callable[[FilePlanner], FilePlanner]:
    """Make a function a repair of files that belong to no model. It is called for only where it was asked for."""

    def mark(function: FilePlanner) -> FilePlanner:
        title = (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")
        if not title:
            raise TypeError(f"repair {name} has no docstring; its first line is the repair's title")
        made = Repair(name=name, title=title, codes=frozenset(codes), after=(), plan=_no_model, plan_files=function)
        setattr(function, ATTRIBUTE, made)
        return function

    return mark


def _no_model(situation: RepairContext) -> Plan:
    raise RepairRefused(f"{printable(situation.finding.subject)} is a file of no model")


def repair_of(function: object) -> Repair | None:
    """Return what `@repair` recorded on a function, or None where it is no repair."""
    made = getattr(function, ATTRIBUTE, None)
    return made if isinstance(made, Repair) else None
