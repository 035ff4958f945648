"""Reports that other runs, other machines or other versions wrote: bounded, validated, and never trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import UsageError
from sage_doctor.readers.json_object import JsonFile, parse_json_object, read_json_object
from sage_doctor.report import SCHEMA_VERSION, Report
from sage_doctor.text import printable

MOST_BYTES: Final = 64 << 20  # of one file; a thousand models have a tenth of it
MOST_REPORTS: Final = 200
MOST_ITEMS: Final = 200_000  # checks, findings and measurements together
_SCHEMA: Final = Path(__file__).parents[1] / "schemas" / "report.schema.json"


def read_reports(paths: Sequence[Path]) -> list[tuple[str, Report]]:
    """Return the reports in these files, each with its file's name. Raises `UsageError` naming each that is none."""
    if len(paths) > MOST_REPORTS:
        raise UsageError(f"{len(paths)} reports; at most {MOST_REPORTS} are laid side by side")
    found, problems = [], []
    for path in dict.fromkeys(paths):
        try:
            found.append((str(path), _read(path)))
        except UsageError as error:
            problems.append(f"{printable(str(path))}{error}")
    if problems:
        raise UsageError("\n".join(problems))
    return found


def _read(path: Path) -> Report:
    return _report(read_json_object(path, most=MOST_BYTES))


def read_report(raw: bytes) -> Report:
    """Return the report that another machine sent. Raises `UsageError` whose text says why it is none."""
    if len(raw) > MOST_BYTES:
        raise UsageError(f": {len(raw):,} bytes; a report has at most {MOST_BYTES:,}")
    return _report(parse_json_object("the report", raw))


def _report(file: JsonFile) -> Report:
    if file.value is None:
        line = f":{file.line}" if file.line else ""
        raise UsageError(f"{line}: {'no such file' if file.missing else file.problem}")
    version = file.value.get("schema_version")
    if type(version) is int and version > SCHEMA_VERSION:
        doctor = file.value.get("doctor")
        theirs = doctor.get("version") if isinstance(doctor, dict) else None
        to = f" to {printable(theirs, limit=40)}" if isinstance(theirs, str) else ""
        raise UsageError(
            f": written by a newer sage-doctor (report schema {version}, this one reads {SCHEMA_VERSION})\n"
            f"  next: upgrade sage-doctor here{to}, or run the check there with this version"
        )
    problem = _problem(file.value)
    if problem:
        raise UsageError(f": not a report of sage-doctor: {problem}\n  next: sage-doctor check -o json:FILE")
    try:
        return Report.from_json(file.value)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise UsageError(f": not a report of sage-doctor: {printable(str(error), limit=200)}") from error


def _problem(data: Mapping[str, Any]) -> str:
    """Return what the schema says against a report; fields that a newer version of it has added are none."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - only this command and `init` need it

    items = [data.get(name) for name in ("checks", "findings", "measurements", "models", "roles", "changes")]
    count = sum(len(i) for i in items if isinstance(i, list))
    if count > MOST_ITEMS:
        return f"{count:,} checks, findings and others; one has at most {MOST_ITEMS:,}"
    validator = Draft202012Validator(_open(json.loads(_SCHEMA.read_text(encoding="utf-8"))))
    error = next(validator.iter_errors(data), None)
    if error is None:
        return ""
    where = "/".join(str(part) for part in error.absolute_path)
    return printable(f"{where or 'the top'}: {error.message}", limit=300)


def _open(schema: Any) -> Any:
    """Return a schema that allows what it does not know: a newer doctor of the same schema version may write more."""
    if isinstance(schema, dict):
        return {k: _open(v) for k, v in schema.items() if not (k == "additionalProperties" and v is False)}
    return [_open(v) for v in schema] if isinstance(schema, list) else schema
