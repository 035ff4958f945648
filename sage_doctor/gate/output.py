"""What a gate prints: the verdict on standard output, the rest on standard error, with levels in a journal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, TextIO

from sage_doctor.gate.decision import Decision
from sage_doctor.text import BYTES, format_activity, format_duration, printable

_LEVELS: Final = {"error": "<3>", "warning": "<4>", "info": "<6>"}  # sd-daemon(3)
_BY_STATE: Final = {"open": "info", "blocked": "error", "unknown": "error"}


class GateOutput:
    """Prints stages, findings and the verdict.

    `quiet`: nothing if sessions may start. `aside`: nothing on standard output, which belongs to the command.
    A closed stream is ignored: the decision matters, not the line.
    """

    def __init__(self, *, quiet: bool, aside: bool) -> None:
        self._quiet = quiet
        self._aside = aside
        self._found = ""
        self._drawn = 0
        self._activity, self._text, self._since = "", "", 0.0

    def stage(self, activity: str, done: int = 0, total: int = 0, unit: str = BYTES) -> None:
        """Show what is done now, on a terminal only; with the last error, which the verdict will tell in full."""
        if activity != self._activity:
            self._activity, self._since = activity, time.monotonic()
        self._text = format_activity(activity, done, total, unit)
        self.tick()

    def tick(self) -> None:
        """Show how long the present activity has lasted."""
        if self._quiet or not self._text:
            return
        lasted = int(time.monotonic() - self._since)
        self._draw(printable(self._text + self._found, limit=76) + (f" · {format_duration(lasted)}" if lasted else ""))

    def found(self, finding: Mapping[str, Any]) -> None:
        """Take an error that was found, to show it beside the stages that follow."""
        self._found = f" (found: {finding['subject']}: {finding['code']})"

    def waiting(self, decision: Decision, pause_s: float) -> None:
        """Print why there is another attempt, and when."""
        self._draw("")
        self._line(sys.stderr, "warning", f"{decision.line()}; trying again in {format_duration(pause_s)}")

    def verdict(self, decision: Decision) -> None:
        """Print the decision, and below it what helps."""
        self._draw("")
        level = _BY_STATE[decision.state]
        if decision.usage:  # no verdict: nothing was examined
            for line in (decision.reason, *decision.details):
                self._line(sys.stderr, level, f"sage-doctor: {line}")
            return
        if decision.news and not (self._quiet and decision.state == "open"):
            self._line(sys.stderr if self._aside else sys.stdout, level, decision.line())
            for line in decision.details:
                self._line(sys.stderr, level, line)
        if not self._quiet and decision.news:
            for line in decision.notes:
                self.note(line)

    def note(self, text: str | None) -> None:
        """Print a note that does not change the decision."""
        if text:
            self._line(sys.stderr, "warning" if "cannot" in text or "--on-blocked" in text else "info", text)

    def _draw(self, text: str) -> None:
        if (self._drawn or text) and sys.stderr is not None and sys.stderr.isatty():
            self._write(sys.stderr, "\r" + text.ljust(self._drawn) + ("\r" if not text else ""))
            self._drawn = len(text)
        if not text:
            self._text = ""

    def _line(self, stream: TextIO | None, level: str, text: str) -> None:
        if stream is not None:
            mark = _LEVELS[level] if _in_journal(stream) else ""
            self._write(stream, f"{mark}{text}\n")

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except (OSError, ValueError):
            return


def _in_journal(stream: TextIO) -> bool:
    """Return whether a stream goes to systemd's journal, which reads levels at the start of lines."""
    journal = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal == f"{status.st_dev}:{status.st_ino}"
