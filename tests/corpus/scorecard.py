"""How often the doctor is right about the field corpus, by family; and others on the same directories.

    python -m tests.corpus.scorecard [--rival NAME=COMMAND]...

A broken directory is `right` where the first finding is one that the case names, `wrong cause` where there is another
error, `missed` where there is none. A healthy one is `right` without error and warning, else a `false alarm`. A bare
load is what transformers and PEFT do with the directory: `missed` is a load that says nothing. A rival is a command,
to which the directory is added (`mlx=mlx-model-doctor check local`); of it only the exit code counts.
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


def verdict(case: Case, corpus: Corpus) -> str:
    """Return how the doctor's own run on a case is judged."""
    run = corpus.run(case.name)
    found = [f for f in run.findings(case.subject, below=case.outcome == "healthy") if f["severity"] != "info"]
    if case.outcome == "healthy":
        return "right" if not {f["code"] for f in found} - case.also and run.exit_code == 0 else "false alarm"
    if not found:
        return "missed"
    right = found[0]["code"] in case.codes and run.exit_code == case.exits
    return "right" if right else "wrong cause"


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
    given = parser.parse_args()
    cases = [case for case in CASES if case.source]
    with tempfile.TemporaryDirectory(prefix="scorecard-", ignore_cleanup_errors=True) as place:
        corpus = Corpus(Path(place).resolve())
        corpus.build(cases)
        corpus.examine(cases, trees=False)
        ours = {case.name: verdict(case, corpus) for case in cases}
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
    wrong = sorted(name for name, how in ours.items() if how != "right")
    print("\n".join([*lines, *(f"not right: {name}: {ours[name]}" for name in wrong)]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
