"""The report as metrics in Prometheus' text format, for node_exporter's textfile collector.

Write it with `-o prometheus:/var/lib/node_exporter/textfile/sage_doctor.prom`: the file is replaced in one step. No
sample has a time stamp, as the collector asks; `sage_doctor_last_run_timestamp_seconds` says how old the rest is. Every
sample names the roles that were examined: the collector reads all files of its directory as one, and refuses a sample
that the gate of another role has written too.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from sage_doctor.render import Screen
from sage_doctor.report import MACHINE, SEVERITIES, Report
from sage_doctor.report.subjects import Subject, is_error_where_needed, subjects_of
from sage_doctor.text import printable

_VERDICTS = ("healthy", "degraded", "unhealthy", "unknown")
_UNITS = {"s": "seconds", "ms": "milliseconds", "bytes": "bytes", "tokens/s": "tokens_per_second"}

Samples = Iterable[tuple[Mapping[str, str], float]]


def render(report: Report, _screen: Screen) -> str:
    """Return the metrics, ending with a newline."""
    machine = {"machine": report.machine.name, "roles": ",".join(report.machine.roles)}
    counted = Counter((f.code, f.severity) for f in report.findings)
    told = [(s.name, _ready(s)) for s in subjects_of(report) if s.name != MACHINE]
    ready = [({**machine, "subject": name}, float(value)) for name, value in told if value is not None]
    lines = [
        *_metric(
            "verdict", "The verdict of the last run: 1 for the one that holds.",
            [({**machine, "verdict": v}, float(report.verdict == v)) for v in _VERDICTS],
        ),
        *_metric("exit_code", "The exit code of the last run.", [(machine, float(report.exit_code))]),
        *_metric("subject_ready", "Whether no error was found on a model, service or script.", ready),
        *_metric(
            "findings", "How many findings the last run had.",
            [
                ({**machine, "code": code, "severity": severity}, float(count))
                for severity in SEVERITIES
                for (code, s), count in counted.items()
                if s == severity
            ],
        ),
        *_metric("duration_seconds", "How long the last run took.", [(machine, report.duration_s)]),
        *_metric("last_run_timestamp_seconds", "When the examination began.", [(machine, _unix(report.started_at))]),
    ]  # fmt: skip
    taken = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    for name, (about, samples) in _measured(report).items():
        if f"sage_doctor_{name}" not in taken:
            lines += _metric(name, about, [({**machine, "subject": s}, value) for s, value in samples.items()])
    return "\n".join(lines) + "\n"


def _ready(subject: Subject) -> bool | None:
    """Return whether a subject works, None where nobody is to be woken for it or not enough was examined to say."""
    if subject.state in ("unhealthy", "unknown"):
        return False
    told = (*subject.findings, *subject.suppressed)
    if subject.state == "skipped" or (subject.state == "info" and any(map(is_error_where_needed, told))):
        return None
    return True


def _measured(report: Report) -> dict[str, tuple[str, dict[str, float]]]:
    """Return what was measured: by metric, what it is and the value of each subject.

    Checks of the user's own choose their names. One metric told twice, and the collector drops the whole file.
    """
    metrics: dict[str, tuple[str, dict[str, float]]] = {}
    for m in report.measurements:
        full = _name(m.name, m.unit)
        metrics.setdefault(full, (f"Measured: {m.name}.", {}))[1][m.subject] = m.value
        if m.budget is not None:
            metrics.setdefault(f"{full}_budget", (f"The budget of {m.name}.", {}))[1][m.subject] = m.budget
    return metrics


def _metric(name: str, about: str, samples: Samples) -> list[str]:
    rows = [f"sage_doctor_{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    head = [f"# HELP sage_doctor_{name} {_escaped(about)}", f"# TYPE sage_doctor_{name} gauge"]
    return [*head, *rows] if rows else []


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _labels(labels: Mapping[str, str]) -> str:
    written = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(written) + "}"


def _escaped(text: str) -> str:
    return printable(text, limit=300).replace("\\", "\\\\").replace('"', '\\"')


def _name(name: str, unit: str) -> str:
    plain = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    suffix = _UNITS.get(unit, "")
    stem = plain.removesuffix("_s").removesuffix("_ms").removesuffix("_per")
    return f"{stem}_{suffix}" if suffix and not plain.endswith(suffix) else plain


def _unix(text: str) -> float:
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
