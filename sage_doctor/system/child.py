"""A child process that cannot hang us, flood us, or leave anything running behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, ParamSpec

from sage_doctor.errors import DoctorError, system_refusal
from sage_doctor.system.frozen import frozen

MOST_OUTPUT = 4 * 1024 * 1024
_PART = 1 << 16
_GLANCE_S = 0.05  # how often a child that has closed nothing is asked whether it has ended
_STALLED_EVERY_S = 1.0


@frozen
class ChildResult:
    """How a child ended. `code` is None where it was killed by us: at its deadline, stalled, or for what it printed."""

    code: int | None
    out: bytes
    err: bytes
    timed_out: bool = False
    flooded: bool = False
    stalled: bool = False

    @property
    def text(self) -> str:
        """What it wrote to standard output, as text."""
        return self.out.decode("utf-8", "replace")

    @property
    def last_error(self) -> str:
        """The last line that it wrote to standard error; empty where it wrote nothing."""
        return next(iter(self.err.decode("utf-8", "replace").strip().splitlines()[-1:]), "")


# Where a child's output goes: into the result, both streams into the result's `out`, or where ours goes.
Output = Literal["captured", "together", "ours"]


class Child:
    """A started child in its own process group; its standard input is empty, or the few bytes of `ask`.

    Its deadline counts from the start. `finish` must be called in the end; `kill` may be called instead. A child that
    prints more than `MOST_OUTPUT` is ended, unless `keep_end`: then the end of each stream is kept. `on_line` is called
    with each line of standard output as it comes. `stalled` is asked every second; where it says yes, the child is
    ended.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ask: bytes = b"",
        output: Output = "captured",
        keep_end: bool = False,
        on_line: Callable[[str], None] | None = None,
        stalled: Callable[[], bool] | None = None,
    ) -> None:
        """Start the child. Raises `OSError` where the program cannot be executed."""
        self._deadline = time.monotonic() + timeout_s
        self._keep_end, self._on_line, self._line = keep_end, on_line, b""
        self._stalled, self._asked = stalled, time.monotonic()
        with _source(ask) as source:
            self._process = subprocess.Popen(
                list(command),
                stdin=source,
                stdout=None if output == "ours" else subprocess.PIPE,
                stderr={"captured": subprocess.PIPE, "together": subprocess.STDOUT, "ours": None}[output],
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        self._outcome: ChildResult | None = None

    def finish(self) -> ChildResult:
        """Return how the child ended, waiting for it until its deadline at most. May be called again."""
        if self._outcome is None:
            try:
                self._outcome = self._read()
            finally:
                self.kill()
        return self._outcome

    def kill(self) -> None:
        """End the child and everything it started, and let go of its pipes."""
        if self._process.poll() is None or self._process.stdout:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _read(self) -> ChildResult:
        parts: dict[str, bytearray] = {"out": bytearray(), "err": bytearray()}
        with selectors.DefaultSelector() as selector:
            for pipe, name in ((self._process.stdout, "out"), (self._process.stderr, "err")):
                if pipe is not None:
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe.fileno(), selectors.EVENT_READ, name)
            while selector.get_map():
                left = self._deadline - time.monotonic()
                if left <= 0 or self._is_stalled():
                    return _outcome(parts, timed_out=left <= 0, stalled=left > 0)
                ended = self._process.poll() is not None
                ready = selector.select(0 if ended else min(left, _GLANCE_S))
                if ended and not ready:
                    break  # a grandchild still holds the pipe: what the child said is all there
                for key, _ in ready:
                    part = os.read(key.fd, _PART)
                    self._take(parts[key.data], part, lines=key.data == "out")
                    if not part:
                        selector.unregister(key.fd)
                if not self._keep_end and sum(map(len, parts.values())) > MOST_OUTPUT:
                    return _outcome(parts, flooded=True)
        try:
            code = self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return _outcome(parts, timed_out=True)
        return _outcome(parts, code=code)

    def _is_stalled(self) -> bool:
        if self._stalled is None or time.monotonic() - self._asked < _STALLED_EVERY_S:
            return False
        self._asked = time.monotonic()
        return self._stalled()

    def _take(self, said: bytearray, part: bytes, *, lines: bool) -> None:
        said += part
        if self._keep_end:
            del said[:-MOST_OUTPUT]
        if lines and self._on_line is not None:
            *whole, self._line = (self._line + part).split(b"\n")
            if not part and self._line:  # its end
                whole, self._line = [self._line], b""
            for line in whole:
                self._on_line(line.decode("utf-8", "replace"))


@contextlib.contextmanager
def _source(ask: bytes) -> Iterator[IO[bytes] | int]:
    """Give what becomes the child's standard input: a file cannot block us, however slowly the child reads."""
    if not ask:
        yield subprocess.DEVNULL
        return
    with _nameless_file() as source:
        source.write(ask)
        source.seek(0)
        yield source


def _nameless_file() -> IO[bytes]:
    """Return an empty file that has no name; in memory where the system can do that: disks may be full."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("ask"), "w+b")
    import tempfile  # noqa: PLC0415 - brings much that a child without input does not need

    return tempfile.TemporaryFile()


def _outcome(parts: Mapping[str, bytearray], *, code: int | None = None, **why: bool) -> ChildResult:
    return ChildResult(code=code, out=bytes(parts["out"]), err=bytes(parts["err"]), **why)


_Words = ParamSpec("_Words")


def _to_its_end(start: Callable[_Words, Child]) -> Callable[_Words, ChildResult | None]:
    def run(*words: _Words.args, **options: _Words.kwargs) -> ChildResult | None:
        """Run a program to its end, with the words of `Child`; None where it is not installed or cannot be executed.

        Raises `DoctorError` where the system has no means for another process.
        """
        try:
            child = start(*words, **options)
        except OSError as error:
            refusal = system_refusal(error)
            if refusal is not None:
                raise DoctorError(refusal) from error
            return None
        return child.finish()

    return run


run = _to_its_end(Child)
