"""The scripts that this machine's roles start: there, ready to start, and free of other machines' paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sage_doctor.check import Finding, Fix, Notes, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.subjects.host import Host
from sage_doctor.system.globbing import glob_files
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.paths.scan import ScannedFile

ORDER = 20  # of the check files: causes before consequences


@check("static")
def check_runners(host: Host) -> Iterator[Finding]:
    """The runners of this machine's roles are there, and name no path of another machine."""
    manifest = host.manifest
    patterns = [(r, p) for r in (manifest.needed_roles() if manifest else ()) for p in _patterns(host, r)]
    if manifest is None or not patterns:
        raise NotApplicable("no role of this machine names runners")
    for role, pattern in dict.fromkeys(patterns):
        if not glob_files(pattern, manifest.directory):
            yield finding(
                "runner-missing",
                f"no file matches {printable(pattern)}, the runners of role {printable(role)}",
                subject=pattern,
                evidence={"pattern": pattern, "role": role, "directory": str(manifest.directory)},
                fix=Fix(
                    summary="Update the checkout, or correct runners in the manifest.",
                    commands=(f"git -C {shell_quote(manifest.directory)} status --short",),
                ),
            )
    from sage_doctor.findings.reach import lost_paths
    from sage_doctor.findings.scripts import form_findings, unverified
    from sage_doctor.paths.scan import scan

    found = scan(host, lint=False)
    for seen in found.files:
        yield from form_findings(seen, host.environ, found.started)
        yield from unverified(seen)
        yield from _paths(seen, host)
        yield from lost_paths(seen, host)


@check("integrity")
def check_lint(host: Host, notes: Notes) -> Iterator[Finding]:
    """The files that the manifest wants read name no path of another machine, and units nothing that is not there."""
    if host.manifest is None or not (host.manifest.lint.paths or any(_patterns(host, r) for r in host.manifest.roles)):
        raise NotApplicable("the manifest names neither runners nor files to read ([lint] paths)")
    from sage_doctor.findings.many import told_as_one
    from sage_doctor.findings.scripts import form_findings
    from sage_doctor.findings.units import disagreement, unit_findings, vanished
    from sage_doctor.paths.scan import scan

    found = scan(host, lint=True)
    others = [seen for seen in found.files if not seen.roles]
    yield from told_as_one(f for seen in others for f in form_findings(seen, host.environ, found.started))
    yield from told_as_one(f for seen in others for f in _paths(seen, host))
    for seen in found.files:
        yield from unit_findings(seen, found)
    yield from told_as_one(vanished(found))
    yield from disagreement(found)
    notes.measure("files_read", len(found.files), "files")
    for name, count in sorted(found.counts.items()):
        notes.measure(f"paths_{name}", count, "paths")


def _patterns(host: Host, role: str) -> tuple[str, ...]:
    return host.manifest.roles[role].runners if host.manifest is not None else ()


def _paths(seen: ScannedFile, host: Host) -> Iterator[Finding]:
    """Yield what is wrong with a file's paths. The sessions' Python is asked only where something is."""
    from sage_doctor.findings.scripts import path_findings
    from sage_doctor.paths.rewrite import rewrite_context
    from sage_doctor.paths.scan import runs_elsewhere

    elsewhere = bool(seen.local_paths) and runs_elsewhere(host, seen.roles)
    if seen.broken_paths or elsewhere:
        yield from path_findings(seen, rewrite_context(host), shared=elsewhere)
