"""What is promised of every format, and of those that a program reads."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sage_doctor.render import COMPARING, FORMATS, render
from sage_doctor.report import (
    Change,
    CheckResult,
    Finding,
    Fix,
    MachineInfo,
    Measurement,
    ModelInfo,
    Report,
    RoleInfo,
    nagios_status,
)
from sage_doctor.report.comparison import compare
from tests.render import sample_reports as reports

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = [
    "]]>",
    "</script><script>alert(1)</script>",
    "::error::owned",
    "a\n::error::owned",
    "'\"`$(id)`",
    "\x1b[31m\x07",
    "\u202egnp.exe",
    "x" * 10_000,
    "\udcff\ud800",
    "|a|b|\n# head\n```\n",
    'a{b="c"} 1\\',
]
FACES = ("github", "html", "markdown", "nagios", "prometheus")


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", ["healthy", "incident", "unknown"])
def test_golden(face: str, name: str) -> None:
    path = GOLDEN / f"{name}.{face}"
    text = render(reports.REPORTS[name](), face)
    if face == "html":  # its style and script have no news
        text = text[text.index("<main") : text.index("</footer>")] + "\n"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{path.name} differs; look at it, then UPDATE_GOLDEN=1"


def hostile(text: str) -> Report:
    finding = Finding(
        code="weights-missing",
        severity="error",
        subject=text,
        check=text,
        message=text,
        evidence={"lines": [text], "candidates": [{"path": text, "why": text}], text: "y" * 1_000_000},
        fix=Fix(summary=text, commands=("rm -- x",)),
    )
    check = CheckResult(id="check_it", subject=text, level="static", status="error", duration_s=0.1, reason=text)
    measured = Measurement(subject=text, name=text, value=1.0, unit=text)
    made = reports.report([check], [finding], [measured], {text: text})
    one = Change(subject=text, what=text, before=text, after=text)
    return dataclasses.replace(
        made,
        titles={text: text},
        machine=MachineInfo(name=text, hostname=text, roles=(text,), accelerator=text, platform=text),
        changes=(one, one),
        changes_since="2026-01-15T14:31:00+00:00",
        models=(ModelInfo(name=text, kind="full", path=f"/{text}", weights=text, base=text),),
        roles=(RoleInfo(name=text, here=True, models=(text,), elsewhere=(text,)),),
    )


class Elements(HTMLParser):
    """The elements of a page, and what their attributes are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


@pytest.mark.parametrize("face", FORMATS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(face: str, text: str) -> None:
    shown = render(hostile(text), face, unicode=True)
    shown.encode("utf-8")
    assert not set(shown) & set("\x1b\x07\u202e\x00")
    if face == "json":
        json.loads(shown)
    elif face == "junit":
        ET.fromstring(shown)
    elif face == "github":
        assert [line for line in shown.splitlines() if line.startswith("::error::")] == []
        assert len(shown.splitlines()) <= 3
    elif face == "markdown":
        assert "<script" not in shown.replace("\\<script", "")
        assert [line for line in shown.splitlines() if line.startswith("# head")] == []
    elif face == "nagios":
        assert len(shown.splitlines()[0].split(" | ")[0]) < 80
    elif face == "prometheus":
        assert list(text_string_to_metric_families(shown))
    elif face == "html":
        assert_harmless(shown)


def assert_harmless(page: str) -> None:
    elements = Elements(page)
    assert (elements.tags.count("script"), elements.tags.count("style")) == (1, 1)
    assert not {"img", "iframe", "link", "form", "base", "object"} & set(elements.tags)
    assert [a for a in elements.attributes if a[0].startswith("on") or a[0] in ("style", "src")] == []
    assert {value for name, value in elements.attributes if name == "href"} == {"#content"}


@pytest.mark.parametrize("face", COMPARING)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_reports_side_by_side_stay_text(face: str, text: str) -> None:
    one = hostile(text)
    two = dataclasses.replace(
        one, machine=MachineInfo(name="b", hostname="b"), models=(dataclasses.replace(one.models[0], weights="1"),)
    )
    shown = render(compare([(text, one), ("b", two)], now=0, max_age_s=1), face)
    shown.encode("utf-8")
    assert not set(shown) & set("\x1b\x07\u202e\x00")
    if face == "html":
        assert_harmless(shown)
    elif face == "markdown":
        assert "<script" not in shown.replace("\\<script", "")
        assert [line for line in shown.splitlines() if line.startswith("# head")] == []


@pytest.mark.parametrize("face", FORMATS)
def test_a_thousand_models(face: str) -> None:
    checks = [c for n in range(1000) for c in reports.well(f"model-{n}")]
    first = reports.incident().findings[0]
    findings = [dataclasses.replace(first, subject=f"model-{n}") for n in range(1000)]
    shown = render(reports.report(checks, findings), face)
    assert "model-0" in shown
    if face == "github":
        assert len([line for line in shown.splitlines() if line.startswith("::error ")]) == 10
        assert "991 more of 1000" in shown
    if face == "markdown":
        assert len(shown.encode()) < 1 << 20


def test_an_annotation_names_file_and_line_of_a_script() -> None:
    finding = Finding(
        code="runner-hardcoded-path",
        severity="error",
        subject="scripts/a,b.py",
        check="c",
        message="line 7: 100% wrong",
        evidence={"lines": [7]},
        fix=Fix(summary="rewrite"),
    )
    first = render(reports.report(reports.results("m", {"c": ("static", "fail")}), [finding]), "github").splitlines()[0]
    assert first.startswith("::error file=scripts/a%2Cb.py,line=7,title=runner-hardcoded-path on thor::")
    assert "100%25 wrong" in first


def test_nagios_has_its_own_exit_codes() -> None:
    codes = {name: nagios_status(reports.REPORTS[name]()) for name in ("healthy", "incident", "unknown", "crowd")}
    assert codes == {"healthy": 0, "incident": 2, "unknown": 3, "crowd": 1}


def test_performance_data_has_the_form_of_a_plugin() -> None:
    text = render(reports.incident(), "nagios")
    data = text.split(" | ")[1].strip()
    form = re.compile(r"'([^']|'')+'=-?\d+(\.\d+)?(s|ms|B|%|)?;[\d.]*:?;[\d.]*;0;")
    assert all(form.fullmatch(part) for part in re.findall(r"'.*?;0;", data)), data
    assert "'qwen2.5-0.5b load_s'=0.8123s;30;;0;" in data
    big = Measurement(subject="m", name="peak_bytes", value=123_456_789_012, unit="bytes")
    assert "'m peak_bytes'=123456789012B;;;0;" in render(reports.report([], [], [big], {}), "nagios")


def test_prometheus_reads_it_and_no_sample_has_a_time() -> None:
    families = {f.name: f for f in text_string_to_metric_families(render(reports.incident(), "prometheus"))}
    verdicts = {s.labels["verdict"]: s.value for s in families["sage_doctor_verdict"].samples}
    assert verdicts == {"healthy": 0, "degraded": 0, "unhealthy": 1, "unknown": 0}
    assert families["sage_doctor_last_run_timestamp_seconds"].samples[0].value == 1768673112
    assert all(s.timestamp is None for f in families.values() for s in f.samples)


def test_no_metric_is_told_twice_whatever_the_users_own_checks_name_theirs() -> None:
    names = ["load_s", "load-s", "load_s", "exit_code", "load_s_budget"]
    measured = [Measurement(subject="m", name=n, value=1.0, unit="", budget=2.0) for n in names]
    text = render(reports.report([], [], measured, {}), "prometheus")
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(heads) == len(set(heads))
    assert len(samples) == len(set(samples))
    assert 'sage_doctor_exit_code{machine="thor",roles="analysis,raising"} ' in text
    assert 'sage_doctor_exit_code{machine="thor",roles="analysis,raising",subject' not in text


def test_no_formula_is_made_of_a_message_in_markdown() -> None:
    assert "\\$HOME and \\$PATH" in render(hostile("$HOME and $PATH"), "markdown")


def test_a_broken_model_that_no_role_needs_is_not_called_ready() -> None:
    made = hostile("spare")
    spare = dataclasses.replace(
        made.findings[0], severity="info", evidence={"needed_here": False, "severity_where_needed": "error"}
    )
    check = dataclasses.replace(made.checks[0], status="pass", reason=None)
    made = dataclasses.replace(made, findings=(spare,), checks=(check,))
    assert "| i | spare | `weights-missing` (no role here needs it) |" in render(made, "markdown")
    ready = [line for line in render(made, "prometheus").splitlines() if line.startswith("sage_doctor_subject_ready{")]
    assert ready == []


def test_a_summary_fits_whatever_it_is_made_of() -> None:
    first = dataclasses.replace(reports.incident().findings[0], message="模" * 5_000, fix=Fix(summary="", commands=()))
    findings = [dataclasses.replace(first, subject=f"{n}型" * 90, code=f"own-{n % 9}") for n in range(1800)]
    shown = render(reports.report([], findings), "markdown")
    assert len(shown.encode()) < 1 << 20
    assert "the JSON report has the rest: " in shown
    assert all(f"`own-{n}`" in shown for n in range(9))
