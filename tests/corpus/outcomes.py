"""What the doctor of a checkout says about the whole corpus, in one file; and how two such files differ.

    python -m tests.corpus.outcomes record before.json --checkout ../old
    python -m tests.corpus.outcomes record after.json
    python -m tests.corpus.outcomes compare before.json after.json

A change that only moves code is proved by it: no exit code, subject, severity or code of a finding may differ. The
tests cannot show that, for they leave open what the contract leaves open. Both doctors examine what this checkout
builds, so a difference is always the doctor's.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .builders.table import CASES
from .examination import CHECKOUT, STOCK, TARGETS, TREE, VARIANTS, Corpus, Run

Outcome = dict[str, Any]  # {"exit_code": …, "findings": [[subject, severity, code], …]}


def outcome(run: Run, root: Path) -> Outcome:
    """Return what is kept of a run: nothing that another place, hour or wording would change.

    The findings keep the order of the report, and are None where it wrote none. The exit code is None where it hung.
    """
    if run.report is None:
        return {"exit_code": run.exit_code, "findings": None}
    found = [(f["subject"].replace(str(root), "ROOT"), f["severity"], f["code"]) for f in run.report["findings"]]
    return {"exit_code": run.exit_code, "findings": found}


def outcomes(corpus: Corpus) -> dict[str, Outcome]:
    """Build the corpus and return what the doctor says: about each case alone, about many, and about odd targets."""
    corpus.build(CASES)
    corpus.examine(CASES)
    told = {name: corpus.run(name) for name in (TREE, STOCK, VARIANTS, *(case.name for case in CASES))}
    folder = corpus.root / "targets"
    folder.mkdir()
    (folder / "notes.txt").write_text("none", encoding="utf-8")
    for number, (words, _) in enumerate(TARGETS):
        file = corpus.root / f"target-{number}.json"
        output = ["-o", f"json:{file}"] if words[:1] == ["check"] else []
        done = corpus.ask(folder, *words, *output)
        report = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        run = Run(exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr, report=report)
        told[" ".join(["sage-doctor", *words])] = run
    return {name: outcome(run, corpus.root) for name, run in told.items()}


def record(file: Path, checkout: Path, python: str) -> int:
    """Write the outcomes of a checkout's doctor into a file, sorted by name."""
    # Some cases hold what cannot be removed, such as directories without permissions: they may be left behind.
    with tempfile.TemporaryDirectory(prefix="outcomes-", ignore_cleanup_errors=True) as place:
        told = outcomes(Corpus(Path(place).resolve(), checkout=checkout, python=python))
    file.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    reports = sum(each["findings"] is not None for each in told.values())  # few: that doctor does not even start
    print(f"{file}: {len(told)} outcomes of {checkout}, {reports} of them with a report")
    return 0


def lines(told: Outcome | None) -> list[str]:
    """Return an outcome for people, a line for each thing that may differ."""
    if told is None:
        return ["not examined"]
    found = told["findings"]
    # Subjects may hold any bytes a disk allows: only ASCII goes to the terminal.
    said = [f"{severity} {code} of {name!a}" for name, severity, code in found or ()]
    return [f"exit code {told['exit_code']}", *(said or ["no report" if found is None else "no finding"])]


def differences(before: dict[str, Outcome], after: dict[str, Outcome]) -> Iterator[str]:
    """Yield each line that differs, below the name of its case, and last how many cases do."""
    names, differing = sorted({*before, *after}), 0
    for name in names:
        was, now = lines(before.get(name)), lines(after.get(name))
        changed = [
            line for line in difflib.unified_diff(was, now, n=0, lineterm="") if line[:2] not in {"--", "++", "@@"}
        ]
        if changed:
            differing += 1
            yield name
        for line in changed:
            yield f"  {'was' if line[0] == '-' else 'is '} {line[1:]}"
    if differing:
        yield f"{differing} of {len(names)} outcomes differ"


def compare(before: Path, after: Path) -> int:
    """Print every difference between two files. Returns 1 where there is one."""
    was, now = (json.loads(file.read_text(encoding="utf-8")) for file in (before, after))
    found = list(differences(was, now))
    print("\n".join(found) or f"{len(now)} outcomes, no difference")
    return 1 if found else 0


def main(words: list[str]) -> int:
    """Record or compare. Returns 1 where outcomes differ; wrong usage ends with 2."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.outcomes", description="Prove that nothing changed.")
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="let a doctor examine the whole corpus; this takes minutes")
    recording.add_argument("file", type=Path)
    recording.add_argument("--checkout", type=Path, help="the doctor is this one's, run by its .venv (default: here)")
    comparing = commands.add_parser("compare", help="print what differs between two recordings")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    given = parser.parse_args(words)
    if given.command == "compare":
        return compare(given.before, given.after)
    if given.checkout is None:
        return record(given.file, CHECKOUT, sys.executable)
    checkout = given.checkout.resolve()
    python = checkout / ".venv" / "bin" / "python"  # not resolved: a link out of its .venv would forget its packages
    if not (checkout / "sage_doctor").is_dir() or not python.exists():
        parser.error(f"{checkout} holds no sage_doctor with a .venv; next: run `make lint` there")
    return record(given.file, checkout, str(python))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
