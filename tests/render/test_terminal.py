"""The screen: golden files for its look, and the promises that no golden file shows."""

import dataclasses
import os
import re
from pathlib import Path

import pytest

from sage_doctor.render import render
from sage_doctor.report import CheckResult, Finding, Fix, Measurement
from tests.render import sample_reports as reports

GOLDEN = Path(__file__).parent / "golden"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def compare(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{name} differs; look at it, then UPDATE_GOLDEN=1"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", sorted(reports.REPORTS))
def test_golden(name: str, width: int) -> None:
    compare(f"{name}-{width}.txt", render(reports.REPORTS[name](), "terminal", width=width))


def test_golden_without_unicode() -> None:
    text = render(reports.incident(), "terminal", unicode=False)
    assert text.isascii()
    compare("incident-ascii.txt", text)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("color", [False, True])
def test_commands_stand_alone_and_whole_at_every_width(width: int, color: bool) -> None:
    lines = [
        ANSI.sub("", line)
        for line in render(reports.incident(), "terminal", width=width, color=color, detail="verbose").split("\n")
    ]
    for finding in reports.incident().findings:
        for command in finding.fix.commands if finding.severity != "info" else ():
            assert command in [line.strip() for line in lines], command


def test_a_very_long_command_is_not_cut() -> None:
    command = "sage-doctor check " + " ".join(f"/zoo/{'x' * 200}{n}" for n in range(100))
    finding = Finding(
        code="weights-missing",
        severity="error",
        subject="m",
        check="c",
        message="m",
        fix=Fix(summary="look", commands=(command,)),
    )
    text = render(reports.report(reports.results("m", {"c": ("static", "fail")}), [finding]), "terminal")
    assert command in text


@pytest.mark.parametrize("name", sorted(reports.REPORTS))
@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_unless_a_path_or_command_cannot(name: str, width: int) -> None:
    for line in render(reports.REPORTS[name](), "terminal", width=width).splitlines():
        fits = len(line) <= min(width, 100)
        assert fits or len(line.split()) == 1 or line.strip().startswith("sage-doctor "), line


@pytest.mark.parametrize("name", sorted(reports.REPORTS))
def test_without_colour_there_is_no_escape_and_colour_changes_no_word(name: str) -> None:
    plain = render(reports.REPORTS[name](), "terminal")
    colored = render(reports.REPORTS[name](), "terminal", color=True)
    assert "\x1b" not in plain
    assert "\x1b[" in colored
    assert ANSI.sub("", colored) == plain


def test_no_line_ends_in_blanks_and_no_two_lines_are_empty() -> None:
    for make in reports.REPORTS.values():
        text = render(make(), "terminal")
        assert text.endswith("\n")
        assert "\n\n\n" not in text
        assert [line for line in text.split("\n") if line != line.rstrip()] == []


def test_hostile_text_reaches_no_terminal() -> None:
    text = render(reports.hostile(), "terminal", color=True)
    rest = ANSI.sub("", text)
    assert [c for c in rest if ord(c) < 32 and c != "\n"] == []
    assert not set(rest) & set("\x7f\x9b\u202e\u2028\udcff\udc80\ufffe")
    assert "[red]all is well[/red]" in rest  # shown, not obeyed


def test_problems_come_last_and_the_root_cause_is_the_next_step() -> None:
    text = render(reports.incident(), "terminal")
    parts = (
        "✔ qwen2.5-0.5b",
        "✘ introspective-qwen-v2.1",
        "error: adapter-base-missing",
        "UNHEALTHY",
        "Next: sage-doctor fix",
    )
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert text.index("error: adapter-base-missing") < text.index("error: weights-missing")


def test_what_was_not_run_is_told_with_v_in_one_line_a_cause() -> None:
    assert "checks not run" not in render(reports.incident(), "terminal")
    text = render(reports.incident(), "terminal", detail="verbose")
    assert "4 checks not run: blocked by weights-missing" in text
    assert text.count("blocked by weights-missing") == 1
    assert "info: weights-unverified" in text


def test_quiet_is_the_verdict_and_the_next_step() -> None:
    lines = render(reports.incident(), "terminal", detail="quiet").splitlines()
    assert lines[0].startswith("UNHEALTHY  3 errors")
    assert lines[2:] == ["", "Next: sage-doctor fix introspective-qwen"]


def test_one_finding_of_many_subjects_is_told_once() -> None:
    names = [f"model-{n:02}" for n in range(16)]
    first = next(f for f in reports.incident().findings if f.code == "weights-missing")
    findings = [
        dataclasses.replace(first, subject=name, fix=Fix(summary="merge", commands=(f"sage-doctor fix {name}",)))
        for name in names
    ]
    checks = [c for name in names for c in reports.results(name, {"check_weights_present": ("static", "fail")})]
    text = render(reports.report(checks, findings), "terminal")
    assert text.count("weights-missing") == 1
    assert "✘ 16 × the directory has no weights: model-00, model-01, model-02, model-03 and" in text
    assert text.count("holds no weights") == 1
    assert "in: model-00, model-01" in text
    assert "and 13 more commands (-v)" in text
    assert len(text.splitlines()) <= 40
    verbose = render(reports.report(checks, findings), "terminal", detail="verbose")
    assert all(f"sage-doctor fix {name}" in verbose for name in names)


def test_a_subject_is_called_by_its_title() -> None:
    checks = reports.results(".", {"check_weights_present": ("static", "fail")})
    first = next(f for f in reports.incident().findings if f.code == "weights-missing")
    told = dataclasses.replace(
        reports.report(checks, [dataclasses.replace(first, subject=".")]), titles={".": "org/name@1234567"}
    )
    text = render(told, "terminal")
    assert "✘ org/name@1234567  the directory has no weights" in text
    assert "error: weights-missing · org/name@1234567" in text


def test_only_five_candidates_are_listed_and_two_where_more_is_wrong_than_fits() -> None:
    text = render(reports.incident(), "terminal", detail="verbose")
    assert "/home/dp/models/c" in text
    assert "and 2 more" in text
    assert "/home/dp/models/d" not in text
    assert "/home/dp/models/b" not in render(reports.incident(), "terminal")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_report_is_one_screen(width: int) -> None:
    codes = ["weights-missing", "config-invalid", "weights-truncated", "adapter-rank-mismatch", "shard-missing"]
    first = next(f for f in reports.incident().findings if f.code == "weights-missing")
    findings = [
        dataclasses.replace(first, code=codes[n % 5], subject=f"model-{n:02}", message=f"number {n} " * 30)
        for n in range(40)
    ]
    checks = [c for f in findings for c in reports.results(f.subject, {f.code: ("static", "fail")})]
    assert len(render(reports.report(checks, findings), "terminal", width=width).splitlines()) <= 40


def test_twelve_healthy_models_keep_their_lines_and_thirteen_do_not() -> None:
    def screen(count: int) -> str:
        checks = [c for n in range(count) for c in reports.well(f"model-{n:02}")]
        return render(reports.report(checks), "terminal")

    assert len(re.findall(r"^✔ model-", screen(12), re.MULTILINE)) == 12
    assert re.findall(r"^✔.*", screen(13), re.MULTILINE) == [
        "✔ 13 healthy: model-00, model-01, model-02, model-03 and 9 more"
    ]


def test_information_is_told_with_v() -> None:
    checks = [c for n in range(40) for c in reports.well(f"model-{n:02}")]
    told = reports.incident().findings[-1]
    findings = [dataclasses.replace(told, subject=f"model-{n:02}") for n in range(40)]
    assert "weights-unverified" not in render(reports.report(checks, findings), "terminal")
    text = render(reports.report(checks, findings), "terminal", detail="verbose")
    assert text.count("info: weights-unverified") == 1


@pytest.mark.parametrize(
    "measurement, shown",
    [
        (Measurement(subject="m", name="load_s", value=0.8123, unit="s", budget=30), "load 0.81 s (budget 30 s)"),
        (Measurement(subject="m", name="load_s", value=31, unit="s", budget=30), "load 31 s, over its budget of 30 s"),
        (Measurement(subject="m", name="tokens_per_s", value=5, unit="tokens/s", budget=5), "5 tokens/s (at least 5)"),
        (
            Measurement(subject="m", name="tokens_per_s", value=4.9, unit="tokens/s", budget=5),
            "speed 4.9 tokens/s, below its budget of 5",
        ),
        (Measurement(subject="m", name="weights", value=269_060_552, unit="bytes"), "weights 269.1 MB"),
        (
            Measurement(subject="m", name="load_s", value=float("nan"), unit="s", budget=30),
            "load NaN s, over its budget of 30 s",
        ),
    ],
)
def test_measurements(measurement: Measurement, shown: str) -> None:
    check = CheckResult(id="c", subject="m", level="load", status="pass", duration_s=0)
    assert shown in render(reports.report([check], [], [measurement]), "terminal")


def test_exit_codes_that_an_option_changed_are_explained() -> None:
    crowd = dataclasses.replace(reports.crowd(), exit_code=1)
    assert "Exit code 1: warnings count as errors (--fail-on warning)" in render(crowd, "terminal")
    incident = dataclasses.replace(reports.incident(), exit_code=0)
    assert "Exit code 0: errors do not count (--fail-on never)" in render(incident, "terminal")
