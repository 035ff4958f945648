"""What runs where when the models are spread over worker processes: models built on each other stay together.

pytest-xdist can group by marks (`--dist loadgroup`), which works by rewriting the ids of tests and does nothing under
releases of pytest that no longer let it. Groups are told here from the ids themselves.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sage_doctor.subjects.selection import Selection

if TYPE_CHECKING:
    import pytest


def position_of(nodeid: str) -> int | None:
    """Return the position of the subject in the selection that a test id names, None for a check of the machine.

    `checks/load.py::check_loads[3]` is about the subject at position 3.
    """
    _, bracket, rest = nodeid.partition("::")[2].partition("[")
    number = rest.rstrip("]")
    return int(number) if bracket and number.isdecimal() else None


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
        scheduling = importlib.import_module("xdist.scheduler")  # only where there are workers; it is not typed
        scheduler = scheduling.LoadScopeScheduling(config, log)
        scheduler._split_scope = self.group_of  # noqa: SLF001 - what xdist says to override
        remove = scheduler.remove_node

        def remove_node(node: Any) -> str | None:
            lethal = pop_crashed_test(scheduler.assigned_work.get(node, {}))
            remove(node)
            return lethal

        scheduler.remove_node = remove_node
        return scheduler


def pop_crashed_test(work: dict[str, dict[str, bool]]) -> str | None:
    """Return the test that a dead worker was at, None where it had done all, and count it as done.

    xdist would hand it to the next worker, which would die of it as well. `work` are a worker's groups of tests, each
    test with whether it has ended.
    """
    for tests in work.values():
        for test, ended in tests.items():
            if not ended:
                tests[test] = True
                return test
    return None
