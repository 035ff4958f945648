"""The references of systemd units, launchd jobs and crontabs."""

from __future__ import annotations

import plistlib
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Need, PathReference, UsageKind

UNIT_SUFFIXES = frozenset({".service", ".timer", ".socket", ".path", ".mount"})
# Paths that must exist before the unit can start; not those that it creates itself.
REQUIRED_DIRECTIVES = frozenset(
    {
        *("WorkingDirectory", "ExecStart", "ExecStartPre", "ExecCondition", "EnvironmentFile", "RootDirectory"),
        *("Program", "ProgramArguments", "command"),
    }
)
PROGRAM_DIRECTIVES = frozenset({"ExecStart", "ExecStartPre", "ExecCondition", "Program", "ProgramArguments", "command"})
_READ_DIRECTIVES = frozenset(
    {*REQUIRED_DIRECTIVES, "Environment", "ExecStartPost", "ExecStop", "ExecStopPost", "ExecReload"}
)
_PLIST_STRING = re.compile(r"<string>([^<]*)</string>")
_BLANK = "\ue000"  # a private-use character
_SCHEDULE = re.compile(r"^\s*(@\w+|(?:[-\d*/,]+|[a-zA-Z]{3})(?:\s+[-\d*/,a-zA-Z]+){4})\s+(?P<command>\S.*)$")


def unit_references(text: str, path_map: PathMap, home: Path) -> list[PathReference]:
    """Return the paths of a systemd unit. `%h` is the home; a path with another specifier is left out."""
    found: list[PathReference] = []
    joined = re.sub(r"\\\n", "  ", text)  # a line that goes on keeps its columns, not its number
    for number, line in enumerate(joined.splitlines(), 1):
        if line.lstrip().startswith(("#", ";")):
            match = path_map.pattern.search(line)
            if match is not None:
                found.append(PathReference(text=match[0], line=number, usage="documentation"))
            continue
        key, sign, value = line.partition("=")
        if sign:
            found += _directive(key.strip(), value.strip(), number, home, path_map)
    return found


def _directive(key: str, value: str, line: int, home: Path, path_map: PathMap) -> Iterator[PathReference]:
    if key not in _READ_DIRECTIVES or not value:
        return
    optional = value.startswith("-") and key in ("EnvironmentFile", "WorkingDirectory")
    value = value.replace("%h", str(home))
    if key == "Environment":
        for word in _unit_words(value):
            path = word.partition("=")[2]
            if path_map.is_path_with_blanks(path):
                yield PathReference(text=path, line=line, key=key)
                continue
            for match in path_map.pattern.finditer(word):
                yield PathReference(text=match[0], line=line, key=key)
        return
    words = _unit_words(value) if key.startswith("Exec") else [value.lstrip("-")]
    for index, word in enumerate(words):
        path = re.sub(r"^[-@:+!|]+", "", word) if index == 0 else word
        if "%" in path or not path.startswith("/"):
            continue
        first = index == 0 and not optional
        usage: UsageKind = "fallback" if optional else "use"
        need: Need = "needed" if first and key in REQUIRED_DIRECTIVES else "unknown"
        yield PathReference(text=path, line=line, usage=usage, key=key if first or optional else "", need=need)


def crontab_references(text: str, path_map: PathMap) -> list[PathReference]:
    """Return the paths of a crontab: the programs its lines start, and what else they and its variables name."""
    found: list[PathReference] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            match = path_map.pattern.search(line)
            found += [PathReference(text=match[0], line=number, usage="documentation")] if match else []
            continue
        entry = _SCHEDULE.match(line)
        command = entry["command"] if entry is not None else ""
        first = _program_of(command)
        if first is not None:
            found.append(PathReference(text=first, line=number, key="command", need="needed"))
        for match in path_map.pattern.finditer(line):
            if match[0] != first and not (first is not None and " " in first and first.startswith(match[0])):
                before = line[max(0, match.start() - 80) : match.start()]
                found.append(PathReference(text=match[0], line=number, need=_need(before)))
    return found


def _need(before: str) -> Need:
    """Return what a command needs of a path behind this part of its line."""
    if re.search(r"\bcd\s+[\"']?$", before):
        return "needed"
    return "created" if re.search(r">\s*[\"']?$", before) else "unknown"


def _program_of(command: str) -> str | None:
    """Return the program that a command line starts by its path, after variables and a change of directory."""
    for word in _words(command.rpartition("&&")[2].strip()):
        if re.match(r"[A-Za-z_]\w*=", word):
            continue
        return word if word.startswith("/") else None
    return None


def plist_references(raw: bytes, path_map: PathMap) -> list[PathReference]:
    """Return the paths of a launchd job. Raises `ValueError` if it is not one."""
    try:
        data = plistlib.loads(raw)
    except Exception as error:
        raise ValueError("it is not a property list") from error
    data = data if isinstance(data, Mapping) else {}
    text = raw.decode("utf-8", "replace")
    lines: dict[str, int] = {}
    line, at = 1, 0
    for string in _PLIST_STRING.finditer(text):
        line, at = line + text.count("\n", at, string.start(1)), string.start(1)
        lines.setdefault(string[1], line)
    found = [
        PathReference(text=path, line=lines.get(path, 1), key=key)
        for key, path in _job_paths(data)
        if path.startswith("/")
    ]
    known = {o.text for o in found}
    for path in _strings(data):
        match = path_map.pattern.search(path)
        named = "" if match is None else path if path_map.is_path_with_blanks(path) else match[0]
        if match is not None and named not in known:
            within = path.count("\n", 0, match.start())
            found.append(PathReference(text=named, line=lines[path] + within if path in lines else 1))
    return found


def _job_paths(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("Program", "WorkingDirectory", "RootDirectory"):
        if isinstance(data.get(key), str):
            yield key, data[key]
    words = data.get("ProgramArguments")
    if "Program" not in data and isinstance(words, list) and words and isinstance(words[0], str):
        yield "ProgramArguments", words[0]


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _unit_words(text: str) -> list[str]:
    """Return the words of a unit's line: systemd has escapes of its own for blanks."""
    words = _words(re.sub(r"(?<!\\)\\(?:x20|s|040)", _BLANK, text))
    return [word.replace(_BLANK, " ") for word in words]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
