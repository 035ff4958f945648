"""What the suite uses of pytest and pytest-xdist beyond their documented APIs, tried on pytest 9.2 and xdist 3.8.

Everything else in the suite uses what their reference pages describe. Where a release changes one of these, only this
module changes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

from sage_doctor.suite.own_checks import load_beside, place_of


class SuiteModule(pytest.Module):
    """A file of the suite, of which pytest is shown what `wanted` takes: it looks at every name in a module.

    What it would see otherwise are a thousand imported names, and checks of which it makes items only to skip them.
    """

    wanted: Callable[[Any], bool]

    def _getobj(self) -> ModuleType:
        whole = super()._getobj()  # type: ignore[no-untyped-call]
        shown = ModuleType(whole.__name__)
        shown.__dict__.update(
            (k, v) for k, v in vars(whole).items() if k == "ORDER" or (k.startswith("check_") and self.wanted(v))
        )
        return shown


class OwnModule(pytest.Module):
    """A file of checks, loaded without what lies above its directory. pytest asks a collector for it by `_getobj`."""

    def _getobj(self) -> ModuleType:
        return load_beside(self.path)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:  # noqa: ARG002
        """Say in one line where a file that cannot be loaded is wrong."""
        error = excinfo.value
        if isinstance(error, self.CollectError) and error.__cause__ is not None:
            error = error.__cause__
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        return f"E   {place_of(error, self.path)}: {type(error).__name__}: {said}"


def parameters_of(item: pytest.Item) -> Mapping[str, Any]:
    """Return the values that a test was parametrised with, by name: `item.callspec`, which items without any lack."""
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}


def group_scheduler(config: pytest.Config, log: Any, group_of: Callable[[str], str]) -> Any:
    """Return a scheduler of xdist that keeps tests of one group together and drops the test that a worker died of.

    `group_of` names the group of a test id. `_split_scope` is what xdist's own documentation says to override;
    `assigned_work` has no documentation. xdist would hand the test to the next worker, which would die of it as well.
    """
    scheduling = importlib.import_module("xdist.scheduler")  # only where there are workers; it is not typed
    scheduler = scheduling.LoadScopeScheduling(config, log)
    scheduler._split_scope = group_of  # noqa: SLF001 - see above
    remove_node = scheduler.remove_node

    def remove(node: Any) -> str | None:
        crashed = pop_crashed_test(scheduler.assigned_work.get(node, {}))
        remove_node(node)
        return crashed

    scheduler.remove_node = remove
    return scheduler


def pop_crashed_test(work: Mapping[str, dict[str, bool]]) -> str | None:
    """Return the test that a dead worker was at, None where it had done all, and count it as done.

    `work` are a worker's groups of tests, each test with whether it has ended.
    """
    for tests in work.values():
        for test, ended in tests.items():
            if not ended:
                tests[test] = True
                return test
    return None
