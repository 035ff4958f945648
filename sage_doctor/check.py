"""What a check is: a pytest function that turns facts into findings. Ours and a user's own are written alike.

    @check("static", after=["check_path"])
    def check_licence(model):
        '''Every model directory carries its licence.'''
        if not model.tree.has("LICENSE"):
            yield finding("acme-licence-missing", "no LICENSE beside the weights", severity="warning",
                          fix=Fix(summary="copy the licence from the model's page"))

The first line of the docstring is the check's title. The plugin fills in subject and check id.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sage_doctor.findings.making import finding
from sage_doctor.report import LEVELS, Finding, Fix, Level, Measurement
from sage_doctor.system.activity import OnProgress, ignore
from sage_doctor.system.frozen import frozen
from sage_doctor.text import BYTES, printable

__all__ = ["CheckSpec", "Finding", "Fix", "Notes", "check", "finding", "spec_of"]

ATTRIBUTE = "__sage_check__"
ANY_ERROR = "*"


@frozen
class CheckSpec:
    """What the decorator records: the level, what must have passed before, and the kinds of model it concerns.

    `after` names checks of the same subject (and of the models it is built on): where one of them reported an
    error, this check is skipped as blocked by that code. `"*"` stands for every check that ran before.
    `kinds` is empty for a check of every kind.
    """

    name: str
    title: str
    level: Level
    after: tuple[str, ...]
    kinds: frozenset[str]


def check(
    level: Level, *, after: Sequence[str] = (), kinds: Iterable[str] = ()
) -> Callable[[Callable[..., Iterable[Finding] | None]], Callable[..., list[Finding]]]:
    """Make a function a check. Raises `TypeError` where its docstring is missing: it is the check's title."""
    if level not in LEVELS:
        raise TypeError(f"level {level!r} is not one of {', '.join(LEVELS)}")

    def mark(function: Callable[..., Iterable[Finding] | None]) -> Callable[..., list[Finding]]:
        title = (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")
        if not title and sys.flags.optimize > 1:  # `python -OO` has no docstrings
            title = function.__name__
        if not title:
            raise TypeError(f"check {function.__name__} has no docstring; its first line is the check's title")

        # pytest refuses generator tests, so what it collects is a plain function with the same parameters.
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> list[Finding]:
            return list(function(*args, **kwargs) or ())

        spec = CheckSpec(name=function.__name__, title=title, level=level, after=tuple(after), kinds=frozenset(kinds))
        setattr(run, ATTRIBUTE, spec)
        return run

    return mark


def spec_of(function: object) -> CheckSpec | None:
    """Return what `@check` recorded on a function, or None where it is not a check."""
    spec = getattr(function, ATTRIBUTE, None)
    return spec if isinstance(spec, CheckSpec) else None


@dataclass
class Notes:
    """What a check records besides findings: measurements, the model's own words, and how far it is.

    `title` is what people call the subject, `on_progress` who is told what happens.
    """

    title: str = ""
    on_progress: OnProgress = ignore
    measurements: list[Measurement] = field(default_factory=list)
    answer: str | None = None

    def measure(self, name: str, value: float, unit: str, budget: float | None = None) -> None:
        """Record a measurement, with its budget in the same unit where one is set."""
        self.measurements.append(Measurement(subject="", name=name, value=value, unit=unit, budget=budget))

    def progress(self, activity: str, done: int = 0, total: int = 0, unit: str = BYTES, /) -> None:
        """Show what the check does now, for who waits at a terminal: `hashing`, 310,000,000 of 2,100,000,000 bytes."""
        self.on_progress(f"{printable(self.title, limit=60)}: {activity}", done, total, unit)
