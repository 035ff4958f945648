"""One case of a check: what lies on the disk, what the check must then say, and the one way in which it is run."""

from __future__ import annotations

import importlib.util
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from sage_doctor.check import Notes, spec_of
from sage_doctor.facts.kernel_log import KernelLog
from sage_doctor.facts.machine import MachineFacts
from sage_doctor.facts.packages import InterpreterFacts
from sage_doctor.findings.device import device_finding
from sage_doctor.probe.outcome import ProbeOutcome
from sage_doctor.report import MACHINE, Finding, Level, Measurement
from sage_doctor.subjects.device import session_device
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Request, select
from sage_doctor.suite.model_prober import DeviceProbe
from sage_doctor.suite.run import CheckOutcome, Run
from sage_doctor.suite.suite_files import CHECKS
from sage_doctor.system.mounts import MountTable

# What the tests know of the sessions' interpreter, unless a case says otherwise: nothing on this machine matters.
SESSION = InterpreterFacts(
    executable="/opt/sessions/bin/python",
    version="3.11.0",
    prefix="/opt/sessions",
    packages={"torch": "2.13.0+cpu", "transformers": "5.23.0", "peft": "0.21.2", "tokenizers": "0.22.0"},
    torch_accelerator="cpu",
)


# The parameters by which a check says what it is about.
ABOUT = {"model", "adapter", "service"}


@dataclass(kw_only=True)
class Bench:
    """Where a case is built. `here` is the directory examined; `subject` the model in it that the check is run on.

    Facts that no test can make true on any machine are put in by hand: the sessions' interpreter, the machine's
    memory and devices, and how a probe ended.
    """

    root: Path
    target: str | None = None
    subject: str = "."
    level: str = "generate"
    session: InterpreterFacts = SESSION
    machine: Callable[[MachineFacts], MachineFacts] = lambda facts: facts
    outcome: ProbeOutcome | None = None
    deadline_s: float | None = None
    device_outcome: ProbeOutcome | None = None
    environ: dict[str, str] = field(default_factory=dict)
    mounts: MountTable | None = None
    kernel_log: KernelLog = field(default_factory=KernelLog)

    @property
    def here(self) -> Path:
        """The examined directory; a builder makes it."""
        return self.root / "here"

    def manifest(self, text: str, subject: str) -> None:
        """Examine the models of a manifest instead of a directory, `subject` among them."""
        (self.root / "sage-doctor.toml").write_text("schema = 1\n" + text, encoding="utf-8")
        self.subject = subject

    def run(self, check: str) -> CheckOutcome:
        """Run one check on the subject and return how it ended."""
        manifest = self.root / "sage-doctor.toml"
        home = self.root / "home"
        home.mkdir(exist_ok=True)
        request = Request(
            targets=() if manifest.exists() else (self.target or str(self.here),),
            manifest=str(manifest) if manifest.exists() else None,
            level=self.level,  # type: ignore[arg-type]
            cwd=str(self.root),
            deadline=time.monotonic() + self.deadline_s if self.deadline_s is not None else None,
        )
        selection = select(request, {"HOME": str(home), **self.environ})
        host = selection.host
        # Facts are read when they are first asked for, so what is put in here is never read.
        vars(host)["session"] = self.session
        vars(host)["machine"] = self.machine(host.machine)
        vars(host)["kernel_log"] = self.kernel_log
        if self.mounts is not None:
            vars(host)["mounts"] = self.mounts
        run = Run(request, selection)
        function = CHECKS_BY_NAME[check]
        spec = spec_of(function)
        assert spec is not None
        names = inspect.signature(function).parameters
        subject = None
        if ABOUT & set(names):
            subject = next(s for s in selection.subjects if s.name == self.subject)

        def call(notes: Notes) -> list[Finding]:
            given: Mapping[str, Any] = {
                "model": subject,
                "adapter": subject,
                "service": subject,
                "ask": run.service_prober,
                "host": host,
                "machine": host.machine,
                "session": host.session,
                "models": [m for m in selection.models if m.name in selection.load_targets],
                "probe": Probed(self),
                "notes": notes,
            }
            found: list[Finding] = function(**{name: given[name] for name in names})
            return found

        return run.execute(0, check, spec, subject, call)


@dataclass(frozen=True)
class Probed:
    """Stands for the probes of a run: hands out what a case says of the model and of its devices."""

    bench: Bench

    @property
    def level(self) -> Level:
        """The level of the run: as deep as the outcome that the case gives."""
        return "generate" if self.bench.outcome is not None and self.bench.outcome.generation is not None else "load"

    def __call__(self, _model: Model) -> ProbeOutcome:
        assert self.bench.outcome is not None, "this check asked for a probe, and the case gives none"
        return self.bench.outcome

    def examined(self, host: Host, device: str) -> DeviceProbe:
        """Judge the outcome that the case gives for the device; one that gives none has a sound device."""
        outcome = self.bench.device_outcome
        if outcome is None:
            return DeviceProbe()
        held = (outcome.device.memory_total, outcome.device.memory_free) if outcome.device else (0, 0)
        return DeviceProbe(finding=device_finding(host, device, outcome), memory_total=held[0], memory_free=held[1])

    def broken_device(self, model: Model) -> str | None:
        """Return the code of what is wrong with the model's device."""
        found = self.examined(model.host, session_device(model.host, model)).finding
        return found.code if found is not None and found.severity == "error" else None


Build = Callable[[Bench], None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`code` is the one finding expected, None where there must be none. `reason` is that of a skip."""

    check: str
    name: str
    build: Build
    code: str | None = None
    severity: str = ""
    says: str = ""
    reason: str = ""
    measures: tuple[str, ...] = ()
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.check.removeprefix('check_')}-{self.name}"

    def hold(self, root: Path) -> None:
        """Build the case below `root`, run the check, and hold its outcome against what is expected."""
        bench = Bench(root=root)
        self.build(bench)
        outcome = bench.run(self.check)
        told = (outcome.result.status, outcome.result.reason, [(f.code, f.message) for f in outcome.findings])
        if self.reason:
            assert outcome.result.status == "skip", told
            assert self.reason in (outcome.result.reason or ""), told
        elif self.code is None:
            assert told == ("pass", None, []), told
        else:
            assert [f.code for f in outcome.findings] == [self.code], told
            found = outcome.findings[0]
            assert found.severity == self.severity, told
            about = ABOUT & set(inspect.signature(CHECKS_BY_NAME[self.check]).parameters)
            assert found.subject == (self.subject or (bench.subject if about else MACHINE))
            assert self.says in found.message, told
            assert found.message.isprintable()
            assert found.fix.summary
            assert outcome.result.status == {"error": "fail", "warning": "warn", "info": "pass"}[self.severity]
        measured: list[Measurement] = list(outcome.measurements)
        assert {m.name for m in measured} >= set(self.measures)
        # Nothing may be lost on the way from a worker process.
        assert CheckOutcome.from_text(outcome.to_text()) == _as_sent(outcome)


def _as_sent(outcome: CheckOutcome) -> CheckOutcome:
    """Return the outcome with the lists that JSON makes of tuples inside evidence."""
    return replace(outcome, findings=CheckOutcome.from_text(outcome.to_text()).findings)


class Cases(list[Case]):
    """The cases of one family of checks, in the order they are written; each method decorates a builder."""

    def passes(self, check: str, *, measures: tuple[str, ...] = ()) -> Callable[[Build], Build]:
        """Register a directory that the check has nothing to say about."""
        return self._add(check=check, measures=measures)

    def skips(self, check: str, reason: str) -> Callable[[Build], Build]:
        """Register a directory that the check does not concern, for this reason."""
        return self._add(check=check, reason=reason)

    def finds(
        self, check: str, code: str, says: str = "", *, severity: str = "error", subject: str = ""
    ) -> Callable[[Build], Build]:
        """Register a directory in which the check finds exactly this; `says` is part of the message.

        `subject` is given where it is neither the model nor the machine.
        """
        return self._add(check=check, code=code, says=says, severity=severity, subject=subject)

    def _add(self, **fields: Any) -> Callable[[Build], Build]:
        def mark(build: Build) -> Build:
            self.append(Case(name=build.__name__, build=build, **fields))
            return build

        return mark


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tested_checks_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECKS_BY_NAME = {
    name: function
    for path in sorted(CHECKS.glob("*.py"))
    for name, function in vars(_loaded(path)).items()
    if spec_of(function) is not None
}
