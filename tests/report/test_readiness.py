"""Which roles can run, and the one sentence about it."""

from __future__ import annotations

import dataclasses

import pytest

from sage_doctor.render import Screen, markdown, nagios, prometheus, terminal
from sage_doctor.report import CheckResult, Finding, Fix, MachineInfo, Report, RoleInfo
from sage_doctor.report.model_comparison import model_rows
from sage_doctor.report.readiness import answer, readiness
from sage_doctor.report.subjects import subjects_of
from tests.render import sample_reports as reports


def failed(subject: str, severity: str = "error", **evidence: object) -> Finding:
    return Finding(
        code="weights-missing",
        severity=severity,  # type: ignore[arg-type]
        subject=subject,
        check="weights.there",
        message="no weights",
        evidence=evidence,
        fix=Fix(summary="merge it"),
    )


def made(*findings: Finding, roles: dict[str, RoleInfo] | None = None, skipped: str = "") -> Report:
    """A machine with the role `raising` (base, adapter, a runner); `analysis` is another machine's."""
    checks = [c for n in ("base", "adapter", "other") if n != skipped for c in reports.well(n)]
    known = roles or {
        "raising": RoleInfo(name="raising", here=True, models=("base", "adapter"), others=("run.py",)),
        "analysis": RoleInfo(name="analysis", here=False, models=("other",)),
    }
    found = reports.report(checks, list(findings))
    machine = MachineInfo(name="thor", hostname="thor-agx", roles=tuple(r.name for r in known.values() if r.here))
    return dataclasses.replace(found, machine=machine, roles=tuple(known.values()))


@pytest.mark.parametrize(
    "report, raising, analysis, sentence",
    [
        (made(), "ready", "possible", "Yes: thor can run raising"),
        (made(failed("base")), "blocked", "possible", "No: thor cannot run raising"),
        (made(failed("run.py")), "blocked", "possible", "No: thor cannot run raising"),
        (made(failed("machine")), "blocked", "possible", "No: thor cannot run raising"),
        (made(failed("heartbeat:x")), "blocked", "possible", "No: thor cannot run raising"),
        (made(failed("adapter", "warning")), "ready", "possible", "Yes: thor can run raising, with 1 warning"),
        (
            made(failed("other", "info", needed_here=False, severity_where_needed="error")),
            *("ready", "blocked", "Yes: thor can run raising"),
        ),
        (
            made(skipped="adapter"),
            *("unknown", "possible"),
            "What was checked is in order; whether thor can run raising is not known",
        ),
        (made(skipped="other"), "ready", "unknown", "Yes: thor can run raising"),
    ],
)
def test_what_blocks_a_role(report: Report, raising: str, analysis: str, sentence: str) -> None:
    assert {r.role: r.state for r in readiness(report)} == {"raising": raising, "analysis": analysis}
    assert answer(report).sentence == sentence
    assert (answer(report).state == "no") == (report.verdict == "unhealthy")


def test_an_error_on_a_model_blocks_the_roles_that_need_it_and_no_other() -> None:
    both = {n: RoleInfo(name=n, here=True, models=(m,)) for n, m in (("raising", "base"), ("analysis", "other"))}
    found = readiness(made(failed("other"), roles=both))
    assert [(r.role, r.state) for r in found] == [("raising", "ready"), ("analysis", "blocked")]
    assert found[1].why == "weights-missing (other)"
    assert found[1].finding is not None


def test_a_model_that_only_other_machines_have_blocks() -> None:
    lacking = {"raising": RoleInfo(name="raising", here=False, models=("base",), elsewhere=("far",))}
    assert readiness(made(roles=lacking))[0].why == "not on this machine: far"


def test_what_could_not_be_found_out_is_not_ready() -> None:
    report = made()
    stuck = CheckResult(id="deadline", subject="machine", level="load", status="error", duration_s=1, reason="late")
    report = dataclasses.replace(report, verdict="unknown", exit_code=3, checks=(*report.checks, stuck))
    assert [r.state for r in readiness(report)] == ["unknown", "possible"]
    assert answer(report).sentence == "Not known whether thor can run raising"


def test_a_report_without_roles_is_judged_by_its_verdict() -> None:
    well, ill = (dataclasses.replace(r, roles=()) for r in (made(), made(failed("base"))))
    assert [(r.role, r.state) for r in readiness(well)] == [("raising", "ready")]
    assert [(r.role, r.state) for r in readiness(ill)] == [("raising", "blocked")]
    two = dataclasses.replace(ill, machine=dataclasses.replace(ill.machine, roles=("a", "b")))
    assert [r.state for r in readiness(two)] == ["unknown", "unknown"]
    nothing = dataclasses.replace(well, machine=dataclasses.replace(well.machine, roles=()))
    assert answer(nothing).sentence == "Yes: everything checked on thor is in order"


def test_an_error_that_is_ignored_makes_nothing_whole() -> None:
    """Its owner accepts it: the role runs, and says so. No face calls the model whole, or ready, or silently fine."""
    hidden = (failed("base"), failed("other", "info", needed_here=False, severity_where_needed="error"))
    report = dataclasses.replace(made(), suppressed=(*hidden, failed("adapter", "warning")))
    raising, analysis = readiness(report)
    assert (raising.state, raising.why) == ("ready", "weights-missing (base) suppressed")
    assert (analysis.state, analysis.why) == ("blocked", "weights-missing (other)")
    assert {s.name: s.state for s in subjects_of(report)} == {"base": "info", "adapter": "healthy", "other": "info"}
    assert [row.cells[0].state for row in model_rows([report])] == ["broken", "complete", "broken"]
    screen = Screen(width=80, color=False, unicode=True)
    assert "i base     suppressed: weights-missing" in terminal.render(report, screen)
    assert "OK - healthy, 3 examined, level generate, 3 suppressed" in nagios.render(report, screen)
    assert "| i | base | `weights-missing` suppressed |" in markdown.render(report, screen)
    metrics = prometheus.render(report, screen)
    assert [n for n in ("base", "adapter", "other") if f'subject="{n}"}} 1' in metrics] == ["adapter"]
