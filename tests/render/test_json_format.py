"""The JSON report: valid by its schema, plain ASCII, and without anything that JSON does not have."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import sage_doctor
from sage_doctor.render import render
from sage_doctor.report import Measurement, Report
from tests.render import sample_reports as reports

SCHEMA = json.loads((Path(sage_doctor.__file__).parent / "schemas" / "report.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", sorted(reports.REPORTS))
def test_every_report_is_valid_ascii_and_comes_back_unchanged(name: str) -> None:
    report = reports.REPORTS[name]()
    text = render(report, "json")
    assert text.isascii()
    assert text.endswith("}\n")
    data = strict(text)
    VALIDATOR.validate(data)
    assert Report.from_json(data).to_json() == report.to_json()


def test_undecodable_bytes_survive() -> None:
    data = strict(render(reports.hostile(), "json"))
    assert data["checks"][0]["subject"] == reports.hostile().checks[0].subject
    assert "\\udcff" in render(reports.hostile(), "json")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_become_null(bad: float) -> None:
    report = reports.healthy()
    finding = dataclasses.replace(reports.incident().findings[0], evidence={"loss": bad, "deep": [{"x": bad}]})
    report = dataclasses.replace(
        report,
        duration_s=bad,
        checks=(dataclasses.replace(report.checks[0], duration_s=bad),),
        findings=(finding,),
        measurements=(Measurement(subject="m", name="load_s", value=bad, unit="s", budget=bad),),
    )
    data = strict(render(report, "json"))
    VALIDATOR.validate(data)
    assert data["measurements"] == [{"subject": "m", "name": "load_s", "value": None, "unit": "s"}]
    assert data["findings"][0]["evidence"] == {"loss": None, "deep": [{"x": None}]}


def test_evidence_that_is_no_json_value_is_told_in_words() -> None:
    finding = dataclasses.replace(reports.incident().findings[0], evidence={"path": Path("/zoo"), "n": 3})
    data = strict(render(dataclasses.replace(reports.incident(), findings=(finding,)), "json"))
    assert data["findings"][0]["evidence"] == {"path": "/zoo", "n": 3}


@pytest.mark.parametrize(
    "where", [(), ("checks", 0), ("findings", 0), ("findings", 0, "fix"), ("measurements", 0)], ids=str
)
def test_the_schema_refuses_fields_that_are_not_in_the_contract(where: tuple[str | int, ...]) -> None:
    data = strict(render(reports.incident(), "json"))
    place = data
    for step in where:
        place = place[step]
    place["surprise"] = 1
    assert not VALIDATOR.is_valid(data)


# What came to the report later, or is not always there.
OPTIONAL = {"titles", "suppressed", "answers", "changes", "changes_since", "models", "roles"}


@pytest.mark.parametrize("field", sorted({f.name for f in dataclasses.fields(Report)} - OPTIONAL))
def test_the_schema_asks_for_every_field_of_the_report(field: str) -> None:
    data = strict(render(reports.incident(), "json"))
    del data[field]
    assert not VALIDATOR.is_valid(data)


def test_machine_and_evidence_are_open() -> None:
    data = strict(render(reports.incident(), "json"))
    data["machine"]["uptime_s"] = 480
    data["findings"][0]["evidence"]["anything"] = {"goes": True}
    VALIDATOR.validate(data)
