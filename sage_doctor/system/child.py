"""A short-lived child process that cannot hang us, flood us, or leave anything running behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_OUTPUT = 4 * 1024 * 1024
_PART = 1 << 16
_GLANCE_S = 0.05  # how often a child that has closed nothing is asked whether it has ended


@dataclass(frozen=True, kw_only=True)
class ChildResult:
    """How a child ended. `code` is None where it was killed by us: at its deadline, or for what it printed."""

    code: int | None
    out: bytes
    err: bytes
    timed_out: bool = False
    flooded: bool = False


class Child:
    """A started child in its own process group; its standard input is empty, or the few bytes of `ask`.

    Its deadline counts from the start. `finish` must be called in the end; `kill` may be called instead.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ask: bytes = b"",
    ) -> None:
        """Start the child. Raises `OSError` where the program cannot be executed."""
        self._deadline = time.monotonic() + timeout_s
        with tempfile.TemporaryFile() as source:  # a file cannot block us, however slowly the child reads
            source.write(ask)
            source.seek(0)
            self._process = subprocess.Popen(
                list(command),
                stdin=source if ask else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
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
                if left <= 0:
                    return _outcome(parts, timed_out=True)
                ended = self._process.poll() is not None
                ready = selector.select(0 if ended else min(left, _GLANCE_S))
                if ended and not ready:
                    break  # a grandchild still holds the pipe: what the child said is all there
                for key, _ in ready:
                    part = os.read(key.fd, _PART)
                    parts[key.data] += part
                    if not part:
                        selector.unregister(key.fd)
                if sum(map(len, parts.values())) > MOST_OUTPUT:
                    return _outcome(parts, flooded=True)
        try:
            code = self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return _outcome(parts, timed_out=True)
        return _outcome(parts, code=code)


def _outcome(
    parts: Mapping[str, bytearray], *, code: int | None = None, timed_out: bool = False, flooded: bool = False
) -> ChildResult:
    return ChildResult(
        code=code, out=bytes(parts["out"]), err=bytes(parts["err"]), timed_out=timed_out, flooded=flooded
    )


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    ask: bytes = b"",
) -> ChildResult | None:
    """Run a program to its end; None where it is not installed or cannot be executed."""
    try:
        child = Child(command, timeout_s=timeout_s, env=env, cwd=cwd, ask=ask)
    except OSError:
        return None
    return child.finish()
