"""The JUnit report: well-formed, counted right, and with nothing lost on the way."""

import dataclasses
import re
from xml.etree import ElementTree as ET

import pytest

from sage_doctor.render import render
from sage_doctor.report import Report
from tests.render import sample_reports as reports

# What Jenkins' schema allows (xunit-plugin's junit-10.xsd, which pytest's own tests use): an element's attributes, its
# children, and which attributes it must have. `make consumers` asks the schema itself.
ALLOWED = {
    "testsuites": ("name time tests failures errors", "testsuite", ""),
    "testsuite": (
        "name tests failures errors group time skipped timestamp hostname id package file log url version",
        "properties testcase system-out system-err",
        "name tests failures errors",
    ),
    "properties": ("", "property", ""),
    "property": ("name value", "", "name value"),
    "testcase": ("name time classname group", "skipped error failure system-out system-err", "name"),
    "failure": ("type message", "", ""),
    "error": ("type message", "", ""),
    "skipped": ("type message", "", ""),
    "system-out": ("", "", ""),
}


def suite(report: Report) -> ET.Element:
    root = ET.fromstring(render(report, "junit").encode("utf-8"))
    assert root.tag == "testsuites"
    assert len(root) == 1
    return root[0]


def part(report: Report, path: str) -> ET.Element:
    found = suite(report).find(path)
    assert found is not None, path
    return found


def case_of(subject: str, check: str) -> str:
    return f"testcase[@classname='{subject}'][@name='{check}']"


@pytest.mark.parametrize("name", sorted(reports.REPORTS))
def test_it_has_only_what_the_readers_schema_allows(name: str) -> None:
    for element in ET.fromstring(render(reports.REPORTS[name](), "junit")).iter():
        attributes, children, required = (set(words.split()) for words in ALLOWED[element.tag])
        assert required <= element.attrib.keys() <= attributes
        assert {child.tag for child in element} <= children
        assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))


@pytest.mark.parametrize("name", sorted(reports.REPORTS))
def test_counts_are_those_of_the_cases(name: str) -> None:
    report = reports.REPORTS[name]()
    parsed = suite(report)
    cases = parsed.findall("testcase")
    assert len(cases) >= len(report.checks)
    assert {k: int(parsed.attrib[k]) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": len(cases),
        "failures": len(parsed.findall("testcase/failure")),
        "errors": len(parsed.findall("testcase/error")),
        "skipped": len(parsed.findall("testcase/skipped")),
    }
    assert parsed.attrib["hostname"] == "thor-agx"
    assert parsed.attrib["timestamp"] == "2026-01-17T18:05:12"


def test_an_error_fails_its_check_and_carries_the_fix() -> None:
    failure = part(reports.incident(), case_of("introspective-qwen", "check_weights") + "/failure")
    assert failure.attrib["type"] == "weights-missing"
    assert failure.attrib["message"].startswith("weights-missing: ")
    assert reports.MERGE_COMMAND in (failure.text or "")


def test_warnings_and_informations_do_not_fail_but_are_told() -> None:
    warned = part(reports.incident(), case_of("qwen2.5-0.5b-old", "check_config"))
    assert warned.find("failure") is None
    assert "warning weights-ambiguous" in (warned.findtext("system-out") or "")
    told = part(reports.incident(), case_of("qwen2.5-0.5b", "check_hashes") + "/system-out").text or ""
    assert "    sage-doctor lock qwen2.5-0.5b" in told.splitlines()


def test_what_could_not_be_found_out_is_an_error_and_what_was_left_out_is_skipped() -> None:
    hung = part(reports.unknown(), case_of("qwen2.5-0.5b", "check_load") + "/error")
    assert "deadline" in hung.attrib["message"]
    blocked = part(reports.incident(), case_of("introspective-qwen", "check_load") + "/skipped")
    assert blocked.attrib["message"] == "blocked by weights-missing"


def test_a_finding_without_a_check_is_not_lost() -> None:
    finding = dataclasses.replace(reports.incident().findings[1], check="")
    report = dataclasses.replace(reports.healthy(), findings=(finding,))
    assert part(report, "testcase[@name='weights-missing']").find("failure") is not None
    assert int(suite(report).attrib["tests"]) == len(report.checks) + 1


def test_hostile_text_is_escaped_and_still_legible() -> None:
    text = render(reports.hostile(), "junit")
    assert not set(text) & set("\x00\x07\x08\x1b\x9b\u202e\udcff\ufffe")
    failure = part(reports.hostile(), "testcase/failure").text or ""
    assert "\\x1b]0;owned" in failure
    assert "<script>&amp;]]>" in failure


def test_what_changed_is_a_property() -> None:
    root = ET.fromstring(render(reports.changed(), "junit"))
    known = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert known["changed/machine/transformers"] == "4.57.1 -> 5.23.0"
    assert known["changed/machine/rebooted"] == " -> "
