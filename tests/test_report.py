"""Verdict and exit code, against the table in the design, and the report's way to JSON and back."""

import json

import pytest

from sage_doctor.report import (
    LEVELS,
    Change,
    CheckResult,
    FailOn,
    Finding,
    Fix,
    MachineInfo,
    Measurement,
    Report,
    Severity,
    Status,
    at_least,
    conclude,
    status_of,
)


def check(status: Status) -> CheckResult:
    return CheckResult(id=f"check_{status}", subject="m", level="static", status=status, duration_s=0.1)


def finding(severity: Severity) -> Finding:
    return Finding(code="acme-x", severity=severity, subject="m", check="c", message="x", fix=Fix(summary="y"))


# What ran, what was found, and then the exit code for --fail-on error, warning and never.
TABLE: list[tuple[list[Status], list[Severity], str, tuple[int, int, int]]] = [
    (["pass"], [], "healthy", (0, 0, 0)),
    (["pass", "skip"], [], "healthy", (0, 0, 0)),
    (["pass"], ["info"], "healthy", (0, 0, 0)),
    (["pass", "warn"], ["warning"], "degraded", (0, 1, 0)),
    (["warn"], ["warning", "info"], "degraded", (0, 1, 0)),
    (["fail"], ["error"], "unhealthy", (1, 1, 0)),
    (["fail", "warn"], ["error", "warning"], "unhealthy", (1, 1, 0)),
    # unknown: a check crashed or the deadline passed
    (["pass", "error"], [], "unknown", (3, 3, 3)),
    (["pass", "error"], ["info"], "unknown", (3, 3, 3)),
    (["warn", "error"], ["warning"], "unknown", (3, 1, 3)),
    (["error"], [], "unknown", (3, 3, 3)),
    # nothing ran to its end: that is not success
    ([], [], "unknown", (3, 3, 3)),
    (["skip"], [], "unknown", (3, 3, 3)),
    (["skip", "skip"], ["info"], "unknown", (3, 3, 3)),
    # unhealthy and unknown together give 1
    (["fail", "error"], ["error"], "unhealthy", (1, 1, 3)),
    (["skip"], ["error"], "unhealthy", (1, 1, 3)),
]


@pytest.mark.parametrize("statuses, severities, verdict, codes", TABLE)
def test_verdict_and_exit_code(
    statuses: list[Status], severities: list[Severity], verdict: str, codes: tuple[int, int, int]
) -> None:
    checks, findings = [check(s) for s in statuses], [finding(s) for s in severities]
    fail_on: tuple[FailOn, ...] = ("error", "warning", "never")
    assert [conclude(checks, findings, f) for f in fail_on] == [(verdict, code) for code in codes]


def test_the_order_in_which_things_were_found_does_not_matter() -> None:
    checks = [check(s) for s in ("error", "fail", "pass")]
    assert conclude(checks, [finding("info"), finding("error")]) == conclude(
        checks[::-1], [finding("error"), finding("info")]
    )


@pytest.mark.parametrize(
    "severities, status",
    [([], "pass"), (["info"], "pass"), (["info", "warning"], "warn"), (["warning", "error"], "fail")],
)
def test_status_of_a_check(severities: list[Severity], status: Status) -> None:
    assert status_of(finding(s) for s in severities) == status


def test_each_level_goes_at_least_as_deep_as_those_before_it() -> None:
    assert [[at_least(a, b) for b in LEVELS] for a in LEVELS] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


def whole() -> Report:
    return Report(
        doctor={"version": "0.1.0"},
        machine=MachineInfo(name="thor", hostname="thor-agx", roles=("raising",), memory_bytes=1),
        started_at="2026-01-17T18:05:12+00:00",
        duration_s=1.5,
        level="load",
        verdict="unhealthy",
        exit_code=1,
        checks=(check("fail"), CheckResult(id="c", subject="m", level="load", status="skip", duration_s=0, reason="r")),
        findings=(
            Finding(
                code="weights-missing",
                severity="error",
                subject="m\udcff",
                check="c",
                message="x\x1b",
                evidence={"list": [1, "a", None, {"deep": [0.5]}]},
                fix=Fix(summary="y", commands=("a", "b"), repair="merge"),
            ),
        ),
        measurements=(Measurement(subject="m", name="load_s", value=1.25, unit="s", budget=30),),
        answers={"m": "hello"},
        changes=(Change(subject="m", what="file a", before="1"), Change(subject="machine", what="rebooted")),
        changes_since="2026-01-15T18:05:12+00:00",
    )


def test_a_report_survives_json_unchanged() -> None:
    assert Report.from_json(json.loads(json.dumps(whole().to_json()))) == whole()


def test_fields_without_a_value_are_left_out() -> None:
    data = whole().to_json()
    assert "reason" not in data["checks"][0]
    assert "accelerator" not in data["machine"]
    assert list(data)[:2] == ["schema_version", "doctor"]


def test_another_schema_version_is_refused() -> None:
    with pytest.raises(ValueError, match="schema_version 2, this doctor reads 1"):
        Report.from_json({**whole().to_json(), "schema_version": 2})
