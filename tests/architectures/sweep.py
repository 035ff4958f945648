"""Every architecture, saved by transformers and examined by the doctor: `python -m tests.architectures.sweep`.

Prints each finding above info on a healthy directory, and how many architectures had none. Names restrict it to those
model types. torch is imported once: each load runs in a fork, with the very stages of a probe.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sage_doctor.probe
from sage_doctor.probe.child.reporter import Reporter, report_failure
from sage_doctor.probe.exit_status import ExitStatus, make_outcome
from sage_doctor.probe.outcome import ProbeOutcome
from sage_doctor.probe.protocol import ProbeRequest
from sage_doctor.probe.script import probe
from sage_doctor.probe.transcript import Transcript
from sage_doctor.subjects.selection import Request
from sage_doctor.suite.examine import examine

LEVELS = ("static", "integrity", "load")


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


def alarms(folder: Path, level: str) -> list[str]:
    """Return what the doctor says above info of a directory, and what it could not find out."""
    report = examine(Request(targets=(str(folder),), level=level, cwd=str(folder.parent)))  # type: ignore[arg-type]
    said = [f"{f.severity} {f.code}: {f.message}" for f in report.findings if f.severity != "info"]
    said += [f"inconclusive {c.id}: {c.reason}" for c in report.checks if c.status == "error"]
    return [s for s in said if "machine" not in s]


def main() -> int:
    """Build, save and examine; returns 1 where anything was said of a healthy directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="model types (default: all)")
    parser.add_argument("--levels", default="load", help="comma-separated: static, integrity, load")
    parser.add_argument("--json", help="write what was said of each here")
    given = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    import torch
    import transformers

    from tests.architectures import tiny

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    sage_doctor.probe.run_probe = forked  # type: ignore[assignment]
    said: dict[str, list[str]] = {}
    unbuilt = []
    with tempfile.TemporaryDirectory() as place:
        os.environ.update(HOME=place, XDG_STATE_HOME=f"{place}/state", HF_HOME=f"{place}/hf")
        for model_type, name in tiny.classes():
            if given.names and model_type not in given.names:
                continue
            folder = Path(place) / f"{model_type}-{name}"
            with contextlib.redirect_stderr(open(os.devnull, "w")):
                model = tiny.build(model_type, name)
                try:
                    if model is not None:
                        tiny.save(model, folder)
                except Exception as error:  # noqa: BLE001 - the library cannot save its own
                    model = None
            if model is None:
                unbuilt.append(folder.name)
                continue
            del model
            said[folder.name] = [s for level in given.levels.split(",") for s in alarms(folder, level)]
            for line in said[folder.name]:
                print(f"{folder.name}: {line}"[:400], flush=True)
            shutil.rmtree(folder)
            if given.json:
                Path(given.json).write_text(json.dumps({"said": said, "unbuilt": unbuilt}, indent=1))
    quiet = sum(not s for s in said.values())
    print(f"{quiet} of {len(said)} healthy architectures without an alarm; {len(unbuilt)} could not be built tiny")
    return int(quiet < len(said))


if __name__ == "__main__":
    sys.exit(main())
