"""No check goes untested: each has a directory it passes and one it fails, and every code it may emit is shown."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from sage_doctor.check import spec_of
from sage_doctor.findings import catalogue
from sage_doctor.suite.suite_files import CHECKS, FAMILIES

from . import (
    test_adapter_tensors,
    test_adapters,
    test_config,
    test_environment,
    test_generate,
    test_history,
    test_hub_cache,
    test_integrity,
    test_load,
    test_lock,
    test_memory,
    test_packages,
    test_paths,
    test_permissions,
    test_runners,
    test_services,
    test_sessions,
    test_tokenizers,
    test_weights,
)
from .cases import CHECKS_BY_NAME, Case

MODULES = (
    test_adapter_tensors,
    test_adapters,
    test_config,
    test_environment,
    test_generate,
    test_history,
    test_hub_cache,
    test_integrity,
    test_load,
    test_lock,
    test_memory,
    test_packages,
    test_paths,
    test_permissions,
    test_runners,
    test_sessions,
    test_services,
    test_tokenizers,
    test_weights,
)
CASES: list[Case] = [case for module in MODULES for case in module.CASES]
PACKAGE = Path(inspect.getfile(catalogue)).parents[1]
EMITTING = sorted([*CHECKS.glob("*.py"), *PACKAGE.glob("*_findings.py")])
# Shown by a file of another user, which only root can make: tests/checks/test_permissions.py.
ROOT_ONLY = {"weights-private-mode"}


def codes_in(path: Path) -> set[str]:
    """Return the catalogue's codes that stand in a file as text, and those built from `load` and `generate`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        if isinstance(node, ast.JoinedStr) and len(node.values) == 2 and isinstance(node.values[1], ast.Constant):
            found |= {f"{act}{node.values[1].value!s}" for act in ("load", "generate")}
    return {code for code in found if catalogue.find(code) is not None}


def test_every_check_has_a_passing_and_a_failing_case() -> None:
    passing = {c.check for c in CASES if c.code is None and not c.reason}
    failing = {c.check for c in CASES if c.code is not None}
    assert set(CHECKS_BY_NAME) == passing & failing


def test_every_code_is_shown_by_a_case() -> None:
    emitted = {code for path in EMITTING for code in codes_in(path)}
    assert len(emitted) > 50
    assert emitted - {c.code for c in CASES} <= ROOT_ONLY


def test_every_family_of_checks_is_in_the_order_of_the_suite() -> None:
    assert {path.stem for path in CHECKS.glob("*.py")} == set(FAMILIES)


def test_every_test_of_a_family_is_counted_here() -> None:
    assert {path.stem for path in CHECKS.glob("*.py")} == {m.__name__.rpartition("test_")[2] for m in MODULES}


def test_what_a_check_waits_for_exists_and_runs_before_it() -> None:
    ranks = {name: FAMILIES.index(Path(inspect.getfile(inspect.unwrap(f))).stem) for name, f in CHECKS_BY_NAME.items()}
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
