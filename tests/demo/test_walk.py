"""The demo itself, run as a person runs it; and every claim it makes, denied once."""

import contextlib
import dataclasses
import sys
from pathlib import Path

import pytest

from sage_doctor.demo import incident, walk
from sage_doctor.report import CheckResult, Finding, Fix, MachineInfo, Report


def a_finding(code: str, subject: str, **evidence: object) -> Finding:
    return Finding(
        code=code,
        severity="error",
        subject=subject,
        check="check_it",
        message=f"{code} it is",
        evidence=evidence,
        fix=Fix(summary="mend it"),
    )


def a_report(**changes: object) -> Report:
    whole = Report(
        doctor={"version": "0.1.0"},
        machine=MachineInfo(name="thor", hostname="thor"),
        started_at="2026-01-17T18:05:00+00:00",
        duration_s=1.0,
        level="generate",
        verdict="healthy",
        exit_code=0,
        checks=(CheckResult(id="check_it", subject="x", level="static", status="pass", duration_s=0.1),),
        findings=(),
    )
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


ILL = a_report(verdict="unhealthy", exit_code=1, findings=(a_finding("weights-missing", incident.MERGED),))


@pytest.mark.parametrize(
    "report,code,found,says",
    [
        (ILL, 1, ("weights-missing", incident.MERGED), ""),
        (a_report(), 0, None, ""),
        (a_report(verdict="unknown", exit_code=3), 0, None, r"verdict is unknown \(3\), not 0"),
        (ILL, 0, None, "weights-missing it is"),
        (ILL, 1, ("weights-missing", "smollm2"), "does not report weights-missing on smollm2"),
        (ILL, 1, ("adapter-base-missing", incident.MERGED), "does not report adapter-base-missing"),
    ],
)
def test_a_report_is_held_against_what_the_step_claims(
    report: Report, code: int, found: tuple[str, str] | None, says: str
) -> None:
    with pytest.raises(walk.DemoFailed, match=says) if says else contextlib.nullcontext():
        walk._expect(report, code, *([found] if found else []))


def test_doctor_without_a_report_is_said_to_have_none(tmp_path: Path, hollow_model: Path) -> None:
    it = incident.write_incident(tmp_path, hollow_model)
    it.manifest.write_text("schema = 1\nmodles = 3\n")
    with pytest.raises(walk.DemoFailed, match=r"ended with exit code 2 and no report: .*modles"):
        walk._doctor(it, lambda _line: None, "check")


def test_session_on_a_hollow_model_fails_with_the_line_that_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hollow_model: Path, warm_python: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(warm_python))
    it = incident.write_incident(tmp_path, hollow_model)
    screen: list[str] = []
    code, last = walk._session(it, it.runners[0], screen.append)
    assert code == 1
    assert "Repo id must be in the form" in last
    assert "'/home/sprout/" in last
    assert screen == ["  $ python sage/raising/scripts/run_session_primary.py"]


def test_who_has_no_model_yet_is_told_that_it_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hollow_model: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(walk, "converted", lambda: hollow_model)
    monkeypatch.setattr(walk, "_play", lambda _it, _echo, _page: None)
    screen: list[str] = []
    assert walk.run_demo(tmp_path, echo=screen.append, page=tmp_path / "page.html") == 0
    assert screen[0] == "Making the demo's model, SmolLM2-135M-Instruct: once, for about half a minute."
    assert (tmp_path / "thor").is_dir()


def test_demo_comes_true(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, demo_cache: Path, warm_merging_doctor: Path
) -> None:
    """With the model converted: the incident is broken, diagnosed, cured, and the session answers.

    A dozen processes of it load torch and the doctor; here they find them loaded. `make demo` takes the interpreter
    itself.
    """
    monkeypatch.setattr(sys, "executable", str(warm_merging_doctor))
    monkeypatch.setenv("XDG_CACHE_HOME", str(demo_cache))
    monkeypatch.setenv("SAGE_DOCTOR_MANIFEST", "/nowhere/of/the/users.toml")
    screen: list[str] = []
    page = tmp_path / "page.html"
    code = walk.run_demo(tmp_path, echo=screen.append, page=page)
    shown = "\n".join(screen)
    assert code == 0, shown
    for part in (
        "Repo id must be in the form",
        "weights-missing",
        "adapter-base-missing",
        '+base = "smollm2"',
        "fixed         adapter-base-missing",
        "fixed         weights-missing",
        '+MODEL = str(HRM_ROOT / "model-zoo/sage/epistemic-stances/smollm2-135m/introspective-merged")',
        "fixed (verified): no such paths left in",
        "SAGE: I am SAGE",
    ):
        assert part in shown
    assert shown.count("SAGE: I am SAGE") == 3  # two sessions, and the one behind the gate
    assert "Traceback" not in shown
    assert screen[-1].strip() == str(page)
    assert "Yes: thor can run raising" in page.read_text(encoding="utf-8")
    assert [f.name for f in (demo_cache / "sage-doctor" / "demo").iterdir()] == ["SmolLM2-135M-Instruct"]
