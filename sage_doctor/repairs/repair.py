"""What a repair is: code that changes the disk, but first a plan that changes nothing.

    @repair(name="quarantine-weights", codes=["weights-ambiguous"])
    def plan_quarantine_weights(context: RepairContext) -> Plan:
        '''Renames the stale one of two sets of weights.'''

The function inspects, decides, and returns a `Plan`, or raises `RepairRefused` if it cannot be sure. It asks nothing
and writes nothing: the caller shows the plan, asks for consent and calls `apply`. What `apply` returns can roll the
change back if verification fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import DoctorError
from sage_doctor.report import Finding
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.system.activity import OnProgress
from sage_doctor.system.file_steps import Applied
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, read_start
from sage_doctor.system.seen import Seen
from sage_doctor.text import MOST_COMMAND, format_bytes, printable, wrap

_LABEL: Final = 11  # columns of the label before each line of a plan
_MOST_DIFF: Final = 40
_MOST_SUGGESTED: Final = 60


class RepairRefused(DoctorError):
    """A repair that is impossible or uncertain here. The text says why and what to do instead; nothing was changed."""


def read_input(path: Path, most: int) -> bytes:
    """Return the first `most` bytes of a file that a plan is made from. Raises `DoctorError`."""
    try:
        return read_start(path, most)
    except UnreadableFile as error:
        raise DoctorError(f"{printable(str(path))}: {error}") from error


@frozen
class Plan:
    """What a repair will do. `lines` shows it to a person; `apply` does it and needs nothing else.

    Whoever shows it fills in the `repair`, the `subject`, the finding's `code`, and its `title`, which is what people
    call the subject where that is another name. `reads` and `writes` are paths or short
    phrases with them, `diff` is the change of a text file. Sizes are bytes: `write_bytes` is what is written,
    `disk_bytes` and `memory_bytes` are what must be free. `seen` is what the plan relies on: it is compared again
    right before the change. `kept` is where the old state stays until the change is verified; None if it is kept in
    memory, or permanently beside the new state. `undo_commands`, in this order, restore exactly the old state
    later; `undo` says what they do, or how else it is done. `suggests` is a change to review and apply by hand
    after this one, and `suggests_how` is the command that applies it.
    """

    action: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...]
    unchanged: str
    repair: str = ""
    subject: str = ""
    code: str = ""
    undo: str = ""
    undo_commands: tuple[str, ...] = ()
    title: str = ""
    seen: tuple[Seen, ...] = ()
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
    apply: Callable[[OnProgress], Applied] = field(repr=False, compare=False)

    def __str__(self) -> str:
        """Return the plan in 80 columns, without control characters."""
        return "\n".join(self.lines(80))

    def lines(self, width: int, within: str = "") -> list[str]:
        """Return the plan in lines of at most `width` columns; longer words are not broken.

        Paths below the directory `within` are shown relative to it.
        """
        prefix = within.rstrip("/") + "/" if len(within) > 1 else ""
        needs = [
            f"{format_bytes(self.disk_bytes)} on disk" if self.disk_bytes else "",
            f"{format_bytes(self.memory_bytes)} of memory" if self.memory_bytes else "",
            f"about {round(self.seconds)} s" if self.seconds >= 1 else "" if self.network else "less than a second",
            "the network" if self.network else "",
        ]
        rows = [
            ("action", self.action),
            ("fixes", self.code),
            *(("reads", path) for path in self.reads),
            ("reads", f"{format_bytes(self.read_bytes)} in total" if self.read_bytes else ""),
            *(("writes", path) for path in self.writes),
            ("writes", f"{format_bytes(self.write_bytes)} in total" if self.write_bytes else ""),
            ("runs", self.runs or ""),
            ("needs", ", ".join(n for n in needs if n)),
            ("unchanged", self.unchanged),
            ("undo", self.undo),
        ]
        lines = [f"{self.repair}: {printable(self.title or self.subject, limit=200)}"]
        before = ""
        for label, text in rows:
            if text:
                shown = printable(re.sub(rf"(?<!\S){re.escape(prefix)}", "", text) if prefix else text, limit=1000)
                lines += _row(label if label != before else "", shown, width)
                before = label
        for command in self.undo_commands:
            lines.append(_head("undo" if before != "undo" else "") + printable(command, limit=MOST_COMMAND))
            before = "undo"
        lines += [f"    {printable(line, limit=400)}" for line in self.diff[:_MOST_DIFF]]
        if len(self.diff) > _MOST_DIFF:
            lines.append(f"    (and {len(self.diff) - _MOST_DIFF} more lines)")
        if self.suggests:
            lines += ["", *suggested_lines(self.suggests, self.suggests_how, width)]
        return lines


def suggested_lines(diff: Sequence[str], how: str, width: int, *, after: bool = True) -> list[str]:
    """Return a suggested diff and how to apply it. `after` says that it builds on the change shown above it."""
    when = " after the change above" if after else ""
    lines = _row("suggested", f"NOT applied; review it, then apply it{when}:", width)
    lines += [f"    {printable(line, limit=400)}" for line in diff[:_MOST_SUGGESTED]]
    if len(diff) > _MOST_SUGGESTED:
        lines.append(
            f"    (and {len(diff) - _MOST_SUGGESTED} more lines: `sage-doctor paths --patch` prints all of them)"
        )
    if how:
        lines.append(f"  {'apply'.ljust(_LABEL)}{how}")
    return lines


def _row(label: str, text: str, width: int) -> list[str]:
    return wrap(text, width, first=_head(label), after=_head(""))


def _head(label: str) -> str:
    return "  " + label.ljust(_LABEL)


@frozen
class RepairOptions:
    """What may be changed. `write_config` sets an adapter's base in adapter_config.json instead of the manifest.

    `bases` maps an adapter's name to its base, a model of the manifest or a directory; an empty name stands for the
    only adapter without one. `rewrite_paths` allows changes to scripts, of `files` only if there are any, `allow_dirty`
    also in a work tree with uncommitted changes. `allow_delete` allows files to be deleted that a new directory cannot
    take over.
    """

    dry_run: bool = False
    write_config: bool = False
    rewrite_paths: bool = False
    files: frozenset[Path] = frozenset()
    allow_dirty: bool = False
    allow_delete: bool = False
    bases: Mapping[str, str] = field(default_factory=dict)


@frozen
class RepairContext:
    """The input of a repair: the finding, and the model it is about.

    `base` is the adapter's base as the user named it, a model's name or a directory; None if nobody was asked.
    """

    finding: Finding
    model: Model
    base: str | None
    options: RepairOptions


@frozen
class FileRepairContext:
    """The input of a file repair: all its findings in one repository, and the host they were found on."""

    findings: tuple[Finding, ...]
    host: Host
    options: RepairOptions


Planner = Callable[[Any], Plan]  # takes a `RepairContext`, that of a repair of files a `FileRepairContext`


@frozen
class Repair:
    """What the decorator makes of a function. `after` names the repairs that run first if both are needed.

    `disproved_by` are codes that would show the change to be wrong: one that appears after it on the same subject.
    A repair `of_files` outside of models gets all its findings in one repository at once, and runs only if the user
    asked for it by its option.
    """

    name: str
    codes: frozenset[str]
    after: tuple[str, ...]
    plan: Planner
    disproved_by: frozenset[str] = frozenset()
    of_files: bool = False


def repair(
    *,
    name: str,
    codes: Iterable[str],
    after: Iterable[str] = (),
    disproved_by: Iterable[str] = (),
    of_files: bool = False,
) -> Callable[[Planner], Repair]:
    """Make a repair of the function that plans it."""

    def decorate(plan: Planner) -> Repair:
        return Repair(
            name=name,
            codes=frozenset(codes),
            after=tuple(after),
            plan=plan,
            disproved_by=frozenset(disproved_by),
            of_files=of_files,
        )

    return decorate
