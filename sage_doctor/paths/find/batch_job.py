"""The paths in a batch job's directives: comments for the shell, and options for SLURM, PBS, LSF and Grid Engine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Need, PathReference

DIRECTIVE = re.compile(r"^#(SBATCH|PBS|BSUB|\$)\s", re.MULTILINE)
_OPTION = re.compile(r"(--?[\w-]+)[=\s]*[\"']?\Z")
_ENTERED = frozenset({"-D", "--chdir", "--workdir", "-d", "-wd", "-cwd"})
# SLURM and Grid Engine make no directory for these: a job whose log cannot be opened fails before its first line.
# PBS and LSF run it, and send the log elsewhere.
_STRICT = frozenset({"SBATCH", "$"})
_WRITTEN = frozenset({"-o", "--output", "-e", "--error", "-oo", "-eo"})
_LONGEST_OPTION = 40


def directive_references(comment: str, line: int, path_map: PathMap) -> Iterator[PathReference] | None:
    """Return the references of a directive, None for an ordinary comment."""
    directive = DIRECTIVE.match(comment)
    return _references(comment, line, path_map, directive[1] in _STRICT) if directive is not None else None


def _references(comment: str, line: int, path_map: PathMap, strict: bool) -> Iterator[PathReference]:
    for match in path_map.pattern.finditer(comment):
        found = _OPTION.search(comment, max(0, match.start() - _LONGEST_OPTION), match.start())
        option = found[1] if found is not None else ""
        path, need = match[0], _need(option, strict)
        if option in _WRITTEN and need == "needed":
            path = path.rpartition("/")[0] or "/"
        yield PathReference(text=path, line=line, column=match.start(), end_line=line, need=need)


def _need(option: str, strict: bool) -> Need:
    if option in _WRITTEN:
        return "needed" if strict else "created"
    return "needed" if option in _ENTERED else "unknown"
