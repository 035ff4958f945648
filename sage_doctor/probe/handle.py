"""The parent side of the probe: starts the child, reads its answers, and ends it at the deadline."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from sage_doctor.errors import DoctorError, system_refusal
from sage_doctor.probe.exit_status import ExitStatus, make_outcome
from sage_doctor.probe.limits import inherited_limits, used_by_children
from sage_doctor.probe.outcome import ProbeOutcome
from sage_doctor.probe.protocol import ProbeRequest
from sage_doctor.probe.transcript import Tail, Transcript
from sage_doctor.system.activity import OnProgress, ignore

SCRIPT = Path(__file__).with_name("script.py")

# Time after SIGTERM, so that a GPU context is released; then after SIGKILL, before the process is abandoned.
TERM_GRACE_S = 2.0
KILL_GRACE_S = 5.0
EXIT_GRACE_S = 5.0  # between the last answer and the end of the process
_POLL_S = 0.05
_CHUNK = 1 << 16

_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONFAULTHANDLER": "1",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",  # pickles are read as data or not at all, whatever the library's age
}
# The first makes another interpreter on macOS take ours for its own; the second contradicts ours: torch would refuse.
_DROPPED = ("__PYVENV_LAUNCHER__", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")


def run_probe(
    request: ProbeRequest,
    *,
    python: Path,
    deadline_s: float,
    stage_s: float | None = None,
    environ: Mapping[str, str] | None = None,
    on_progress: OnProgress = ignore,
) -> ProbeOutcome:
    """Load a model (and generate) in a child process of the interpreter `python`, and return what happened.

    The child is ended `deadline_s` seconds after its start, with everything it started, at the latest a few seconds
    later; sooner where one stage takes longer than `stage_s` seconds. `environ` stands in for this process's
    environment. `on_progress` is told each stage by its name, and how many tokens there are. Raises `DoctorError` where
    the system has no means for another process, but never for anything the child may do; an interrupt ends the child
    and goes on.
    """
    oom_kills, cpu_s = _oom_kills(), used_by_children()
    started = time.monotonic()
    try:
        child = _Child(request, python, environ, started, on_progress)
    except (OSError, ValueError) as error:  # ValueError: an embedded NUL
        refusal = system_refusal(error)
        if refusal is not None:
            raise DoctorError(refusal) from error
        message = _spawn_message(python, error)
        return ProbeOutcome(ending="spawn-failed", message=message, duration_s=time.monotonic() - started)
    timed_out = stopped = False
    try:
        child.listen(until=started + deadline_s, stage_s=stage_s)
        if child.running:
            timed_out = not child.transcript.finished and not child.transcript.problem
            stopped = True
            child.stop()
        duration = time.monotonic() - started
    finally:
        child.close()
    exit_status = ExitStatus(
        exit_code=child.process.returncode,
        duration_s=duration,
        deadline_s=deadline_s if duration >= deadline_s else round(duration, 1),  # the stage had less time
        timed_out=timed_out,
        stopped=stopped,
        pid=child.process.pid,
        oom_kills=max(0, _oom_kills() - oom_kills),
        cpu_s=max(0.0, used_by_children() - cpu_s),
        limits=inherited_limits(),
        tail=child.tail.text(),
    )
    return make_outcome(child.transcript, exit_status)


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the child's environment: that of a session, offline, and with stacks printed on crashes."""
    inherited = os.environ if environ is None else environ
    return {k: v for k, v in inherited.items() if k not in _DROPPED} | _SETTINGS


def _oom_kills() -> int:
    """Return how many processes the OOM killer has ended since boot, 0 if unknown."""
    try:
        with open("/proc/vmstat", encoding="ascii") as handle:
            return next((int(line.split()[1]) for line in handle if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError):
        return 0


def _spawn_message(python: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOENT and python.exists():
        return f"cannot start {python}: its first line names an interpreter that is not there"
    reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
    if python.is_dir():
        reason = "is a directory"
    return f"cannot start {python}: {reason}"


class _Child:
    """The process, its pipes, and what was read from them."""

    def __init__(
        self,
        request: ProbeRequest,
        python: Path,
        environ: Mapping[str, str] | None,
        started: float,
        on_progress: OnProgress,
    ) -> None:
        self.transcript = Transcript()
        self._on_progress = on_progress
        self._told: tuple[str, int] = ("", 0)
        self.tail = Tail()
        self._started = started
        self._request = request.line()
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            ask_read, ask_write = _pipe(theirs, ours)
            say_write, say_read = reversed(_pipe(ours, theirs))
            out_write, out_read = reversed(_pipe(ours, theirs))
            # "/" holds no torch.py; a model directory or a session's may.
            self.process = subprocess.Popen(
                [os.path.abspath(python), "-u", str(SCRIPT), str(ask_read), str(say_write)],
                stdin=subprocess.DEVNULL,
                stdout=out_write,
                stderr=out_write,
                pass_fds=(ask_read, say_write),
                cwd="/",
                env=environment(environ),
                start_new_session=True,
            )
            self._pipes = ours.pop_all()
        self._request_fd, self._answer_fd, self._output_fd = ask_write, say_read, out_read
        for descriptor in (self._request_fd, self._answer_fd, self._output_fd):
            os.set_blocking(descriptor, False)
        self._selector = selectors.DefaultSelector()
        self._pipes.callback(self._selector.close)
        self._selector.register(self._request_fd, selectors.EVENT_WRITE)
        self._selector.register(self._answer_fd, selectors.EVENT_READ)
        self._selector.register(self._output_fd, selectors.EVENT_READ)

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def listen(self, *, until: float, stage_s: float | None = None) -> None:
        """Read until the process ends, sends an invalid answer, stays after its last one, or the deadline passes."""
        while self.running and not self.transcript.problem:
            limit = self._started + self.transcript.stage_began_s + stage_s if stage_s is not None else until
            left = min(until, limit) - time.monotonic()
            if left <= 0:
                return
            finished = self.transcript.finished
            self._handle_events(min(_POLL_S, left))
            if self.transcript.finished and not finished:
                until = min(until, time.monotonic() + EXIT_GRACE_S)
        self._drain()

    def stop(self) -> None:
        """End the process group, and keep reading: writing a stack to a full pipe would block it."""
        for number, grace in ((signal.SIGTERM, TERM_GRACE_S), (signal.SIGKILL, KILL_GRACE_S)):
            self._signal(number)
            until = time.monotonic() + grace
            while self.running and time.monotonic() < until:
                self._handle_events(_POLL_S)
            if not self.running:
                break
        self._drain()

    def close(self) -> None:
        """Kill whatever is left of the process group, also when interrupted, and close the pipes."""
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        self._pipes.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses where only a zombie is left
            os.killpg(self.process.pid, number)

    def _handle_events(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.fd == self._request_fd:
                self._send()
            else:
                self._receive(key.fd)

    def _drain(self) -> None:
        """Read what lies in the pipes. Not until their end: a grandchild may hold them open for ever."""
        for _ in range(256):
            waiting = [key.fd for key, _ in self._selector.select(0) if key.fd != self._request_fd]
            if not waiting:
                return
            for descriptor in waiting:
                self._receive(descriptor)

    def _send(self) -> None:
        try:
            self._request = self._request[os.write(self._request_fd, self._request) :]
        except BlockingIOError:
            return
        except OSError:  # it died, or never listened
            self._request = b""
        if not self._request:
            self._selector.unregister(self._request_fd)  # and stays open: its end tells the child that we are gone

    def _receive(self, descriptor: int) -> None:
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._selector.unregister(descriptor)
        elif descriptor == self._answer_fd:
            self.transcript.feed(chunk, time.monotonic() - self._started)
            done, most = self.transcript.tokens
            if self._told != (self.transcript.stage, done):
                self._told = (self.transcript.stage, done)
                self._on_progress(self.transcript.stage, done, most, "tokens")
        else:
            self.tail.feed(chunk)


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Return both ends of a pipe, each closed by its stack."""
    read, write = os.pipe()
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write
