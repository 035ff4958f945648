"""How often the doctor is right about the field corpus, by family; and others on the same directories.

    python -m tests.corpus.scorecard [--rival NAME=COMMAND]... [--session PYTHON]

A broken directory is `right` where the first finding is one that the case names, `wrong cause` where there is another
error, `missed` where there is none. A healthy one is `right` without error and warning, else a `false alarm`. A bare
load is what transformers and PEFT do with the directory: `missed` is a load that says nothing. A rival is a command,
to which the directory is added (`mlx=mlx-model-doctor check local`); of it only the exit code counts.

With `--session`, the models are saved and loaded by that Python's transformers, and the doctor is told that sessions
run there. Of a case that says what transformers 4.57 does (`shows_4`), the load itself decides what is right. That
the table speaks the truth is then held too: a case is `not as told` where the load does other than it says.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .builders.case import Case
from .builders.table import CASES
from .examination import Corpus

VERDICTS = ("right", "wrong cause", "missed", "false alarm")
SILENT = "loads"
NO_MODEL = "no model"


def verdict(case: Case, corpus: Corpus, *, old: bool = False) -> str:
    """Return how the doctor's own run on a case is judged; `old` says that the session has transformers 4."""
    run = corpus.run(case.name)
    if old and case.shows_4:
        fine = run.exit_code == 0
        if case.shows_4 == SILENT:
            return "right" if fine else "false alarm"
        return "missed" if fine else "right"
    found = [f for f in run.findings(case.subject, below=case.outcome == "healthy") if f["severity"] != "info"]
    if case.outcome == "healthy":
        return "right" if not {f["code"] for f in found} - case.also and run.exit_code == 0 else "false alarm"
    if not found:
        return "missed"
    right = found[0]["code"] in case.codes and run.exit_code == case.exits
    return "right" if right else "wrong cause"


def as_told(case: Case, happened: str, *, old: bool) -> bool:
    """Return whether a load went as the table says: that it does or does not, not with which words."""
    said = (old and case.shows_4) or case.shows
    return said.startswith(NO_MODEL) or happened.startswith(SILENT) == (not said or said.startswith(SILENT))


def judged(case: Case, *, alarm: bool) -> str:
    """Return how an answer without a cause is judged: an alarm about a broken directory counts as right."""
    if case.outcome == "healthy":
        return "false alarm" if alarm else "right"
    return "right" if alarm else "missed"


def alarms(command: str, cases: Iterable[Case], corpus: Corpus) -> dict[str, bool]:
    """Return for each case whether a rival's exit code says that something is wrong."""

    def ask(case: Case) -> tuple[str, bool]:
        words = [*shlex.split(command), str(corpus.bench(case).here / case.target)]
        environ = corpus.environment()
        environ.pop("PYTHONPATH")
        try:
            done = subprocess.run(words, env=environ, capture_output=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            return case.name, True
        return case.name, done.returncode != 0

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(ask, cases))


def table(title: str, cases: Iterable[Case], judge: Mapping[str, str]) -> list[str]:
    """Return the lines of one program's table."""
    families: dict[str, Counter[str]] = {}
    for case in cases:
        families.setdefault(case.name.partition("/")[0].removeprefix("field-"), Counter())[judge[case.name]] += 1
    total = sum(families.values(), Counter[str]())
    head = f"{title:24}" + "".join(f"{name:>13}" for name in VERDICTS)
    rows = [f"  {name:22}" + "".join(f"{counts[v]:>13}" for v in VERDICTS) for name, counts in families.items()]
    return [head, *rows, f"  {'all':22}" + "".join(f"{total[v]:>13}" for v in VERDICTS), ""]


def main() -> int:
    """Build, examine, print; exit with 1 where the doctor itself is wrong about a directory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rival", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--session", default=sys.executable, metavar="PYTHON", help="whose transformers is the measure")
    given = parser.parse_args()
    cases = [case for case in CASES if case.source]
    with tempfile.TemporaryDirectory(prefix="scorecard-", ignore_cleanup_errors=True) as place:
        corpus = Corpus(Path(place).resolve(), session=given.session)
        old = corpus.major() < 5
        # What a manifest of its own says of the session stays as it is.
        cases = [case for case in cases if not (old and case.manifest)]
        corpus.build(cases)
        corpus.examine(cases, trees=False)
        ours = {case.name: verdict(case, corpus, old=old) for case in cases}
        sick = sum(case.outcome != "healthy" for case in cases)
        lines = [f"{len(cases)} directories after public reports, {sick} broken, {len(cases) - sick} healthy", ""]
        lines += table("sage-doctor", cases, ours)
        static = [case for case in cases if not case.manifest]
        told = corpus.try_for_real(static)
        bare = {c.name: judged(c, alarm=not told[c.name].startswith(SILENT)) for c in static}
        lines += table("a bare load", static, bare)
        for text in given.rival:
            name, _, command = text.partition("=")
            said = alarms(command, static, corpus)
            lines += table(name, static, {c.name: judged(c, alarm=said[c.name]) for c in static})
    wrong = [f"not right: {name}: {how}" for name, how in sorted(ours.items()) if how != "right"]
    wrong += [
        f"not as told: {case.name}: {told[case.name]}" for case in static if not as_told(case, told[case.name], old=old)
    ]
    print("\n".join([*lines, *wrong]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
