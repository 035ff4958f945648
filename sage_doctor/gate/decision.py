"""The decision: may a session start, and in one line, why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, field
from typing import Any, Final, Literal

from sage_doctor.errors import DoctorError
from sage_doctor.report import EXIT_HEALTHY, EXIT_UNHEALTHY, EXIT_UNKNOWN
from sage_doctor.system.frozen import frozen
from sage_doctor.text import MOST_COMMAND, printable, shell_operand

GateState = Literal["open", "blocked", "unknown"]

EXITS: Final[Mapping[GateState, int]] = {"open": EXIT_HEALTHY, "blocked": EXIT_UNHEALTHY, "unknown": EXIT_UNKNOWN}


@frozen
class ModelLocation:
    """Where a model is: its directory (or a service's address), and that of an adapter's base."""

    path: str
    base: str | None = None


@frozen
class Decision:
    """What a gate says. Whatever cannot be decided is `unknown`, and keeps sessions out as `blocked` does.

    `reason` is the part of the line after the role. `details` are further lines, `notes` what went wrong beside the
    decision. `codes` are the findings that block. `recorded` is whether an earlier result was reused; `news` whether
    the verdict differs from the last one, if that was asked.
    `usage` marks wrong usage: nothing was examined, and waiting does not help.
    """

    state: GateState
    role: str
    reason: str
    details: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    recorded: bool = False
    news: bool = True
    usage: bool = False
    models: Mapping[str, ModelLocation] = field(default_factory=dict)
    report: Mapping[str, Any] | None = None

    @property
    def exit_code(self) -> int:
        """What the gate exits with where no command is run."""
        return 2 if self.usage else EXITS[self.state]

    def line(self) -> str:
        """Return the verdict as one line."""
        return f"{self.state}: {printable(self.role, limit=80)}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return the decision as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """Return the decision that `to_json` wrote."""
        lists = {name: tuple(data[name]) for name in ("details", "notes", "codes")}
        places = {name: ModelLocation(**place) for name, place in data["models"].items()}
        return cls(**{**data, **lists, "models": places})


def failed(role: str, error: DoctorError) -> Decision:
    """Return the decision for wrong usage, or for an error that kept the gate from finding out."""
    first, *rest = [printable(line, limit=1000) for line in str(error).splitlines()] or ["no reason given"]
    return Decision(state="unknown", role=role, reason=first, details=tuple(rest), usage=error.exit_code == 2)


def cut_short(role: str, known: Iterable[Mapping[str, Any]], why: str) -> Decision:
    """Return the decision for an examination that did not end: what it had found until then still counts.

    `known` are the findings that were errors, as JSON.
    """
    errors = list(known)
    if not errors:
        return Decision(state="unknown", role=role, reason=why)
    return Decision(
        state="blocked",
        role=role,
        reason=f"{sentence(errors[0], len(errors) - 1)}; then {why}",
        details=tuple(remedies(errors)),
        codes=tuple(str(f["code"]) for f in errors),
    )


def sentence(finding: Mapping[str, Any], more: int = 0) -> str:
    """Return a finding in one line, with the number of others."""
    rest = f" (and {more} more)" if more > 0 else ""
    subject = printable(str(finding["subject"]), limit=80)
    return f"{subject}: {finding['code']}: {printable(str(finding['message']), limit=300)}{rest}"


def remedies(findings: Iterable[Mapping[str, Any]], *, most: int = 5, manifest: str | None = None) -> Iterable[str]:
    """Yield for each of the first findings what it is and what to do about it.

    `manifest` is added to the doctor's own commands, where they would not find it by themselves.
    """
    named = f" --manifest {shell_operand(manifest)}" if manifest is not None else ""

    def whole(command: str) -> str:
        own = command.startswith("sage-doctor ") and "--manifest" not in command
        return printable(command + (named if own else ""), limit=MOST_COMMAND)

    for number, finding in enumerate(findings):
        if number >= most:
            return
        if number:
            yield sentence(finding)
        fix = finding["fix"]
        if fix.get("repair"):
            own = f"sage-doctor fix {shell_operand(finding['subject'])}"
            command = next((c for c in fix["commands"] if c.startswith("sage-doctor fix ")), own)
            yield f"    {whole(command)}"
        else:
            yield f"    {printable(str(fix['summary']), limit=400)}"
            yield from (f"    $ {whole(str(c))}" for c in fix["commands"][:1])
