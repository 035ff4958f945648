"""A report of a thousand models, each with an error and a measurement, in every format."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from functools import partial

from sage_doctor.render import COMPARING, FORMATS, render
from sage_doctor.report import MachineInfo, Measurement, Report
from sage_doctor.report.comparison import compare
from tests.render import sample_reports as reports

GOAL_S = 2.0
MODELS = 1000


def a_thousand() -> Report:
    """Return a report in which every model has an error of the same kind, and a history."""
    names = [f"model-{n}" for n in range(MODELS)]
    first = reports.incident().findings[0]
    made = reports.report(
        [c for name in names for c in reports.well(name)],
        [dataclasses.replace(first, subject=name) for name in names],
        [Measurement(subject=n, name="load_s", value=1.5, unit="s", budget=5, history=(1.0,) * 30) for n in names],
    )
    return reports.with_roles(made, raising=tuple(names))


def main(runs: int = 3) -> bool:
    """Measure, print, and return whether the goal is met."""
    one = a_thousand()
    other = dataclasses.replace(one, machine=MachineInfo(name="other", hostname="other", roles=("raising",)))
    worst = 0.0
    for name in FORMATS:
        render(reports.incident(), name)  # what the format imports
        taken = [least(partial(render, one, name), runs)]
        if name in COMPARING:
            taken.append(least(partial(side_by_side, [("one", one), ("other", other)], name), runs))
        worst = max(worst, *taken)
        side = f"   two side by side {taken[1]:6.3f} s" if len(taken) > 1 else ""
        print(f"  {name:12} {taken[0]:6.3f} s{side}")
    print(f"  the slowest takes {worst:.2f} s, goal at most {GOAL_S}")
    return worst <= GOAL_S


def side_by_side(given: list[tuple[str, Report]], name: str) -> str:
    """Return the reports side by side."""
    return render(compare(given, now=0, max_age_s=1), name)


def least(work: Callable[[], object], runs: int) -> float:
    """Return the seconds of the fastest of several runs."""
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
