"""The bridge between pytest and the report: which checks run on which subjects, and what becomes of their findings.

Loaded with `-p sage_doctor.suite.plugin`. The request travels in one option, so that xdist's workers see the same one.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from sage_doctor.check import CheckSpec, Finding, Notes, spec_of
from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.manifest.problems import shown_path
from sage_doctor.report import LEVELS, Level, at_least
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Request, Selection
from sage_doctor.subjects.service import Service
from sage_doctor.suite.model_prober import ModelProber
from sage_doctor.suite.own_checks import is_own, load_file, register_conftest
from sage_doctor.suite.pytest_internals import OwnModule, SuiteModule, parameters_of
from sage_doctor.suite.run import CheckOutcome, Run
from sage_doctor.suite.service_prober import ServiceProber
from sage_doctor.suite.suite_files import CHECKS, FIXTURES
from sage_doctor.system.activity import OnProgress
from sage_doctor.text import printable

PROPERTY = "sage-doctor"
LEVEL_PROPERTY = "sage-doctor-level"  # known before a check begins, so that a crash does not lose it
_RUN = pytest.StashKey[Run]()


class Shared:
    """Hands the suite's selection to this plugin in the same process, so that nothing is read twice.

    `on_progress` is told what checks are doing; nobody hears those of worker processes.
    """

    def __init__(self, selection: Selection, on_progress: OnProgress) -> None:
        self.selection = selection
        self.on_progress = on_progress


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that carries the request."""
    group = parser.getgroup("sage-doctor")
    group.addoption("--sage-request", metavar="JSON", help="what to examine, as the suite asks for it")


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that checks ask for."""
    for path in sorted(FIXTURES.glob("*.py")):
        if path.stem != "__init__":
            name = f"sage_doctor_fixtures_{path.stem}"
            config.pluginmanager.register(load_file(name, path), name)


@pytest.fixture(scope="session")
def selection(pytestconfig: pytest.Config) -> Selection:
    """What this process examines."""
    return _run_of(pytestconfig).selection


@pytest.fixture(scope="session")
def service_prober(pytestconfig: pytest.Config) -> ServiceProber:
    """What services answered the checks of this process."""
    return _run_of(pytestconfig).service_prober


@pytest.fixture(scope="session")
def model_prober(pytestconfig: pytest.Config) -> ModelProber:
    """The probes that the checks of this process share."""
    return _run_of(pytestconfig).model_prober


def _run_of(config: pytest.Config) -> Run:
    """Return this process's examination, made when it is first asked for. Without a request it is the defaults'.

    Ends the session, as `sage-doctor` would end, where there is nothing to examine.
    """
    if _RUN not in config.stash:
        text = config.getoption("--sage-request")
        shared = next((p for p in config.pluginmanager.get_plugins() if isinstance(p, Shared)), None)
        known = (shared.selection, shared.on_progress) if shared is not None else ()
        try:
            config.stash[_RUN] = Run(Request.from_json(json.loads(text)) if text else _default_request(), *known)
        except DoctorError as error:
            pytest.exit(str(error), returncode=error.exit_code)
        config.stash[_RUN].selection.host.start_inspection()
    return config.stash[_RUN]


def _default_request() -> Request:
    level = os.environ.get("SAGE_DOCTOR_LEVEL") or "static"
    if level not in LEVELS:
        raise UsageError(f"SAGE_DOCTOR_LEVEL={printable(level)} is not one of {', '.join(LEVELS)}")
    return Request(level=level)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let a file that ends the process when it is imported be one that cannot be collected, not the end of the run."""
    try:
        return (yield)
    except SystemExit as error:
        reason = f"E   SystemExit({error}) when it was imported"
        return pytest.CollectReport(collector.nodeid, "failed", reason, [])


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Load the `conftest.py` beside a user's own checks; no directory is a package, so nothing above is imported."""
    if parent.config.getoption("--sage-request") is None:
        return None
    if is_own(path, parent.config):
        register_conftest(path, parent.config)
    return pytest.Dir.from_parent(parent, path=path)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Load a user's own checks without what lies above their directory, and of ours those that concern something."""
    if parent.config.getoption("--sage-request") is None:
        return None
    if module_path.parent != CHECKS:
        return OwnModule.from_parent(parent, path=module_path)
    module = SuiteModule.from_parent(parent, path=module_path)
    module.wanted = functools.partial(_concerns_something, _run_of(parent.config).selection)
    return module


def _concerns_something(selection: Selection, found: Callable[..., object]) -> bool:
    """Return whether a check runs on anything selected. What is not declared as one is still to be refused."""
    spec = spec_of(found)
    if spec is None:
        return True
    if not at_least(selection.level, spec.level):
        return False
    kind = _subject_type(_required_parameters(found))
    return kind is None or any(_concerned(selection, spec, kind))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a check that names `model`, `adapter` or `service` run once for each of those it concerns.

    A model in a directory and one reached over HTTP have nothing in common that a check could look at, so no check
    names both.
    """
    spec = spec_of(metafunc.function)
    kind = _subject_type(metafunc.fixturenames)
    if spec is None or kind is None:
        return
    chosen = list(_concerned(_run_of(metafunc.config).selection, spec, kind))
    name = "service" if kind is Service else "model"
    # The id is the subject's position: names from a disk may be anything, and reports are matched by it.
    metafunc.parametrize(name, [s for _, s in chosen], indirect=True, ids=[str(n) for n, _ in chosen])


def _subject_type(parameters: Iterable[str]) -> type[Model | Service] | None:
    """Return what a check with these parameters runs once for, or None where it is about the machine."""
    names = {"model", "adapter", "service"}.intersection(parameters)
    return None if not names else Service if "service" in names else Model


def _concerned(
    selection: Selection, spec: CheckSpec, kind: type[Model | Service]
) -> Iterator[tuple[int, Model | Service]]:
    """Yield the subjects that a check runs on, each with its position."""
    for n, subject in enumerate(selection.subjects):
        if isinstance(subject, kind) and concerns(
            spec, subject, selection.level, deep=subject.name in selection.load_targets
        ):
            yield n, subject


def concerns(spec: CheckSpec, subject: Model | Service, level: Level, *, deep: bool) -> bool:
    """Return whether a check runs on a model or service in a run of this level.

    What no role needs is looked at without being loaded; what is only built on is loaded with what is built on it.
    Whether a service is needed may depend on the memory that is free, which differs between worker processes.
    """
    if spec.kinds and subject.kind not in spec.kinds:
        return False
    if not at_least(level, spec.level):
        return False
    if isinstance(subject, Service):
        return spec.level == "static" or deep
    if at_least(spec.level, "load"):
        return deep and subject.required
    return spec.level == "static" or subject.required


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order checks by subject and cause, and keep those of the level."""
    checks = [(item, spec) for item in items if (spec := _spec(item)) is not None]
    if not checks:
        return
    selection = _run_of(config).selection
    positions = {s.name: n for n, s in enumerate(selection.subjects)}
    kept: list[tuple[tuple[Any, ...], pytest.Item]] = []
    for item, spec in checks:
        if not at_least(selection.level, spec.level):
            continue
        about = _subject(item)
        # Our files say their own place; a user's own checks come after all of them.
        ours = item.path.parent == CHECKS
        rank = getattr(getattr(item, "module", None), "ORDER", math.inf) if ours else math.inf
        subject = positions[about.name] if about is not None else -1
        kept.append(((subject, LEVELS.index(spec.level), rank, str(item.path), item.location[1] or 0), item))
        item.user_properties.append((LEVEL_PROPERTY, spec.level))
    kept.sort(key=lambda pair: pair[0])
    items[:] = [item for _, item in kept] + [item for item in items if _spec(item) is None]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a function that is called as a check and is not declared as one: pytest would run it, and nobody know."""
    if item.config.getoption("--sage-request") is not None and _spec(item) is None:
        place = f"{shown_path(item.path)}:{(item.location[1] or 0) + 1}"
        pytest.fail(f'{place}: {item.name} is not declared as a check: write @check("static") above it', pytrace=False)


def _spec(item: pytest.Item) -> CheckSpec | None:
    return spec_of(item.function) if isinstance(item, pytest.Function) else None


def _subject(item: pytest.Item) -> Model | Service | None:
    parameters = parameters_of(item)
    found = parameters.get("model", parameters.get("service"))
    return found if isinstance(found, (Model, Service)) else None


def check_id(item: pytest.Item, spec: CheckSpec) -> str:
    """Return the id of a check in reports: its file and its name, `weights.weights_present`."""
    return f"{item.path.stem}.{spec.name.removeprefix('check_')}"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a check, keep what it found, and let pytest see it pass, fail or skip."""
    spec = spec_of(pyfuncitem.function)
    if spec is None:
        return None
    state = _run_of(pyfuncitem.config)
    arguments = {name: pyfuncitem.funcargs[name] for name in _required_parameters(pyfuncitem.function)}

    def call(notes: Notes) -> list[Finding]:
        if "notes" in arguments:
            arguments["notes"] = notes
        return cast("list[Finding]", pyfuncitem.function(**arguments))

    file = pyfuncitem.path if pyfuncitem.path.parent != CHECKS else None
    outcome = state.execute(_order(pyfuncitem), check_id(pyfuncitem, spec), spec, _subject(pyfuncitem), call, file)
    if pyfuncitem.config.getoption("--sage-request") is None:
        _report_to_pytest(outcome)  # a person runs pytest
    else:
        # The suite reads the outcome itself: pytest's account of a skip costs more than most checks do. Worker
        # processes can send it only as text.
        told = outcome.to_text() if hasattr(pyfuncitem.config, "workerinput") else outcome
        pyfuncitem.user_properties.append((PROPERTY, told))
    return True


@functools.cache
def _required_parameters(function: Callable[..., object]) -> tuple[str, ...]:
    """Return the parameters that pytest fills with fixtures: those without a default."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.default is p.empty)


_ORDERS = pytest.StashKey[dict[str, int]]()


def _order(item: pytest.Item) -> int:
    """Return the position of an item among the collected ones, the same in every worker."""
    if _ORDERS not in item.session.stash:
        item.session.stash[_ORDERS] = {i.nodeid: n for n, i in enumerate(item.session.items)}
    return item.session.stash[_ORDERS].get(item.nodeid, 0)


def _report_to_pytest(outcome: CheckOutcome) -> None:
    result = outcome.result
    if result.status == "skip":
        pytest.skip(result.reason or "")
    if result.status == "error":
        pytest.fail(result.reason or "", pytrace=False)
    errors = [f"{f.code}: {f.message}" for f in outcome.findings if f.severity == "error"]
    if errors:
        pytest.fail("\n".join(errors), pytrace=False)
