"""The transcript of a probe: its answers line by line, and its stages with their times."""

from __future__ import annotations

from typing import Any

from sage_doctor.probe.outcome import Failure, Stage, Tokens
from sage_doctor.probe.protocol import ProtocolError, parse_line

MOST_LINE = 1 << 20
MOST_LINES = 1000
_LINES_A_SECOND = 4  # more, of how many tokens there are
TAIL_BYTES = 64 * 1024


class Transcript:
    """The answers read from the child's pipe. The first invalid one ends it: `problem` says what is wrong."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.done = False
        self.problem = ""
        self._stage_starts: list[tuple[str, float]] = []
        self._incomplete = b""
        self._lines = 0

    @property
    def finished(self) -> bool:
        """Whether the child has sent its last answer."""
        return self.done or "failed" in self.answers

    @property
    def stage(self) -> str:
        """The last stage announced, empty where none was."""
        return self._stage_starts[-1][0] if self._stage_starts else ""

    @property
    def stage_began_s(self) -> float:
        """When the last stage was announced, in seconds after the start; 0 where none was."""
        return self._stage_starts[-1][1] if self._stage_starts else 0.0

    @property
    def tokens(self) -> tuple[int, int]:
        """How many tokens there are and of how many, in the stage that generates; 0 and 0 in all others."""
        found: Tokens | None = self.answers.get("tokens")
        return (found.done, found.most) if found is not None and self.stage == "generate" else (0, 0)

    @property
    def failure(self) -> Failure | None:
        """The exception the child reported, if it did."""
        return self.answers.get("failed")

    def feed(self, chunk: bytes, at: float) -> None:
        """Add a chunk read `at` so many seconds after the start."""
        *lines, self._incomplete = (self._incomplete + chunk).split(b"\n")
        if len(self._incomplete) > MOST_LINE and not self.problem:
            self.problem = f"a line longer than {MOST_LINE} bytes"
        for line in lines:
            if self.problem:
                return
            self._add_line(line, at)

    def _add_line(self, line: bytes, at: float) -> None:
        self._lines += 1
        if self._lines > MOST_LINES + at * _LINES_A_SECOND or len(line) > MOST_LINE:
            self.problem = f"more than {MOST_LINES} lines, or one longer than {MOST_LINE} bytes"
            return
        try:
            event, answer = parse_line(line)
        except ProtocolError as error:
            self.problem = str(error)
            return
        if event == "stage":
            self._stage_starts.append((answer, at))
            self.done = self.done or answer == "done"
        else:
            self.answers[event] = answer

    def stages(self, ended: float) -> tuple[Stage, ...]:
        """Return the stages in order, each lasting until the next, the last until the process `ended`."""
        ends = [at for _, at in self._stage_starts[1:]] + [ended]
        pairs = zip(self._stage_starts, ends, strict=False)
        return tuple(Stage(name=n, started_s=at, seconds=max(0.0, end - at)) for (n, at), end in pairs)


class Tail:
    """The last 64 KiB of what the child's libraries printed."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Add a chunk, dropping the oldest bytes."""
        self._kept += chunk
        del self._kept[:-TAIL_BYTES]

    def text(self) -> str:
        """Return what was kept; bytes that are not UTF-8 are escaped."""
        return self._kept.decode("utf-8", "backslashreplace")
