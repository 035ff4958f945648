"""The report as JUnit XML, for CI: one test suite per host, one test case per check and subject.

The form is the one that Jenkins' and GitLab's readers share: `skipped`, `error` or `failure` first, then
`system-out` with the warnings and the fixes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from xml.etree import ElementTree as ET

from sage_doctor.render import Screen
from sage_doctor.report import CheckResult, Finding, Report
from sage_doctor.text import printable

_MOST_CHARS = 100_000  # of one text; a CI server keeps every report


def render(report: Report, _screen: Screen) -> str:
    """Return the report as an XML 1.0 document in UTF-8, ending with a newline."""
    root = ET.Element("testsuites", name="sage-doctor")
    root.append(_suite(report))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(report: Report) -> ET.Element:
    found: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in report.findings:
        found[finding.subject, finding.check].append(finding)
    cases = [_case(check, found.pop((check.subject, check.id), [])) for check in report.checks]
    for (subject, name), findings in found.items():  # reported outside of a check
        result = CheckResult(id=name or findings[0].code, subject=subject, level="static", status="fail", duration_s=0)
        cases.append(_case(result, findings))
    suite = ET.Element(
        "testsuite",
        name=_xml(f"sage-doctor {report.level}"),
        hostname=_xml(report.machine.hostname),
        tests=str(len(cases)),
        failures=str(sum(c.find("failure") is not None for c in cases)),
        errors=str(sum(c.find("error") is not None for c in cases)),
        skipped=str(sum(c.find("skipped") is not None for c in cases)),
        time=_seconds(report.duration_s),
        timestamp=_xml(report.started_at[:19]),  # the readers' schema knows no time zone
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report).items():
        ET.SubElement(properties, "property", name=_xml(name), value=_xml(value))
    suite.extend(cases)
    return suite


def _properties(report: Report) -> dict[str, str]:
    known = {
        "doctor": report.doctor.get("version", ""),
        "machine": report.machine.name,
        "level": report.level,
        "verdict": report.verdict,
        "exit_code": str(report.exit_code),
    }
    measured = {f"{m.subject}/{m.name}": f"{m.value:g} {m.unit}" for m in report.measurements}
    changed = {f"changed/{c.subject}/{c.what}": f"{c.before or ''} -> {c.after or ''}" for c in report.changes}
    return known | measured | changed


def _case(check: CheckResult, findings: list[Finding]) -> ET.Element:
    case = ET.Element("testcase", classname=_xml(check.subject), name=_xml(check.id), time=_seconds(check.duration_s))
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        message = _xml(f"{errors[0].code}: {errors[0].message}")
        failure = ET.SubElement(case, "failure", type=_xml(errors[0].code), message=message)
        failure.text = _xml("\n\n".join(_text(f) for f in errors))
    elif check.status == "error":
        ET.SubElement(case, "error", type="unknown", message=_xml(check.reason or "the check did not complete"))
    elif check.status == "skip":
        ET.SubElement(case, "skipped", message=_xml(check.reason or "skipped"))
    rest = [f for f in findings if f.severity != "error"]
    if rest:
        ET.SubElement(case, "system-out").text = _xml("\n\n".join(_text(f) for f in rest))
    return case


def _text(finding: Finding) -> str:
    lines = [f"{finding.severity} {finding.code}: {finding.message}", f"fix: {finding.fix.summary}"]
    return "\n".join([*lines, *(f"    {c}" for c in finding.fix.commands)])


def _seconds(value: float) -> str:
    return f"{value if math.isfinite(value) else 0:.3f}"


def _xml(text: str) -> str:
    """Return text without the characters that XML 1.0 forbids; they are written as visible escapes."""
    return printable(text, limit=_MOST_CHARS, keep="\n\t")
