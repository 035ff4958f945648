"""The annotations, read as GitHub's runner reads them (`ActionCommand.TryParseV2`, `ExecutionContext.AddIssue`)."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

from sage_doctor.render import render
from sage_doctor.report import Report
from tests.render import sample_reports as reports

COMMAND = re.compile(r"::(?P<kind>[a-z-]+)(?: (?P<properties>[^:]*(?::(?!:)[^:]*)*))?::(?P<data>.*)")


def commands(report: Report) -> list[tuple[str, dict[str, str], str]]:
    """Return kind, properties and message of each line that the runner takes for a command."""
    found = []
    for line in render(report, "github").splitlines():
        match = COMMAND.fullmatch(line)
        if match is not None:
            properties = dict(p.split("=", 1) for p in (match["properties"] or "").split(","))
            told = {k: unescaped(v.replace("%3A", ":").replace("%2C", ",")) for k, v in properties.items()}
            found.append((match["kind"], told, unescaped(match["data"])))
    return found


def unescaped(text: str) -> str:
    return text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")


def test_no_more_than_github_keeps_and_what_ends_the_step_comes_first() -> None:
    incident, hung = reports.incident(), reports.unknown().checks[-1]
    errors = [dataclasses.replace(incident.findings[0], subject=f"m{n}", message="x" * 9_000) for n in range(6)]
    warnings = [dataclasses.replace(incident.findings[3], subject=f"w{n}") for n in range(11)]
    stuck = [dataclasses.replace(hung, subject=f"s{n}") for n in range(6)]
    found = commands(reports.report([*incident.checks, *stuck], [*errors, *warnings]))
    assert Counter(kind for kind, _, _ in found) == {"error": 10, "warning": 10}
    assert [m.partition(":")[0] for _, _, m in found][:9] == ["m0", "m1", "m2", "m3", "m4", "m5", "s0", "s1", "s2"]
    assert found[9][2].startswith("3 more of 12: ")
    assert all(len(message) <= 4096 for _, _, message in found)


def test_an_annotation_says_which_machine_and_what_to_type() -> None:
    kind, properties, message = commands(reports.incident())[1]
    assert (kind, properties) == ("error", {"title": "weights-missing on thor"})
    assert message.splitlines()[-1] == "$ sage-doctor fix introspective-qwen"


def test_a_script_is_named_by_its_absolute_path_and_a_long_command_is_left_out() -> None:
    first = reports.incident().findings[0]
    fix = dataclasses.replace(first.fix, commands=("cp " + "x" * 3_000,))
    evidence = {"lines": [7], "file": "/srv/a,b: 100%/run.py"}
    found = commands(reports.report([], [dataclasses.replace(first, evidence=evidence, fix=fix)]))
    assert found[0][1] == {"file": evidence["file"], "line": "7", "title": "adapter-base-missing on thor"}
    assert "xxx" not in found[0][2]
