"""`sage-doctor report`: what other runs wrote, read with caution."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.cli import saved_reports
from sage_doctor.cli.app import run
from sage_doctor.errors import UsageError
from sage_doctor.render import FORMATS, render
from sage_doctor.report import MachineInfo, Report
from tests.render import sample_reports as reports


def saved(directory: Path, name: str, report: Report, **changes: Any) -> str:
    path = directory / f"{name}.json"
    path.write_text(json.dumps({**json.loads(render(report, "json")), **changes}))
    return str(path)


def test_one_report_is_shown_in_any_format_with_its_own_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("healthy", "incident", "unknown"):
        report = reports.REPORTS[name]()
        assert run(["report", saved(tmp_path, name, report), "-f", "json"], {}) == report.exit_code
        shown = Report.from_json(json.loads(capsys.readouterr().out))
        assert shown == dataclasses.replace(report, duration_s=round(report.duration_s, 3))


def test_several_are_laid_side_by_side_and_written_as_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    thor = saved(tmp_path, "thor", reports.incident())
    other = dataclasses.replace(reports.healthy(), machine=MachineInfo(name="sprout", hostname="s", roles=("raising",)))
    sprout = saved(tmp_path, "sprout", other)
    page = tmp_path / "page.html"
    assert run(["report", thor, sprout, "--max-age", "5200w", "-o", f"html:{page}"], {}) == 0
    assert "runs on sprout" in capsys.readouterr().out
    assert "runs on sprout" in page.read_text()
    with pytest.raises(UsageError, match="html, json, markdown, terminal, not as junit"):
        run(["report", thor, sprout, "-f", "junit"], {})


def test_a_report_of_an_older_doctor_is_read_and_fields_of_a_newer_one_are_passed_over(tmp_path: Path) -> None:
    data = json.loads(render(reports.healthy(), "json"))
    for name in ("models", "roles", "answers", "changes"):
        data.pop(name, None)
    data["surprise"] = 1
    data["checks"][0]["surprise"] = 1
    data["measurements"][0] |= {"surprise": 1, "value": None}
    path = tmp_path / "old.json"
    path.write_text(json.dumps(data))
    ((_, read),) = saved_reports.read_reports([path])
    assert (read.models, read.roles, len(read.checks)) == ((), (), len(reports.healthy().checks))
    render(read, "html")
    render(read, "terminal")


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", ": empty"),
        (b"[]", ":1: holds a JSON array"),
        (b"{", ":1: not valid JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"schema_version": 2}', "written by a newer sage-doctor (report schema 2, this one reads 1)"),
        (b'{"schema_version": 2, "doctor": {"version": "0.9.1"}}', "upgrade sage-doctor here to 0.9.1, or run"),
        (b'{"schema_version": 1}', "not a report of sage-doctor: the top: 'doctor' is a required property"),
        (b'{"schema_version": true}', "not a report"),
        (b'{"runs": []}', "not a report"),
    ],
)
def test_what_is_not_a_report_is_said_with_its_file(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "odd\x1b.json"
    path.write_bytes(content)
    good = saved(tmp_path, "good", reports.healthy())
    with pytest.raises(UsageError) as refused:
        run(["report", good, str(path)], {})
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path}/odd\\x1b.json:")


@pytest.mark.parametrize(
    "field, value, says",
    [
        ("checks", [{"id": "x"}], "checks/0: 'subject' is a required property"),
        ("verdict", "splendid", "verdict: 'splendid' is not one of"),
        ("machine", {"name": ["x"], "hostname": "h", "roles": []}, "machine/name: "),
        ("duration_s", -1, "duration_s: "),
        ("checks", [0] * 200_001, "200,008 checks, findings and others"),
    ],
)
def test_a_hostile_report_is_refused(tmp_path: Path, field: str, value: Any, says: str) -> None:
    path = saved(tmp_path, "bad", reports.healthy(), **{field: value})
    with pytest.raises(UsageError) as refused:
        saved_reports.read_reports([Path(path)])
    assert says in str(refused.value)


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 1e300, 0])
def test_numbers_that_no_run_measures_are_shown(tmp_path: Path, number: float) -> None:
    data = json.loads(render(reports.incident(), "json"))
    data["duration_s"] = data["checks"][0]["duration_s"] = number
    data["machine"]["memory_bytes"] = 10**300
    data["models"][0]["nbytes"] = 10**300
    for measured in data["measurements"]:
        measured |= {"value": number, "budget": number, "history": [number, 1.0]}
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(data))
    ((_, read),) = saved_reports.read_reports([path])
    for face in FORMATS:
        assert render(read, face)


def test_there_are_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(saved(tmp_path, "good", reports.healthy()))
    with pytest.raises(UsageError, match="at most 200"):
        saved_reports.read_reports([path] * 201)
    monkeypatch.setattr(saved_reports, "MOST_BYTES", 100)
    with pytest.raises(UsageError, match="no such file is larger"):
        saved_reports.read_reports([path])


def test_a_file_that_cannot_be_written_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = saved(tmp_path, "good", reports.incident())
    (tmp_path / "taken").mkdir()
    words = ["report", good, "-f", "nagios", "-o", f"html:{tmp_path / 'taken'}", "-o", f"junit:{tmp_path / 'j.xml'}"]
    assert run(words, {}) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("SAGE CRITICAL")
    assert "taken could not be written" in shown.err
    assert (tmp_path / "j.xml").is_file()
    words[1] = saved(tmp_path, "good", reports.healthy())
    assert run(words, {}) == 3
