"""Work that cannot block its caller: it is done in a child, which is left behind after the deadline.

A thread would not do. A process in which one thread waits in the kernel (a dead network disk, a GPU driver) cannot
end, and whoever waits for it waits as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

from sage_doctor.errors import system_refusal
from sage_doctor.system.frozen import frozen
from sage_doctor.system.message_pipe import Messages, end_with_listener
from sage_doctor.system.small_text import read_line, read_text
from sage_doctor.text import printable

TERM_GRACE_S: Final = 0.7
KILL_GRACE_S: Final = 0.5
_GLANCE_S: Final = 0.5  # how often a silent child is asked whether it has ended
_MOST_FILES: Final = 1 << 16

LIMIT: Final = "limit"  # the kind of message by which the child says how many seconds it has in all
TICK: Final = "tick"  # the kind of message that the child said nothing for half a second

Send = Callable[[str, Any], None]


@frozen
class GuardResult:
    """How guarded work ended: `done` with its result, `late`, or `died`. `detail` says more where it is not done."""

    how: Literal["done", "late", "died"]
    result: Any = None
    detail: str = ""


def guarded(work: Callable[[Send], Any], *, seconds: float, on_message: Callable[[str, Any], None]) -> GuardResult:
    """Do `work` in a child process and return how it ended, after `seconds` at the latest (and a little to end it).

    `work` gets a function that sends a kind and a JSON value to `on_message` in this process (with the kind `LIMIT` it
    says how many seconds there are instead; `TICK` comes when it is silent), and returns a JSON value. Its exceptions
    end the child. An interrupt of this process ends the child and goes on. Needs a process with one thread.
    """
    began = time.monotonic()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    ours, theirs = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(ours)
        os.close(theirs)
        return GuardResult(how="died", detail=system_refusal(error) or f"no process can be started: {error}")
    if pid == 0:
        os.close(ours)
        _run(work, theirs)
    os.close(theirs)
    try:
        return _listen(pid, ours, began, seconds, on_message)
    except BaseException:
        _end(pid)
        raise
    finally:
        os.close(ours)


def _run(work: Callable[[Send], Any], pipe: int) -> None:
    """Be the child. Never returns."""
    code = 1

    def send(kind: str, value: Any) -> None:
        raw = json.dumps([kind, value]).encode("ascii") + b"\n"
        try:
            while raw:
                raw = raw[os.write(pipe, raw) :]
        except BrokenPipeError:  # nobody listens any more: whoever asked was killed
            raise KeyboardInterrupt from None

    try:
        os.setsid()  # a group of its own, which can be ended as a whole
        # Nothing of the caller's stays open here: whoever reads our output waits until the last holder has closed it,
        # and a child that cannot be ended would be the last.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        os.closerange(3, pipe)
        os.closerange(pipe + 1, min(_MOST_FILES, os.sysconf("SC_OPEN_MAX")))
        end_with_listener(pipe)
        send("done", work(send))
        code = 0
    except KeyboardInterrupt:
        code = 130
        with contextlib.suppress(KeyboardInterrupt):
            send("fault", "the examining process was interrupted (OpenBLAS does so where it can start no threads)")
    except Exception as error:  # noqa: BLE001 - the parent tells it: a traceback helps nobody at three in the morning
        with contextlib.suppress(KeyboardInterrupt):
            send("fault", system_refusal(error) or _describe_error(error))
    finally:
        os._exit(code)  # nothing of the parent's (buffers, handlers at exit) may happen a second time


def _describe_error(error: Exception) -> str:
    if isinstance(error, OSError) and isinstance(error.filename, str) and error.errno:
        return f"{printable(error.filename, limit=300)}: {os.strerror(error.errno).lower()}"
    return f"{type(error).__name__}: {error}"


def _listen(pid: int, pipe: int, began: float, seconds: float, on_message: Callable[[str, Any], None]) -> GuardResult:
    until = began + seconds
    messages = Messages()
    fault = ""
    while True:
        left = until - time.monotonic()
        if left <= 0:
            where = _stuck_process(pid)
            return GuardResult(how="late", detail=_end(pid) or where)
        part = _read(pid, pipe, left)
        if part is None:
            on_message(TICK, None)
            continue
        try:
            said = messages.take(part)
        except ValueError as error:
            _end(pid)
            return GuardResult(how="died", detail=str(error))
        for kind, value in said:
            if kind == "done":
                _end_group(pid)
                _collect(pid, min(until, time.monotonic() + 1.0))
                return GuardResult(how="done", result=value)
            if kind == "fault":
                fault = str(value)
                continue
            if kind == LIMIT:
                until = began + float(value)
            on_message(kind, value)
        if not part:
            return GuardResult(how="died", detail=fault or _death(_collect(pid, until)))


def _read(pid: int, pipe: int, left: float) -> bytes | None:
    """Return what the child has written, None where that is nothing yet, and nothing at all once it has ended.

    Something that it started may hold the pipe for longer.
    """
    if select.select([pipe], [], [], min(left, _GLANCE_S))[0]:
        return os.read(pipe, 1 << 16)
    return b"" if _has_ended(pid) else None


def _has_ended(pid: int) -> bool:
    state = _state(pid)
    return state is not None and state[1] in "ZX"


def _end_group(pid: int) -> None:
    """Kill what a child has started and left behind. It is not collected yet, so that no other has its number."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _collect(pid: int, until: float) -> int | None:
    """Return the child's exit status once it has ended, None where it has not by then."""
    while True:
        if _has_ended(pid):
            _end_group(pid)
        with contextlib.suppress(ChildProcessError):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.002)


def _death(status: int | None) -> str:
    if status is None:
        return "the examining process closed its pipe and did not end"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"the examining process was ended by {signal.Signals(-status).name}"
    return f"the examining process ended with status {status} and no message"


def _end(pid: int) -> str:
    """End the child and everything it started. Return which of them cannot be ended, empty where all are."""
    family = [pid, *_descendants(pid)]
    groups = {group for member in family if (group := _group(member)) not in (None, os.getpgrp())}
    for number, grace in ((signal.SIGTERM, TERM_GRACE_S), (signal.SIGKILL, KILL_GRACE_S)):
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(group or pid), number)
        _collect(pid, time.monotonic() + grace)
        if not any(_alive(member) for member in family):
            return ""
    stuck = [member for member in family if _alive(member)]
    return f"{_describe_process(stuck[0])}, cannot be killed and was left behind" if stuck else ""


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _alive(pid: int) -> bool:
    state = _state(pid)
    return state is not None and state[1] not in "ZX"


def _state(pid: int) -> tuple[str, str, int] | None:
    """Return name, state letter and parent of a process, None where it is gone or this is no Linux."""
    text = read_line(Path(f"/proc/{pid}/stat"))
    if text is None or ")" not in text:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return name, fields[0], int(fields[1])


def _descendants(pid: int) -> list[int]:
    """Return all processes below one, nearest first."""
    parents: dict[int, list[int]] = {}
    for entry in _processes():
        found = _state(entry)
        if found is not None:
            parents.setdefault(found[2], []).append(entry)
    below, pending = [], [pid]
    while pending:
        children = parents.get(pending.pop(0), [])
        below += children
        pending += children
    return below


def _processes() -> Iterator[int]:
    with contextlib.suppress(OSError):
        yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def _stuck_process(pid: int) -> str:
    """Return which process below `pid` is at work, and where in the kernel it waits, as far as the system tells."""
    family = [pid, *_descendants(pid)]
    stuck = [p for p in family if (_state(p) or ("", "", 0))[1] in ("D", "T", "t")]
    return _describe_process((stuck or family)[-1])


def _describe_process(pid: int) -> str:
    found = _state(pid)
    if found is None:
        return f"process {pid}"
    states = {"D": "waits in the kernel", "T": "is stopped", "t": "is stopped", "R": "is running", "S": "sleeps"}
    wait = (read_text(Path(f"/proc/{pid}/wchan")) or "").strip()
    place = f" in {printable(wait, limit=60)}" if found[1] == "D" and wait not in ("", "0") else ""
    return f"process {pid} ({printable(found[0], limit=40)}), which {states.get(found[1], 'is ' + found[1])}{place}"
