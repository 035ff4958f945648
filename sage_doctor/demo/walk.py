"""Plays the incident: a session fails, the doctor says why and mends it, and the session runs.

Everything shown is really run: the session runners, the doctor (a process of its own, as a person would start it),
and its repairs. After each step the report is held against what the step claims; the first claim that does not hold
ends the demo with a sentence and exit code 1.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sage_doctor.demo.incident import ADAPTER, MERGED, Incident, incident_paths, write_incident
from sage_doctor.demo.smollm2 import NAME, cache_root, converted, is_whole
from sage_doctor.report import EXIT_HEALTHY, EXIT_UNHEALTHY, Report
from sage_doctor.system.child import ChildResult, Output, run
from sage_doctor.text import format_duration, printable

Echo = Callable[[str], None]

ANSWER = "I am SAGE"
ROLE = "raising"
STEP_DEADLINE_S = 600.0
INDENT = "  "
SHOWN = ("check", "fix", "--rewrite-paths", "--yes")  # the words that a person would type


class DemoFailed(Exception):
    """Something the demo claims did not come true; the text is the sentence shown."""


def run_demo(scratch: Path, *, echo: Echo, page: Path) -> int:
    """Play the incident in `scratch/thor`, which stays, and return 0 where every claim of the story held, else 1.

    `page` is where the last report is written as a page; `echo` shows one line. Raises `DoctorError` where the demo
    cannot even begin: the model's package is missing, or `scratch/thor` exists.
    """
    if not is_whole(cache_root() / NAME):
        echo(f"Making the demo's model, {NAME}: once, for about half a minute.")
    incident = write_incident(scratch, converted())
    started = time.monotonic()
    try:
        _play(incident, echo, page)
    except DemoFailed as broken:
        echo("")
        echo(f"The demo did not go as it should: {broken}")
        echo(f"Everything lies as it was at that moment in {printable(str(incident.root))}.")
        return 1
    echo("")
    echo("Shown: two misleading errors; their causes, found without loading a model;")
    echo("one command that named the base, merged the model and rewrote the script's path;")
    echo("and that model, really loaded, asked and timed, by the doctor and by the sessions.")
    echo(f"It took {format_duration(time.monotonic() - started)}. The last report as a page, for a browser:")
    echo(f"{INDENT}{printable(str(page))}")
    return 0


def main(arguments: list[str]) -> int:
    """Play the incident on standard output, in the directory given or in a temporary one, and return the exit code.

    A directory that was asked for is kept; a temporary one is kept where the story failed. Raises like `run_demo`.
    """
    if arguments:
        scratch = Path(arguments[0]).absolute()
        root = incident_paths(scratch).root
        code = run_demo(scratch, echo=_say, page=root / "report.html")
        if code == 0:
            _say(f"It lies in {printable(str(root))}: break something else, and run `sage-doctor` there.")
        return code
    scratch = Path(tempfile.mkdtemp(prefix="sage-doctor-demo-"))
    keep = False
    try:
        code = run_demo(scratch, echo=_say, page=cache_root().parent / "demo-report.html")
        keep = code != 0
    finally:
        if not keep:
            shutil.rmtree(scratch, ignore_errors=True)
    if not keep:
        _say("To look around and break something else: `sage-doctor demo --directory DIR` keeps it.")
    return code


def _say(line: str) -> None:
    print(line, flush=True)


def _play(incident: Incident, echo: Echo, page: Path) -> None:
    """Play all six scenes."""
    echo("After a reboot, no session starts on the machine called thor.")
    _heading(echo, "1", "The sessions fail, with errors about repositories that nobody asked for")
    for runner in incident.runners:
        code, last = _session(incident, runner, echo)
        if code == 0:
            raise DemoFailed(f"{runner.name} ran, although its model has no weights")
        for line in _wrapped(last):
            echo(INDENT + line)

    _heading(echo, "2", "The doctor says what is wrong")
    script = str(incident.runners[0].relative_to(incident.root))
    causes = ("weights-missing", MERGED), ("adapter-base-missing", ADAPTER), ("runner-hardcoded-path", script)
    _expect(_doctor(incident, echo, "check"), EXIT_UNHEALTHY, *causes)

    _heading(echo, "3", "The doctor repairs it: the adapter's base, the model's weights, the script's path")
    _expect(_doctor(incident, echo, "fix", "--rewrite-paths", "--yes"), EXIT_HEALTHY)

    _heading(echo, "4", "The doctor looks again, and lets the model speak")
    words = ("--timeout", f"{STEP_DEADLINE_S:.0f}", "--output", f"html:{page}")
    report = _doctor(incident, echo, "check", *words)
    _expect(report, EXIT_HEALTHY)
    if ANSWER not in (said := report.answers.get(MERGED, "")):
        raise DemoFailed(f"{MERGED} answered {printable(said) or 'nothing'!r}, not “{ANSWER} …”")

    _heading(echo, "5", "The sessions run")
    for runner in incident.runners:
        code, last = _session(incident, runner, echo)
        for line in _wrapped(last):
            echo(INDENT + line)
        if code != 0 or ANSWER not in last:
            raise DemoFailed(f"{runner.name} did not answer “{ANSWER} …” although the doctor was content")

    _heading(echo, "6", "From now on the gate asks first: once in earnest, then for as long as nothing changes")
    _gate(incident, echo)
    output = _gate(incident, echo, "--", sys.executable, str(incident.runners[0]))
    if "nothing changed since" not in output or ANSWER not in output:
        raise DemoFailed("the gate did not take the result that it had just found, or did not start the session")


def _gate(incident: Incident, echo: Echo, *command: str) -> str:
    """Ask the gate in front of a session, show what is said, and return it."""
    suffix = f" -- python {incident.runners[0].relative_to(incident.root)}" if command else ""
    echo(f"{INDENT}$ sage-doctor gate {ROLE}{suffix}")
    started = time.monotonic()
    done = _run(
        incident,
        "-m",
        "sage_doctor",
        "gate",
        ROLE,
        *command,
        env={**_environment(), "STATE_DIRECTORY": str(incident.root.parent / "state")},
        output="together",
    )
    for line in done.text.splitlines():
        for part in _wrapped(printable(line)):
            echo(INDENT + part)
    echo(f"{INDENT}(exit code {done.code}, {format_duration(time.monotonic() - started)})")
    if done.code != 0:
        raise DemoFailed(f"the gate ended with exit code {done.code} although the doctor was content")
    return done.text


def _run(
    incident: Incident,
    *words: str,
    env: Mapping[str, str] | None = None,
    output: Output = "captured",
    on_line: Callable[[str], None] | None = None,
) -> ChildResult:
    """Run Python in the incident's directory. Raises `DemoFailed` where it does not end in time."""
    done = run(
        [sys.executable, *words],
        timeout_s=STEP_DEADLINE_S,
        cwd=incident.root,
        env=_environment() if env is None else env,
        output=output,
        keep_end=True,
        on_line=on_line,
    )
    if done is None or done.timed_out:
        raise DemoFailed(f"`python {' '.join(words)}` did not end within {format_duration(STEP_DEADLINE_S)}")
    return done


def _heading(echo: Echo, number: str, text: str) -> None:
    echo("")
    echo(f"{number}. {text}")
    echo("")


def _session(incident: Incident, runner: Path, echo: Echo) -> tuple[int, str]:
    """Run a session and return its exit code with the last line it said, where a traceback has its error."""
    echo(f"{INDENT}$ python {runner.relative_to(incident.root)}")
    done = _run(incident, str(runner))
    said = done.text.strip().splitlines()[-1:] if done.code == 0 else [done.last_error]
    return done.code or 0, printable(said[0]) if said and said[0] else f"(nothing, exit code {done.code})"


def _doctor(incident: Incident, echo: Echo, *words: str) -> Report:
    """Run the doctor in a process of its own, show its screen line by line, and return its report."""
    saved = incident.root / "report.json"
    saved.unlink(missing_ok=True)
    echo(f"{INDENT}$ sage-doctor {' '.join(w for w in words if w in SHOWN)}")
    started = time.monotonic()
    child = _run(
        incident,
        "-m",
        "sage_doctor",
        *words,
        "--output",
        f"json:{saved}",
        on_line=lambda line: echo(INDENT + line if line else ""),
    )
    if not saved.is_file():
        last = child.last_error or "it said nothing"
        raise DemoFailed(f"the doctor ended with exit code {child.code} and no report: {printable(last)}")
    report = Report.from_json(json.loads(saved.read_text(encoding="utf-8")))
    echo(f"{INDENT}(exit code {child.code}, {format_duration(time.monotonic() - started)})")
    if report.exit_code != child.code:
        raise DemoFailed(f"the doctor's report says exit code {report.exit_code}, its process {child.code}")
    return report


def _environment() -> dict[str, str]:
    """Return this environment as a session on thor would have it: that machine's name, and no settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SAGE_")}
    colour = sys.stdout.isatty() and not kept.get("NO_COLOR")
    ours = {"SAGE_MACHINE": "thor", "SAGE_DOCTOR_HISTORY": "0", "HF_HUB_OFFLINE": "1", "COLUMNS": str(_columns())}
    return {**kept, **ours, **({"FORCE_COLOR": "1"} if colour else {})}


def _columns() -> int:
    """Return how wide what the doctor and the sessions say may be, next to the indent."""
    return max(60, min(120, shutil.get_terminal_size((100, 24)).columns) - len(INDENT))


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, _columns(), break_long_words=False, break_on_hyphens=False)


def _expect(report: Report, exit_code: int, *found: tuple[str, str]) -> None:
    """Raise `DemoFailed` unless the doctor ended with this code, and with these findings, by code and subject."""
    if report.exit_code != exit_code:
        worst = f": {report.findings[0].message}" if report.findings else ""
        raise DemoFailed(f"the doctor's verdict is {report.verdict} ({report.exit_code}), not {exit_code}{worst}")
    there = {(f.code, f.subject) for f in report.findings}
    for code, subject in found:
        if (code, subject) not in there:
            raise DemoFailed(f"the doctor does not report {code} on {subject}")
