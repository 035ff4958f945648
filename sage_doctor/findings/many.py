"""Findings of one kind about many files, told as one: its evidence holds all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from sage_doctor.report import Finding
from sage_doctor.system.frozen import frozen
from sage_doctor.text import join_limited, printable

_MOST_ALONE = 5  # so many files are told one by one


def told_as_one(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield findings about files, those of more than five files of one code and severity as one."""
    groups: dict[tuple[str, str, str | None], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.code, each.severity, each.fix.repair), []).append(each)
    for group in groups.values():
        if len(group) <= _MOST_ALONE:
            yield from group
        else:
            yield _one(group)


def _one(group: list[Finding]) -> Finding:
    first = group[0]
    named = join_limited([printable(f.subject, limit=200) for f in group], most=3)
    count = sum(_count(f.evidence) for f in group)
    paths = f", {count} paths" if count > len(group) else ""
    return dataclasses.replace(
        first,
        subject=f"{len(group)} files",
        message=f"{named}{paths}. The first: {first.message}",
        evidence={
            "count": count,
            "file": first.evidence["file"],
            "files": [{**f.evidence, "path": f.subject, "message": f.message} for f in group],
        },
        fix=dataclasses.replace(first.fix, commands=tuple(c for c in first.fix.commands if first.subject not in c)),
    )


@frozen
class InFile:
    """What a finding says of one file: the file as a subject, its path, how often, and the sentence."""

    subject: str
    file: str
    count: int
    message: str


def each_file(finding: Finding) -> Iterator[InFile]:
    """Yield what a finding is about: each file where it is about many."""
    files = _files(finding)
    alone = {"file": finding.subject, **finding.evidence, "path": finding.subject, "message": finding.message}
    for data in [alone] if files is None else files:
        yield InFile(
            subject=str(data["path"]),
            file=str(data["file"]),
            count=_count(data),
            message=str(data.get("message", finding.message)),
        )


def about(finding: Finding, files: Collection[Path]) -> Finding:
    """Return a finding about many files as one about these alone, if there are any."""
    known = _files(finding)
    if not files or known is None:
        return finding
    kept = [data for data in known if Path(str(data["file"])) in files]
    return dataclasses.replace(finding, evidence={**finding.evidence, "files": kept})


def _files(finding: Finding) -> list[dict[str, Any]] | None:
    """Return the findings that were told as one; None for any other, whose `files` may be names or a number."""
    files = finding.evidence.get("files")
    told = isinstance(files, list) and all(isinstance(f, dict) and {"path", "file"} <= f.keys() for f in files)
    return files if told else None


def _count(evidence: Any) -> int:
    count = evidence.get("count", 0)
    return count if isinstance(count, int) else 0
