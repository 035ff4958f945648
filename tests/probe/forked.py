"""A probe in a fork of a process that has imported torch already: seconds less for each of many."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from typing import Any

from sage_doctor.probe.child.reporter import Reporter, report_failure
from sage_doctor.probe.exit_status import ExitStatus, make_outcome
from sage_doctor.probe.outcome import ProbeOutcome
from sage_doctor.probe.protocol import ProbeRequest
from sage_doctor.probe.script import probe
from sage_doctor.probe.transcript import Transcript


def forked(request: ProbeRequest, **_: Any) -> ProbeOutcome:
    """Do what `run_probe` does, in a fork of this process instead of a new interpreter."""
    started = time.monotonic()
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (1, 2):
            os.dup2(null, descriptor)
        reporter = Reporter(write)
        reporter.stage("start")
        try:
            probe(reporter, dataclasses.asdict(request))
            reporter.stage("done")
        except BaseException as error:  # noqa: BLE001 - as the probe itself does
            report_failure(reporter, error)
        os._exit(0)
    os.close(write)
    transcript = Transcript()
    with os.fdopen(read, "rb") as pipe:
        for line in pipe:
            transcript.feed(line, time.monotonic() - started)
    os.waitpid(pid, 0)
    ended = ExitStatus(
        exit_code=0 if transcript.done else 1,
        duration_s=time.monotonic() - started,
        deadline_s=600.0,
        timed_out=False,
        stopped=False,
        pid=pid,
        oom_kills=0,
        tail="",
    )
    return make_outcome(transcript, ended)
