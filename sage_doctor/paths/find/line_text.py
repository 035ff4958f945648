"""The machine paths of configuration and other text, line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Context, PathReference

CONFIGURATION = frozenset({".json", ".toml", ".yaml", ".yml", ".ini", ".cfg", ".conf", ".env"})
_DOCUMENTS = frozenset({".md", ".rst", ".adoc", ".html"})
# What programs leave behind: nobody starts anything with the paths in it.
_DATA = frozenset(
    {".log", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".out", ".err", ".ipynb", ".lock", ".patch", ".diff"}
)
_DATA_PLACES = frozenset(
    [
        "archive",
        "archives",
        "attic",
        "backup",
        "backups",
        "cache",
        "caches",
        "checkpoints",
        "data",
        "history",
        "logs",
        "log",
        "output",
        "outputs",
        "results",
        "runs",
        "sessions",
        "session",
        "state",
        "states",
        "transcripts",
        "transcript",
        "snapshots",
        "conversations",
        "memory",
        "moments",
    ]
)
_ARCHIVES = frozenset({"archive", "archives", "attic", "backup", "backups", "old", "deprecated"})


def text_context(path: Path, directory: Path) -> Context:
    """Return what paths in a file of text are there for, by its name and the directories below `directory`."""
    suffix = path.suffix.lower()
    if suffix in _DOCUMENTS:
        return "documentation"
    try:
        places = path.relative_to(directory).parts[:-1]
    except ValueError:
        places = path.parts[-3:-1]
    named = _DATA_PLACES & {p.lower() for p in places}
    stem = {w for w in re.split(r"[^a-z]+", path.stem.lower()) if w}
    return "data" if suffix in _DATA or (suffix == ".json" and (named or stem & _DATA_PLACES)) else "use"


def is_archived(path: Path, directory: Path) -> bool:
    """Whether a file is kept for the record: below a directory called archive, attic, backup, old or deprecated."""
    try:
        places = path.relative_to(directory).parts[:-1]
    except ValueError:
        return False
    return bool(_ARCHIVES & {p.lower() for p in places})


def text_occurrences(text: str, landscape: PathMap, context: Context) -> Iterator[PathReference]:
    """Yield the paths of a text. A comment, and a sentence that mentions a path, are documentation."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in landscape.pattern.finditer(line):
            before = line[: match.start()]
            said: Context = context
            if context == "use" and (_in_comment(before) or _in_sentence(line, match)):
                said = "documentation"
            path = _spaced(line, match.start(), landscape) or start_of(match[0])
            yield PathReference(text=path, line=number, column=match.start(), context=said)


def start_of(text: str) -> str:
    """Return the part of a path before a variable."""
    head, mark, _ = text.partition("$")
    return (head.rpartition("/")[0] or head) if mark else text


def _spaced(line: str, start: int, landscape: PathMap) -> str:
    """Return the path with blanks that a whole value is, quoted or not; an empty text where it is none."""
    before, rest = line[:start], line[start:]
    if before.endswith(("'", '"')):
        value = rest.partition(before[-1])[0]
    elif re.search(r"(^\s*-|[:=])\s*$", before):
        value = re.split(r"\s#|\s;", rest)[0].rstrip()
    else:
        return ""
    return value if landscape.is_spaced(value) else ""


def _in_comment(before: str) -> bool:
    outside = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", "", before)
    return re.search(r"(^|\s)(#|//|;)", outside) is not None


def _in_sentence(line: str, match: re.Match[str]) -> bool:
    """Whether a path stands among words of a quoted text."""
    opened = re.search(r"[\"']([^\"']*)$", line[: match.start()])
    if opened is None:
        return False
    return re.search(r"\S\s+\S*$", opened[1]) is not None and not re.search(r"(^|\s)(-|cd |exec )", opened[1])


def docker_occurrences(text: str, landscape: PathMap) -> Iterator[PathReference]:
    """Yield the paths of a Dockerfile that lie under roots the manifest names; any other is the container's own."""
    known = tuple(r for r in (*landscape.others, *map(str, landscape.ours)) if r)
    for found in text_occurrences(text, landscape, "use"):
        if found.text.startswith(known):
            yield found
