"""The page `docs/findings.md`, written from the catalogue so that the two cannot drift apart.

To write it anew: `python -m sage_doctor.findings.page > docs/findings.md`
"""

from __future__ import annotations

import sys

from sage_doctor.findings.catalogue import families
from sage_doctor.findings.declaration import Declaration

_HEAD = """\
# Findings

Every code the doctor reports, what it means and what to do. `sage-doctor explain CODE` prints the same text.

The codes are a contract: they are added to, never renamed, so scripts may match on them. The severity is the
default; a check may judge otherwise where it knows more. An **error** makes the run unhealthy (exit code 1), a
**warning** only with `--fail-on warning`, an **info** never does.

To leave one out: `ignore` in the manifest, or `sage-doctor check --ignore CODE` ([checks.md](checks.md)).

This page is written from `sage_doctor/findings/`; change it there.
"""


def markdown() -> str:
    """Return the whole page, ending with a newline."""
    parts = [_HEAD]
    for family, known in families():
        parts.append(f"\n## {family}\n")
        parts.extend(_section(d) for d in known)
    return "".join(parts)


def _section(known: Declaration) -> str:
    return f"\n### {known.code}\n\n**{known.title}** ({known.severity})\n\n{known.cause}\n\n{known.remediation}\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
