"""No check goes untested: each has a directory it passes and one it fails, and every code it may emit is shown."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from sage_doctor.check import spec_of
from sage_doctor.findings import catalogue
from sage_doctor.suite.suite_files import CHECKS
from tests.findings.emitted import emitted_codes

from .cases import CHECKS_BY_NAME, Case

TESTS = {p.stem.removeprefix("test_") for p in Path(__file__).parent.glob("test_*.py")} - {"every_check"}
CASES: list[Case] = [
    case for name in sorted(TESTS) for case in importlib.import_module(f".test_{name}", __package__).CASES
]
FINDINGS = Path(inspect.getfile(catalogue)).parent
EMITTING = sorted([*CHECKS.glob("*.py"), *FINDINGS.glob("*.py")])
ORDERS: dict[str, int] = {
    Path(inspect.getfile(inspect.unwrap(f))).stem: inspect.unwrap(f).__globals__["ORDER"]
    for f in CHECKS_BY_NAME.values()
}
# Shown by a file of another user, which only root can make: tests/checks/test_permissions.py.
ROOT_ONLY = {"weights-private-mode"}


def test_every_check_has_a_passing_and_a_failing_case() -> None:
    passing = {c.check for c in CASES if c.code is None and not c.reason}
    failing = {c.check for c in CASES if c.code is not None}
    assert set(CHECKS_BY_NAME) == passing & failing


def test_every_code_is_shown_by_a_case() -> None:
    emitted = {code for path in EMITTING for code in emitted_codes(path)}
    assert len(emitted) > 50
    assert emitted - {c.code for c in CASES} <= ROOT_ONLY


def test_every_file_of_checks_has_its_test() -> None:
    checks = {path.stem for path in CHECKS.glob("*.py")}
    assert checks <= TESTS
    assert [t for t in TESTS - checks if not any(t.startswith(f"{c}_") for c in checks)] == []


def test_every_file_of_checks_says_its_place_in_the_order() -> None:
    assert sorted(ORDERS) == sorted(path.stem for path in CHECKS.glob("*.py"))
    assert len(set(ORDERS.values())) == len(ORDERS)


def test_what_a_check_waits_for_exists_and_runs_before_it() -> None:
    ranks = {name: ORDERS[Path(inspect.getfile(inspect.unwrap(f))).stem] for name, f in CHECKS_BY_NAME.items()}
    for name, function in CHECKS_BY_NAME.items():
        spec = spec_of(function)
        assert spec is not None
        for cause in spec.after:
            if cause == "*":
                continue
            other = spec_of(CHECKS_BY_NAME[cause])
            assert other is not None
            # A check of the base may wait on one that only adapters have, and the other way round: models are
            # examined base first, so the order within one model matters where both concern the same kind.
            if not other.kinds or not spec.kinds or other.kinds & spec.kinds:
                assert (ranks[cause], line_of(cause)) < (ranks[name], line_of(name)), (name, cause)


def line_of(name: str) -> int:
    """Return the line on which a check is written."""
    function = CHECKS_BY_NAME[name]
    line: int = inspect.unwrap(function).__code__.co_firstlineno
    return line
