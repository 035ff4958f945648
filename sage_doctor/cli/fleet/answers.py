"""What a host answered: a report, or one of three ways not to have one.

Unreachable is not unknown, and neither is unhealthy: ssh found nobody; somebody was there, and no answer came; and no
doctor is installed there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sage_doctor.cli.saved_reports import read_report
from sage_doctor.errors import UsageError
from sage_doctor.report import Report
from sage_doctor.report.comparison import Silence
from sage_doctor.report.verdict import EXIT_HEALTHY, EXIT_UNHEALTHY, EXIT_UNKNOWN
from sage_doctor.text import printable

BEGIN: Final = "sage-doctor report begins"  # on both streams; a banner and what a login shell prints stand before it
NOT_INSTALLED: Final = 69  # 127 would also be a login shell that finds nothing
TIMED_OUT: Final = 124  # of `timeout` there
NOISE: Final = re.compile(r"^(?:Task failed: |Failed to connect to the host via ssh: |ssh: )+")


Answer = Report | Silence  # what came of one host: its report, or why there is none


def exit_code_of(answer: Answer) -> int:
    """Return what a host alone would end with; a code that no finished check has is not known."""
    code = answer.exit_code if isinstance(answer, Report) else EXIT_UNKNOWN
    return code if code in (EXIT_HEALTHY, EXIT_UNHEALTHY) else EXIT_UNKNOWN


def silent(host: str, state: str, why: str) -> Silence:
    """Return the answer of a host that gave no report: it is in this state, for this reason."""
    return Silence(label=printable(host, limit=100), state=state, why=printable(why, limit=300))


def read_answer(host: str, event: str, result: Mapping[str, Any], within_s: float) -> Answer:
    """Return what Ansible's result of a host means. What a host sends is foreign: validated, and never trusted."""
    told_by_ansible = str(result.get("msg") or "")  # with what ssh and the host wrote as errors
    lost = "the connection was lost during the check" if BEGIN in told_by_ansible else ""
    said = NOISE.sub("", _last(told_by_ansible.rpartition(BEGIN)[2]))
    if event == "runner_on_unreachable" or result.get("unreachable") is True:
        return silent(host, "unreachable", said or lost or "ssh found nobody there")
    code, out, errors = result.get("rc"), result.get("stdout"), str(result.get("stderr") or "")
    noise, begun, sent = str(out or "").replace("\r\n", "\n").partition(f"{BEGIN}\n")
    if code == NOT_INSTALLED and not begun:
        return silent(host, "not installed", f"{_last(errors)}; sage-doctor fleet install installs it")
    if "{" in sent:
        try:
            return read_report(sent[sent.index("{") :].encode("utf-8", "replace"))
        except UsageError as error:
            return silent(host, "unknown", f"its report{str(error).splitlines()[0]}")
    if (code is None and "timed out" in said.lower()) or (begun and code == TIMED_OUT):
        return silent(host, "unknown", f"no answer within {within_s:.0f} s")
    # Without our line it is ssh's banner, a login shell or sudo that spoke, on either stream.
    spoke = [line for line in (_last(errors), _last(noise)) if line]
    told = (_reason(errors.rpartition(BEGIN)[2]) if begun else " · ".join(spoke)) or said
    told = told or "it sent no report"
    return silent(host, "unknown", f"{told} (exit code {code})" if isinstance(code, int) else told)


def _reason(errors: str) -> str:
    """Return what a doctor says first of an error, before its advice; of anything else the last line."""
    own = next((line for line in errors.splitlines() if line.startswith("sage-doctor: ")), None)
    return _last(own if own is not None else errors)


def _last(text: Any) -> str:
    lines = [line for line in str(text or "").splitlines() if line.strip()]
    return " ".join(lines[-1].split()) if lines else ""
