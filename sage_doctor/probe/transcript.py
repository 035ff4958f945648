"""What the child has said so far: answers collected line by line, stages with their times."""

from __future__ import annotations

from sage_doctor.probe.outcome import Failure, Stage
from sage_doctor.probe.protocol import ANSWERS, Answer, ProtocolError, parse_line

MOST_LINE = 1 << 20
MOST_LINES = 1000
TAIL_BYTES = 64 * 1024


class Transcript:
    """Grows with every chunk read from the child's pipe. The first garbage ends it: `problem` says what it was."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.done = False
        self.problem = ""
        self._begun: list[tuple[str, float]] = []
        self._rest = b""
        self._lines = 0

    @property
    def finished(self) -> bool:
        """Whether the child has said its last word."""
        return self.done or "failed" in self.answers

    @property
    def stage(self) -> str:
        """The last stage announced, empty where none was."""
        return self._begun[-1][0] if self._begun else ""

    @property
    def stage_began_s(self) -> float:
        """When the last stage was announced, in seconds after the start; 0 where none was."""
        return self._begun[-1][1] if self._begun else 0.0

    @property
    def failure(self) -> Failure | None:
        """The exception the child reported, if it did."""
        failure = self.answers.get("failed")
        return failure if isinstance(failure, Failure) else None

    def feed(self, chunk: bytes, at: float) -> None:
        """Take what was read `at` so many seconds after the start."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MOST_LINE and not self.problem:
            self.problem = f"a line longer than {MOST_LINE} bytes"
        for line in lines:
            if self.problem:
                return
            self._take(line, at)

    def _take(self, line: bytes, at: float) -> None:
        self._lines += 1
        if self._lines > MOST_LINES or len(line) > MOST_LINE:
            self.problem = f"more than {MOST_LINES} lines, or one longer than {MOST_LINE} bytes"
            return
        try:
            said = parse_line(line)
        except ProtocolError as error:
            self.problem = str(error)
            return
        if isinstance(said, str):
            self._begun.append((said, at))
            self.done = self.done or said == "done"
        else:
            self.answers[next(event for event, kind in ANSWERS.items() if isinstance(said, kind))] = said

    def stages(self, ended: float) -> tuple[Stage, ...]:
        """Return the stages in order, each lasting until the next, the last until the process `ended`."""
        ends = [at for _, at in self._begun[1:]] + [ended]
        pairs = zip(self._begun, ends, strict=False)
        return tuple(Stage(name=n, started_s=at, seconds=max(0.0, end - at)) for (n, at), end in pairs)


class Tail:
    """The last 64 KiB of what the child's libraries printed."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take a chunk, letting go of the oldest."""
        self._kept += chunk
        del self._kept[:-TAIL_BYTES]

    def text(self) -> str:
        """Return what was kept; bytes that are not UTF-8 are escaped."""
        return self._kept.decode("utf-8", "backslashreplace")
