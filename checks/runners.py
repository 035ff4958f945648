"""The scripts that this machine's roles start: there, and free of another machine's paths."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sage_doctor.advice import where_it_may_be
from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.runners import PathLiteral, Runner, find_runners, read_runner
from sage_doctor.host import Host
from sage_doctor.readers.location import foreign_home, same_tail
from sage_doctor.readers.regular import look
from sage_doctor.report import NOTHING_TO_DO
from sage_doctor.text import printable, quoted


@check("static")
def check_runners(host: Host) -> Iterator[Finding]:
    """The runners of this machine's roles are there, and name no path of another machine."""
    manifest = host.manifest
    patterns = [(r, p) for r in (manifest.needed_roles() if manifest else ()) for p in _patterns(host, r)]
    if manifest is None or not patterns:
        raise NotApplicable("no role of this machine names runners")
    for role, pattern in dict.fromkeys(patterns):
        paths = find_runners(pattern, manifest.directory)
        if not paths:
            yield finding(
                "runner-missing",
                f"no file matches {printable(pattern)}, the runners of role {printable(role)}",
                subject=pattern,
                evidence={"pattern": pattern, "role": role, "directory": str(manifest.directory)},
                fix=Fix(
                    summary="Update the checkout, or correct runners in the manifest.",
                    commands=(f"git -C {quoted(manifest.directory)} status --short",),
                ),
            )
        for path in paths:
            yield from _judged(host, read_runner(path))


def _patterns(host: Host, role: str) -> tuple[str, ...]:
    return host.manifest.roles[role].runners if host.manifest is not None else ()


def _judged(host: Host, runner: Runner) -> Iterator[Finding]:
    manifest = host.manifest
    subject = os.path.relpath(runner.path, manifest.directory) if manifest is not None else str(runner.path)
    if runner.crlf:
        yield finding(
            "script-crlf",
            "its first line ends in CR LF, so the system looks for an interpreter with an invisible "
            "character in its name",
            subject=subject,
            evidence={"file": str(runner.path)},
            fix=Fix(
                summary="Convert its line ends, and add `* text=auto eol=lf` to .gitattributes so that they stay.",
                commands=(f"sed -i.crlf 's/\\r$//' {quoted(runner.path)}",),
            ),
        )
    elif not runner.parsed:
        yield finding(
            "runner-unverified",
            "the paths in it were not examined: only Python scripts are",
            subject=subject,
            fix=Fix(summary=f"{NOTHING_TO_DO}."),
        )
    foreign = [(item, home) for item in runner.literals if (home := _foreign(host, item)) is not None]
    if foreign:
        yield _hardcoded(host, runner, subject, foreign)


def _foreign(host: Host, literal: PathLiteral) -> str | None:
    """Return whose home a path names, where it is not ours and the path is not here."""
    path = host.cwd / literal.text
    home = foreign_home(path, host.home, host.other_homes)
    return home if home is not None and look(path).kind == "missing" else None


def _hardcoded(host: Host, runner: Runner, subject: str, foreign: list[tuple[PathLiteral, str]]) -> Finding:
    literal, home = foreign[0]
    more = f" ({len(foreign)} such lines)" if len(foreign) > 1 else ""
    near = [str(p) for p in same_tail(host.cwd / literal.text, [host.home, *host.roots])]
    candidates = [{"path": p, "why": "the same trailing path"} for p in near]
    return finding(
        "runner-hardcoded-path",
        f"line {literal.line} names {printable(literal.text, limit=300)}, in {printable(home)}: the home of another "
        f"machine or user, and not here{more}",
        subject=subject,
        severity="warning",
        evidence={
            "file": str(runner.path),
            "lines": [item.line for item, _ in foreign[:50]],
            "path": literal.text,
            "candidates": candidates,
        },
        fix=Fix(
            summary="Let the script ask for the path: `sage-doctor where MODEL` prints the one of this machine."
            + (where_it_may_be(candidates) if candidates else ""),
        ),
    )
