"""`sage-doctor fix`: repair what was found: show each plan, ask, change, and check again; what fails is put back.

Exits with what the report after says. Without a terminal to ask at, nothing is changed unless --yes says so.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.cli.options import add_manifest, add_outputs
from sage_doctor.cli.outputs import outputs_of, write_outputs
from sage_doctor.errors import UsageError
from sage_doctor.render import screen_of
from sage_doctor.render.progress import Progress
from sage_doctor.report import LEVELS, Finding
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.repairs.backup import Backup
    from sage_doctor.repairs.journal import Journal
    from sage_doctor.repairs.repair import Plan
    from sage_doctor.repairs.repair_session import Attempt, RepairReport
    from sage_doctor.subjects.selection import Request

_WIDEST = 100
_ENDED = {
    "planned": "would be done",
    "declined": "not done",
    "refused": "cannot be done",
    "failed": "failed",
    "undone": "put back",
    "repaired": "repaired",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="models or roles of the manifest, or directories")
    add_manifest(parser)
    parser.add_argument(
        "-l", "--level", choices=LEVELS, help="how deep to look in the end (default: generate; static for directories)"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the plans and change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--write-config",
        action="store_true",
        help="name an adapter's base in its adapter_config.json instead of the manifest; the old file is kept",
    )
    parser.add_argument(
        "--base",
        action="append",
        default=[],
        metavar="[ADAPTER=]BASE",
        help="what an adapter was trained on: a model of the manifest or a directory; may be given again",
    )
    parser.add_argument(
        "--rewrite-paths",
        action="store_true",
        help="write other machines' paths in scripts so that they hold on every machine; the change is shown first",
    )
    parser.add_argument(
        "--allow-dirty", action="store_true", help="rewrite paths even where the work tree has uncommitted changes"
    )
    add_outputs(parser)


def run(options: argparse.Namespace) -> int:
    """Repair, show what came of it, and return the exit code of the report after."""
    outputs = outputs_of(options)
    from sage_doctor.repairs.repair_session import NAME_BASE, RepairCallbacks, RepairOptions, journal_of, run_repairs  # noqa: PLC0415 - --help needs no pytest
    from sage_doctor.subjects.selection import Request  # noqa: PLC0415

    request = Request(targets=tuple(options.targets), manifest=options.manifest, level=options.level, cwd=os.getcwd())
    journal = journal_of(os.environ)
    old_states = [] if options.dry_run else _tell_unfinished(journal)
    with open(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace") as copy, Progress(copy) as progress:

        def consent(plan: Plan) -> bool:
            progress.close()
            _say(*plan.lines(_width(), os.getcwd()))
            return options.yes or _agreed(plan)

        def told(attempt: Attempt) -> None:
            progress.close()
            _tell_attempt(attempt)

        def choose(adapter: str, choices: Sequence[Path]) -> Path | None:
            progress.close()
            return None if options.yes else _chosen(adapter, choices)

        audience = RepairCallbacks(consent=consent, choose=choose, told=told, on_progress=progress.update)
        wishes = RepairOptions(
            dry_run=options.dry_run,
            write_config=options.write_config,
            rewrite_paths=options.rewrite_paths,
            allow_dirty=options.allow_dirty,
            bases=_bases(options.base),
        )
        mending = run_repairs(request, audience, wishes=wishes, journal=journal)
    if options.base and not any(a.repair == NAME_BASE for a in mending.attempts):
        sys.stderr.write("--base was not needed: no adapter here asks for its base\n")
    if options.rewrite_paths:
        _tell_suggestions(request, mending)
    _summary(mending)
    _let_go(old_states, mending, journal)
    write_outputs(mending.after, outputs)
    return mending.after.exit_code


def _tell_suggestions(request: Request, mending: RepairReport) -> None:
    """Show what is only suggested for scripts where no plan has shown it: there was nothing else to do with them."""
    if any(a.plan is not None and a.plan.suggests for a in mending.attempts):
        return
    from sage_doctor.paths.rewrite.patch import how_to_take, suggestions_of  # noqa: PLC0415
    from sage_doctor.repairs.repair import suggested_lines  # noqa: PLC0415
    from sage_doctor.subjects.selection import select  # noqa: PLC0415

    for found in suggestions_of(select(request).host):
        if found.patch:
            _say(f"rewrite-paths: {join_limited([os.path.relpath(p, found.top) for p in found.files], most=5)}")
            _say(*suggested_lines(found.lines, how_to_take(found), _width(), after=False), "")


def _bases(said: Sequence[str]) -> dict[str, str]:
    """Return what `--base` was given, by adapter. A directory may have a `=` in its name."""
    found: dict[str, str] = {}
    for text in said:
        adapter, mark, base = text.partition("=")
        name, value = (adapter, base) if mark and not os.path.isdir(text) else ("", text)
        if not value or name in found:
            what = f"two bases for {printable(name) or 'the adapter'}" if value else "no base"
            raise UsageError(f"--base {printable(text)}: {what}")
        found[name] = value
    return found


def _chosen(adapter: str, choices: Sequence[Path]) -> Path | None:
    """Ask which of several directories is an adapter's base. Without a terminal nobody answers."""
    if not sys.stdin.isatty():
        return None
    _say(f"Which base was {printable(adapter, limit=200)} trained on? Its shapes cannot tell.")
    _say(*(f"  {number}  {printable(str(path), limit=1000)}" for number, path in enumerate(choices, 1)))
    sys.stderr.write(f"Which one? [1-{len(choices)}, nothing to leave it] ")
    sys.stderr.flush()
    said = sys.stdin.readline().strip()
    return choices[int(said) - 1] if said.isascii() and said.isdigit() and 0 < int(said) <= len(choices) else None


def _say(*lines: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def _width() -> int:
    return max(40, min(screen_of(sys.stdout).width, _WIDEST))


def _wrapped(text: str, indent: str, after: str) -> list[str]:
    return textwrap.wrap(
        text, _width(), initial_indent=indent, subsequent_indent=after, break_long_words=False, break_on_hyphens=False
    )


def _tell_unfinished(journal: Journal) -> list[Backup]:
    """Tell what an earlier run was killed in the midst of: once, or as long as an old state is kept. Return those."""
    from sage_doctor.repairs.backup import old_state  # noqa: PLC0415 - --help needs none of it

    kept = []
    for entry in journal.unfinished():
        old = old_state(entry)
        named = entry.get("kept")
        where = f" What was there before lies in {shell_quote(named)}." if named and os.path.isdir(str(named)) else ""
        what = f"{printable(str(entry.get('repair')), limit=60)} of {printable(str(entry.get('subject')), limit=200)}"
        sys.stderr.write(
            f"an earlier fix was stopped in the midst of {what}, begun {printable(str(entry.get('at')), limit=40)}: "
            f"it is as it was or as it should be, and is looked at anew.{where}\n"
        )
        if old is None:
            journal.append("noted", entry["key"])
        else:
            kept.append(old)
    return kept


def _let_go(old_states: list[Backup], mending: RepairReport, journal: Journal) -> None:
    """Delete the old states that killed runs have kept where the new ones are proven, and say what became of them."""
    from sage_doctor.system.state_directory import cache_directory  # noqa: PLC0415 - hardly ever needed

    cache = cache_directory(os.environ, Path(os.path.expanduser("~"))) / "hashes.json"
    for old in old_states:
        why = old.discard(mending.after.findings, cache)
        if why is None:
            journal.append("noted", old.key)
        gone = f"deleted {printable(str(old.path))}: what an earlier fix kept is not needed any more"
        sys.stderr.write(f"{gone if why is None else old.stays(why)}\n")


def _agreed(plan: Plan) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"Do this ({plan.repair})? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _tell_attempt(attempt: Attempt) -> None:
    if attempt.ending == "planned" and attempt.plan is not None:
        _say(*attempt.plan.lines(_width(), os.getcwd()), "")
        return
    if attempt.plan is None:
        _say(f"{attempt.repair}: {printable(attempt.finding.subject, limit=200)}")
    text = f"{_ENDED[attempt.ending]}: " + (
        (attempt.reason or f"{attempt.finding.code} is gone, the check that found it says so")
        if attempt.ending == "repaired"
        else attempt.reason
        or ("there is no terminal to ask at; --yes consents" if not sys.stdin.isatty() else "as you said")
    )
    for line in text.splitlines():
        _say(*_wrapped(printable(line, limit=1000), "  ", "    "))
    _say("")


def _summary(mending: RepairReport) -> None:
    before, after = mending.before, mending.after
    if not mending.attempts:
        _say("Nothing found that a repair could mend." if mending.remaining else "Nothing to repair.", "")
    if mending.dry_run:
        _say(f"Nothing was changed. {_counted(mending.remaining)} found (level {after.level}).")
        return
    _say(f"before   {before.verdict}: {_counted([f for f in before.findings if f.severity != 'info'])}")
    for finding in mending.gone:
        _say(*_wrapped(f"{finding.code} ({printable(finding.subject, limit=200)})", "  gone      ", " " * 12))
    for finding in mending.remaining:
        _say(*_wrapped(f"{finding.code} ({printable(finding.subject, limit=200)})", "  remaining ", " " * 12))
    _say(f"after    {after.verdict}: {_counted(mending.remaining)}, level {after.level}, exit code {after.exit_code}")
    if mending.remaining:
        _say("next     sage-doctor check")


def _counted(findings: list[Finding] | tuple[Finding, ...]) -> str:
    errors = sum(f.severity == "error" for f in findings)
    warnings = len(findings) - errors
    parts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return " and ".join(parts) or "nothing"
