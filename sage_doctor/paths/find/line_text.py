"""The references of configuration and other text, line by line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Need, PathReference, UsageKind
from sage_doctor.paths.find.words import need_of_name

CONFIGURATION = frozenset({".json", ".toml", ".yaml", ".yml", ".ini", ".cfg", ".conf", ".env"})
_DOCUMENTS = frozenset({".md", ".rst", ".adoc", ".html"})
# Files that programs write: nothing is started with the paths in them.
_DATA = frozenset({".log", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".out", ".err", ".lock", ".patch", ".diff"})
_DATA_DIRECTORIES = frozenset(
    {
        "archive", "archives", "attic", "backup", "backups", "cache", "caches", "checkpoints", "data", "history",
        "logs", "log", "output", "outputs", "results", "runs", "sessions", "session", "state", "states",
        "transcripts", "transcript", "snapshots", "conversations", "memory", "moments",
    }
)  # fmt: skip
_WINDOW = 4096  # how far around a path a line is looked at: lines of megabytes hold thousands of paths
_LONGEST_KEY = 64
_HOMELY = re.compile(
    r"\s*(?:export\s+)?[\"']?[\w.-]+[\"']?\s*[:=]\s*[\"']?(?P<path>(?:~|\$HOME|\$\{HOME\})(?P<rest>/[\w./+@-]+))[\"']?,?\s*$"
)
_MADE_IN_IMAGE = re.compile(
    r"^(?:WORKDIR|VOLUME|(?:COPY|ADD)[^\n]{1,500})[ \t]+(/[\w./@+-]+)[ \t]*$|\bmkdir (?:-\w+ )*(/[\w./@+-]+)",
    re.MULTILINE,
)
_QUOTED_OR_COMMENT = re.compile(r"\\.|\"(?:[^\"\\]|\\.)*\"|'[^']*'|(?<![^\s'\"])(?P<mark>#|//|;)")
_REMARK = re.compile(r"\s[#;]")
# What a compose file takes from the host: the first half of a volume, and the values of these keys.
_FROM_HOST = re.compile(r"^\s*-?\s*(?:(?:source|context|env_file|file|path|device)\s*:\s*)?[\"']?\Z")
_ARCHIVE_DIRECTORIES = frozenset({"archive", "archives", "attic", "backup", "backups", "old", "deprecated"})


def text_usage(path: Path, directory: Path) -> UsageKind:
    """Return what paths in a text file are used for, by its name and its directories below `directory`."""
    suffix = path.suffix.lower()
    if suffix in _DOCUMENTS:
        return "documentation"
    directories = path.relative_to(directory).parts[:-1] if path.is_relative_to(directory) else path.parts[-3:-1]
    named = _DATA_DIRECTORIES & {p.lower() for p in directories}
    stem = {w for w in re.split(r"[^a-z]+", path.stem.lower()) if w}
    return "data" if suffix in _DATA or (suffix == ".json" and (named or stem & _DATA_DIRECTORIES)) else "use"


def is_archived(path: Path, directory: Path) -> bool:
    """Whether a file is kept for the record: below a directory called archive, attic, backup, old or deprecated."""
    directories = path.relative_to(directory).parts[:-1] if path.is_relative_to(directory) else ()
    return bool(_ARCHIVE_DIRECTORIES & {p.lower() for p in directories})


def text_references(text: str, path_map: PathMap, usage: UsageKind) -> Iterator[PathReference]:
    """Yield the paths of a text. A comment, and a sentence that mentions a path, are documentation."""
    for number, line in enumerate(text.splitlines(), 1):
        comment = comment_start(line) if usage == "use" else 0
        for match in path_map.wide_pattern.finditer(line):
            found: UsageKind = usage
            if usage == "use" and (comment < match.start() or _in_sentence(line, match.start())):
                found = "documentation"
            path = _spaced(line, match.start(), path_map) or start_of(match[0])
            need = _need(line, match.start()) if found == "use" else "unknown"
            yield PathReference(text=path, line=number, column=match.start(), usage=found, need=need)
        value = _HOMELY.match(line) if usage == "use" else None
        if value is not None:
            path, start = f"{path_map.home}{value['rest']}", value.start("path")
            need = _need(line, start)
            yield PathReference(text=path, line=number, column=start, usage="use", form="computed", need=need)


def comment_start(line: str) -> int:
    """Return where the first comment mark outside of quoted texts is; behind the line where there is none."""
    found = next((m for m in _QUOTED_OR_COMMENT.finditer(line) if m["mark"] is not None), None)
    return found.start("mark") if found is not None else len(line)


def _need(line: str, start: int) -> Need:
    """Return what the key of a path says, or the option before it."""
    before = line[max(0, start - _LONGEST_KEY) : start].rstrip("\"' \t").rstrip(":=").rstrip("\"' \t")
    key = re.search(r"[\w.-]+\Z", before)
    return need_of_name(key[0]) if key is not None else "unknown"


def start_of(text: str) -> str:
    """Return the part of a path before a variable."""
    head, mark, _ = text.partition("$")
    return (head.rpartition("/")[0] or head) if mark else text


def _spaced(line: str, start: int, path_map: PathMap) -> str:
    """Return a whole value, quoted or not, that is a path with blanks; otherwise an empty text."""
    rest = line[start : start + _WINDOW]
    quote = line[max(0, start - 1) : start]
    before = line[max(0, start - _WINDOW) : start].rstrip()
    if quote in ("'", '"'):
        value = rest.partition(quote)[0]
    elif before.endswith((":", "=")) or (before.endswith("-") and line[:start].strip() == "-"):
        value = _REMARK.split(rest, maxsplit=1)[0].rstrip()
    else:
        return ""
    return value if path_map.is_path_with_blanks(value) else ""


def _in_sentence(line: str, start: int) -> bool:
    """Whether a path is among words of a quoted text."""
    first = max(0, start - _WINDOW)
    opened = max(line.rfind("'", first, start), line.rfind('"', first, start))
    if opened < 0:
        return False
    words = line[opened + 1 : start]
    return re.search(r"\S\s+\S*$", words) is not None and not re.search(r"(^|\s)(-|cd |exec )", words)


def compose_references(text: str, path_map: PathMap) -> Iterator[PathReference]:
    """Yield the paths of a compose file. What is not the host's part of a volume is the container's."""
    lines = text.splitlines()
    for found in text_references(text, path_map, "use"):
        ours = not found.used or _FROM_HOST.search(lines[found.line - 1][: found.column])
        yield found if ours else dataclasses.replace(found, usage="data")


def docker_references(text: str, path_map: PathMap) -> Iterator[PathReference]:
    """Yield the paths of a Dockerfile that lie under roots the manifest names; all others belong to the container.

    So does a root where the image itself makes something.
    """
    made = [m[1] or m[2] for m in _MADE_IN_IMAGE.finditer(text)]
    known = [r for r in (*path_map.other_roots, *map(str, path_map.own_roots)) if r]
    known = [r for r in known if not any(f"{m}/".startswith(f"{r}/") for m in made)]
    for found in text_references(text, path_map, "use"):
        if found.text.startswith(tuple(known)):
            yield found
