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
        ANSI.sub("", line) for line in render(reports.incident(), "terminal", width=width, color=color).split("\n")
    ]
    for finding in reports.incident().findings:
        for command in finding.fix.commands:
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
    places = [text.index(part) for part in ("machine ", "qwen2.5-0.5b  ", "✘ introspective-qwen-v2.1", "UNHEALTHY")]
    assert places == sorted(places)
    assert "Next: introspective-qwen-v2.1: write `base" in text
    assert text.index("error: adapter-base-missing") < text.index("error: weights-missing")


def test_one_line_for_everything_a_cause_keeps_from_running() -> None:
    text = render(reports.incident(), "terminal")
    assert "4 checks not run: blocked by weights-missing" in text
    assert text.count("blocked by weights-missing") == 1


def test_only_five_candidates_are_listed() -> None:
    text = render(reports.incident(), "terminal")
    assert "/home/dp/models/c" in text
    assert "and 2 more" in text
    assert "/home/dp/models/d" not in text


def test_twelve_healthy_models_keep_their_lines_and_thirteen_do_not() -> None:
    def screen(count: int) -> str:
        checks = [c for n in range(count) for c in reports.well(f"model-{n:02}")]
        return render(reports.report(checks), "terminal")

    assert len(re.findall(r"^✔ model-", screen(12), re.MULTILINE)) == 12
    assert re.findall(r"^✔.*", screen(13), re.MULTILINE) == [
        "✔ 13 healthy: model-00, model-01, model-02, model-03 and 9 more"
    ]


def test_one_line_for_an_information_about_many_models() -> None:
    checks = [c for n in range(40) for c in reports.well(f"model-{n:02}")]
    told = reports.incident().findings[-1]
    findings = [dataclasses.replace(told, subject=f"model-{n:02}") for n in range(40)]
    text = render(reports.report(checks, findings), "terminal")
    assert re.findall(r"^i.*", text, re.MULTILINE) == [
        "i 40 with weights-unverified: model-00, model-01, model-02, model-03 and 36 more"
    ]
    assert len(text.splitlines()) < 10


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
