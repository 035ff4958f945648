"""What runs where when the models are spread over worker processes: models built on each other stay together.

pytest-xdist can group by marks (`--dist loadgroup`), which works by rewriting the ids of tests and does nothing under
releases of pytest that no longer let it. Groups are told here from the ids themselves.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from sage_doctor.subjects.selection import Selection
from sage_doctor.suite.pytest_internals import group_scheduler
from sage_doctor.system.own_python import isolated

if TYPE_CHECKING:
    import pytest


def position_of(nodeid: str) -> int | None:
    """Return the position of the subject in the selection that a test id names, None for a check of the machine.

    `checks/load.py::check_loads[3]` is about the subject at position 3.
    """
    _, bracket, rest = nodeid.partition("::")[2].partition("[")
    number = rest.rstrip("]")
    return int(number) if bracket and number.isdecimal() else None


def workers(count: int) -> str:
    """Return what tells xdist to start worker processes; by itself it would have them import from where we are."""
    python = shlex.join([os.path.normpath(isolated()[0]), *isolated()[1:]])  # `//` would end the value
    return f"{count}*popen//python={python}"


class GroupScheduler:
    """A plugin for the process that hands out work: each group of models goes to one worker, in order."""

    def __init__(self, selection: Selection) -> None:
        self._groups = [selection.group_of(s) for s in selection.subjects]

    def group_of(self, nodeid: str) -> str:
        """Return the name of the group of tests that a test belongs to."""
        position = position_of(nodeid)
        if position is None or position >= len(self._groups):
            return nodeid
        return f"model {self._groups[position]}"

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Return a scheduler that keeps groups together."""
        return group_scheduler(config, log, self.group_of)
