"""Runs the doctor's command line many times, each in a fork of a process that has examined something already.

    python fork_server.py CHECKOUT TESTS < jobs.json

A job is {"words", "cwd", "env", "python", "stdout", "stderr"}; the answer, in the jobs' order, is a list of exit codes,
null where one hung. A run costs what it does itself, not the third of a second that starting Python and pytest and
importing every check takes. Its environment is the job's alone, its streams are files, and it shares nothing with the
runs before it. `python` is what it takes for its own interpreter.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any, NoReturn

DEADLINE = 240  # seconds; whoever needs them hangs


def run(job: dict[str, Any]) -> NoReturn:
    """Become the command line of one job."""
    os.setpgid(0, 0)
    out = os.open(job["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    err = os.open(job["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    sys.argv[:] = ["sage-doctor", *job["words"]]
    sys.executable = job["python"]
    from sage_doctor.cli import main

    code: object = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        os._exit(code if isinstance(code, int) else 0)


def ended(pid: int) -> int | None:
    """Return the exit code of a fork, or None after its deadline: then it is killed with all it started."""
    late = time.monotonic() + DEADLINE
    pause = 0.002
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > late:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def main() -> None:
    """Read jobs, run each, write exit codes."""
    sys.path[:1] = sys.argv[1:3]  # the doctor's checkout, and where these tests are; not this file's directory
    from tests.warm_doctor import leave_garbage, warm_up

    warm_up()
    leave_garbage()
    codes = []
    for job in json.load(sys.stdin):
        pid = os.fork()
        if pid == 0:
            run(job)
        codes.append(ended(pid))
    json.dump(codes, sys.stdout)


if __name__ == "__main__":
    main()
