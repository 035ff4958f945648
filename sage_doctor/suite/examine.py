"""Facts and checks → report: the suite run by pytest in this process, with every foreign plugin left out."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor import __version__
from sage_doctor.findings.suppression import suppression_of
from sage_doctor.report import (
    MACHINE,
    SEVERITIES,
    CheckResult,
    FailOn,
    Level,
    MachineInfo,
    Report,
    conclude,
)
from sage_doctor.subjects.selection import Request, Selection, select
from sage_doctor.suite import plugin
from sage_doctor.suite.inventory import model_infos, role_infos
from sage_doctor.suite.plugin import LEVEL_PROPERTY, PROPERTY, Shared
from sage_doctor.suite.run import CheckOutcome
from sage_doctor.suite.suite_files import CHECKS
from sage_doctor.suite.workers import GroupScheduler, position_of, workers
from sage_doctor.system.activity import OnProgress, ignore
from sage_doctor.text import printable

OnOutcome = Callable[[CheckOutcome], None]
OnSubject = Callable[[list[CheckOutcome]], None]

_INI = Path(__file__).with_name("suite.ini")
# Parts of pytest that checks do not need. Together they take as long as the checks themselves.
_LEFT_OUT = (
    *("cacheprovider", "terminal", "faulthandler", "junitxml", "doctest", "pastebin", "unittest", "stepwise"),
    *("debugging", "warnings", "logging", "unraisableexception", "threadexception", "setuponly", "setupplan"),
    *("legacypath", "subtests"),
)
# What only a user's own checks may ask for, and worker processes bring along.
_LEFT_OUT_OF_OURS = ("skipping", "tmpdir", "monkeypatch", "recwarn", "capture")
_UNWANTED_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_THEME", "PYTEST_DEBUG")


class Collector:
    """Takes in what every process of the run reports."""

    def __init__(
        self, selection: Selection, on_progress: OnProgress, on_outcome: OnOutcome, on_subject: OnSubject
    ) -> None:
        self.outcomes: list[CheckOutcome] = []
        self.interrupted = False
        self._selection = selection
        self._titles = {m.name: m.title for m in selection.models}
        self._latest: dict[object, list[CheckOutcome]] = {}  # of the subject that each worker process is at
        self._on_subject = on_subject
        self._levels: dict[str, Level] = {}
        self._on_progress = on_progress
        self._on_outcome = on_outcome

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say what is being checked."""
        subject, _ = self._names(nodeid)
        title = "this machine" if subject == MACHINE else self._titles.get(subject, subject)
        self._on_progress(f"{printable(title, limit=60)}: checking")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep an outcome, or make one for a check that ended before it could report."""
        told = [value for name, value in report.user_properties if name == PROPERTY]
        if report.when == "setup":
            self._levels.update((report.nodeid, v) for n, v in report.user_properties if n == LEVEL_PROPERTY)  # type: ignore[misc]
        if report.when == "call" and told:
            outcome = told[-1] if isinstance(told[-1], CheckOutcome) else CheckOutcome.from_text(str(told[-1]))
            self.outcomes.append(outcome)
            self._on_outcome(outcome)
            self._follow(outcome, getattr(report, "node", None))
        elif report.failed and not told:
            self._add_error(report.nodeid, report.longreprtext)

    def _follow(self, outcome: CheckOutcome, worker: object) -> None:
        """Take a subject as done when its worker reports of another: all checks of one come one after the other."""
        latest = self._latest.setdefault(worker, [])
        if latest and latest[0].result.subject != outcome.result.subject:
            self._on_subject(latest)
            latest = self._latest[worker] = []
        latest.append(outcome)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file of checks that cannot be read is no finding about a model, and no success either."""
        if report.failed:
            self._add_error(report.nodeid, report.longreprtext)

    def pytest_keyboard_interrupt(self) -> None:
        """Remember that a person ended the run; pytest ends alike where a file of checks cannot be read."""
        self.interrupted = True

    def pytest_internalerror(self, excrepr: object) -> bool:
        """Keep pytest's own failure as one more thing that could not be found out, and show no traceback."""
        self._add_error("suite", str(excrepr))
        return True

    def _add_error(self, nodeid: str, text: str) -> None:
        subject, check = self._names(nodeid)
        lines = [line for line in text.strip().splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("E ")]  # pytest's mark for what was raised
        last = (told or lines or ["no reason given"])[-1]
        result = CheckResult(
            id=check,
            subject=subject,
            level=self._levels.get(nodeid, self._selection.level),
            status="error",
            duration_s=0.0,
            reason=printable(last.removeprefix("E ").strip(), limit=400),
        )
        self.outcomes.append(CheckOutcome(order=1 << 30, result=result))

    def _names(self, nodeid: str) -> tuple[str, str]:
        """Return the subject and check id that a pytest id stands for: `checks/load.py::check_loads[3]`."""
        path, _, rest = nodeid.partition("::")
        name = rest.partition("[")[0]
        position = position_of(nodeid)
        subjects = self._selection.subjects
        subject = subjects[position].name if position is not None and position < len(subjects) else MACHINE
        stem = Path(path).stem or "suite"
        return subject, f"{stem}.{name.removeprefix('check_')}" if name else stem


def examine(
    request: Request,
    *,
    jobs: int = 0,
    fail_on: FailOn = "error",
    on_progress: OnProgress = ignore,
    on_outcome: OnOutcome = lambda _outcome: None,
    on_subject: OnSubject = lambda _outcomes: None,
    selection: Selection | None = None,
) -> Report:
    """Run every check that a request asks for, and return the report.

    `jobs` above 1 spreads the models over that many worker processes. `on_progress` is told what happens meanwhile,
    `on_outcome` gets each outcome as it comes, `on_subject` all of a subject once the next one begins. `selection` is
    what the request selects, where that is known already. Raises `UsageError` and `ManifestError` for a request that
    makes no sense, `NothingSelected` where there is nothing to examine, and `KeyboardInterrupt`.
    """
    started = dt.datetime.now(dt.timezone.utc)
    begun = time.monotonic()
    request = replace(request, cwd=request.cwd or os.getcwd())
    with _run_directory(request) if jobs > 1 else contextlib.nullcontext(request) as shared:
        selection = selection or select(shared)
        suppression_of(request.select_codes, request.ignore_codes, selection.host.manifest)  # a wrong code ends it here
        selection.host.start_inspection()
        collector = Collector(selection, on_progress, on_outcome, on_subject)
        _run_pytest(shared, collector, jobs, Shared(selection, on_progress))
    if collector.interrupted:
        raise KeyboardInterrupt
    return _report(selection, collector.outcomes, fail_on, started, time.monotonic() - begun)


@contextlib.contextmanager
def _run_directory(request: Request) -> Iterator[Request]:
    """Give the run a private directory that its worker processes share."""
    with _private_directory() as directory:
        yield replace(request, run_directory=directory)


def _private_directory() -> contextlib.AbstractContextManager[str]:
    return tempfile.TemporaryDirectory(prefix="sage-doctor-", ignore_cleanup_errors=True)


def _run_pytest(request: Request, collector: Collector, jobs: int, shared: Shared) -> None:
    selection = shared.selection
    manifest = selection.host.manifest
    own = [str(p) for p in manifest.check_paths] if manifest is not None else []
    arguments = [
        *(str(CHECKS), *own, "-c", str(_INI), "--rootdir", str(CHECKS.parent)),
        *("--import-mode=importlib", "--assert=plain", "--continue-on-collection-errors"),
        *(word for name in _LEFT_OUT for word in ("-p", f"no:{name}")),
        f"--sage-request={json.dumps(request.to_json())}",
        "--noconftest",  # pytest would import those of every directory above; the plugin loads those beside the checks
    ]
    plugins: list[object] = [collector, shared, plugin]  # for a name, pytest would look through all entry points
    if jobs > 1:
        arguments += ["-p", plugin.__name__, "-p", "xdist.plugin", "--tx", workers(jobs)]
        arguments += ["--dist", "loadscope", "--max-worker-restart=0"]
        plugins.append(GroupScheduler(selection))
    with _own_environment(), _own_output(), contextlib.ExitStack() as held:
        if own or jobs > 1:
            # Or pytest would make its own directory beside those of the user's test runs, and delete the older ones.
            arguments += ["--capture=no", f"--basetemp={held.enter_context(_private_directory())}/pytest"]
        else:
            arguments += [word for name in _LEFT_OUT_OF_OURS for word in ("-p", f"no:{name}")]
        pytest.main(arguments, plugins=plugins)


@contextlib.contextmanager
def _own_environment() -> Iterator[None]:
    """Keep what users set for their own test runs away from this one."""
    before = {name: os.environ.get(name) for name in (*_UNWANTED_VARIABLES, "PYTEST_DISABLE_PLUGIN_AUTOLOAD")}
    for name in _UNWANTED_VARIABLES:
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _own_output() -> Iterator[None]:
    """Keep what a check or a library prints out of ours, whether it comes from Python or from below.

    pytest's own capturing does this anew for every phase of every check, which takes longer than most checks.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def _report(
    selection: Selection,
    outcomes: list[CheckOutcome],
    fail_on: FailOn,
    started: dt.datetime,
    duration_s: float,
) -> Report:
    ordered = sorted(outcomes, key=lambda o: (o.order, o.result.subject, o.result.id))
    checks = tuple(o.result for o in ordered)
    if selection.cut:
        cut = CheckResult(
            id="scan", subject=MACHINE, level=selection.level, status="error", duration_s=0.0, reason=selection.cut
        )
        checks = (*checks, cut)
    found = [f for o in ordered for f in o.findings]
    found.sort(key=lambda f: SEVERITIES.index(f.severity))  # stable: within one severity, causes stay first
    verdict, exit_code = conclude(checks, found, fail_on)
    host = selection.host
    return Report(
        doctor={"version": __version__, "python": platform.python_version()},
        machine=MachineInfo(
            name=host.name,
            hostname=host.machine.hostname,
            roles=selection.roles,
            accelerator=host.accelerator or next(iter(sorted(host.machine.accelerators)), "cpu"),
            boot_id=host.machine.boot_id,
            platform=host.machine.platform,
            memory_bytes=host.machine.memory_total,
        ),
        started_at=started.isoformat(timespec="seconds"),
        duration_s=duration_s,
        level=selection.level,
        verdict=verdict,
        exit_code=exit_code,
        checks=checks,
        findings=tuple(found),
        measurements=tuple(m for o in ordered for m in o.measurements),
        answers={o.result.subject: o.answer for o in ordered if o.answer is not None},
        titles={m.name: m.title for m in selection.models if m.title != m.name},
        models=model_infos(selection),
        roles=role_infos(selection),
        suppressed=tuple(f for o in ordered for f in o.suppressed),
    )
