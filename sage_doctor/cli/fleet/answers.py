"""What a host answered: a report, or one of three ways not to have one.

Unreachable is not unknown, and neither is unhealthy: ssh found nobody; somebody was there, and no answer came; and no
doctor is installed there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sage_doctor.cli.saved_reports import read_report
from sage_doctor.errors import UsageError
from sage_doctor.report import Report
from sage_doctor.report.comparison import Silence
from sage_doctor.report.verdict import EXIT_HEALTHY, EXIT_UNHEALTHY, EXIT_UNKNOWN
from sage_doctor.text import printable

BEGIN: Final = "sage-doctor report begins"  # what a login shell prints stands before it
NOT_INSTALLED: Final = 127  # of a shell that finds no such command
NOISE: Final = re.compile(r"^(?:Task failed: |Failed to connect to the host via ssh: |ssh: )+")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one host: its report, else `silence` says why there is none."""

    host: str
    report: Report | None = None
    silence: Silence | None = None

    @property
    def exit_code(self) -> int:
        """What this host alone would end with; a code that no finished check has is not known."""
        code = self.report.exit_code if self.report is not None else EXIT_UNKNOWN
        return code if code in (EXIT_HEALTHY, EXIT_UNHEALTHY) else EXIT_UNKNOWN


def silent(host: str, state: str, why: str) -> Answer:
    """Return the answer of a host that gave no report: it is in this state, for this reason."""
    found = Silence(label=printable(host, limit=100), state=state, why=printable(why, limit=300))
    return Answer(host=host, silence=found)


def read_answer(host: str, event: str, result: Mapping[str, Any], within_s: float) -> Answer:
    """Return what Ansible's result of a host means. What a host sends is foreign: validated, and never trusted."""
    said = _last(result.get("msg"))
    if event == "runner_on_unreachable" or result.get("unreachable") is True:
        return silent(host, "unreachable", NOISE.sub("", said) or "ssh found nobody there")
    code, text = result.get("rc"), str(result.get("stdout") or "").replace("\r\n", "\n")
    _, begun, sent = text.partition(f"{BEGIN}\n")
    if code == NOT_INSTALLED and not begun:
        return silent(host, "not installed", "no sage-doctor on its PATH; sage-doctor fleet install puts it there")
    if "{" in sent:
        try:
            return Answer(host=host, report=read_report(sent[sent.index("{") :].encode("utf-8", "replace")))
        except UsageError as error:
            return silent(host, "unknown", str(error).removeprefix(": ").splitlines()[0])
    if said.startswith(("Timed out", "Task failed: Timed out")) or (code is None and "timed out" in said.lower()):
        return silent(host, "unknown", f"no answer within {within_s:.0f} s")
    told = _last(result.get("stderr")) or said or "it sent no report"
    return silent(host, "unknown", f"{told} (exit code {code})" if isinstance(code, int) else told)


def _last(text: Any) -> str:
    lines = [line for line in str(text or "").splitlines() if line.strip()]
    return " ".join(lines[-1].split()) if lines else ""
