"""Runs the doctor's command line many times, each in a fork of a process that has imported it already.

    python fork_server.py CHECKOUT < jobs.json

A job is {"words", "cwd", "env", "stdout", "stderr"}; the answer, in the jobs' order, is a list of exit codes, null
where one hung. A run costs what it does itself, not the third of a second that starting Python and pytest takes. Its
environment is the job's alone, its streams are files, and it shares nothing with the runs before it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from typing import Any, NoReturn

DEADLINE = 240  # seconds; whoever needs them hangs
# What every examination imports; a name that another version of the doctor does not have is left out.
IMPORTED = (
    *("sage_doctor.cli.app", "sage_doctor.cli.check", "sage_doctor.cli.outputs", "sage_doctor.suite.run"),
    *(
        "sage_doctor.suite.plugin",
        "sage_doctor.suite.examine",
        "sage_doctor.render.terminal",
        "sage_doctor.render.json",
    ),
    *("pytest", "_pytest.config", "_pytest.main", "_pytest.python", "_pytest.fixtures", "sage_doctor.render.json"),
)


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
    sys.path[0] = sys.argv[1]  # not this file's directory
    for name in IMPORTED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    codes = []
    for job in json.load(sys.stdin):
        pid = os.fork()
        if pid == 0:
            run(job)
        codes.append(ended(pid))
    json.dump(codes, sys.stdout)


if __name__ == "__main__":
    main()
