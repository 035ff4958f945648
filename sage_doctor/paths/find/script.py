"""Reads one file: its language and the references in it. Bounded; never raises, whatever the file contains."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sage_doctor.paths.find.branches import nested
from sage_doctor.paths.find.checkout import MOST_BYTES, MOST_FILES, Checkout
from sage_doctor.paths.find.line_text import (
    CONFIGURATION,
    compose_references,
    docker_references,
    text_references,
    text_usage,
)
from sage_doctor.paths.find.named_files import configuration_names
from sage_doctor.paths.find.notebook import notebook_references
from sage_doctor.paths.find.ownership import stated_machine
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.python_program import PythonProgram
from sage_doctor.paths.find.python_script import python_references
from sage_doctor.paths.find.reference import Language, Need, PathReference, Script
from sage_doctor.paths.find.shell_program import expanded
from sage_doctor.paths.find.shell_script import shell_references
from sage_doctor.paths.find.shell_values import lines_of
from sage_doctor.paths.find.unit_file import (
    UNIT_SUFFIXES,
    crontab_references,
    plist_references,
    unit_references,
)
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.text import format_bytes

_START = 4096
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh", "ash"})
_UNITS = frozenset({"unit", "crontab", "plist"})
_COMPOSE = re.compile(r"^(?:docker-)?compose\b.*\.ya?ml$")
_MODELINE = re.compile(rb"^#!\s*(?P<program>/\S+)(?:\s+(?P<rest>[^\r\n]*))?")


def read_script(path: Path, path_map: PathMap, *, directory: Path, checkout: Checkout | None = None) -> Script:
    """Return a file's language and references. One that cannot name any machine's path is not parsed.

    `directory` is the tree it belongs to: a file is recognised as data by its directories below that. A program is read
    with what it reaches of its `checkout`, which gets the references in the other files.
    """
    node = inspect_path(path)
    try:
        raw = read_start(path, MOST_BYTES + 1)
    except UnreadableFile as error:
        return Script(path=path, language="unknown", problem=f"it cannot be read: {error}")
    executable = bool(node.mode & 0o111)
    return read_text(path, raw, path_map, directory=directory, executable=executable, checkout=checkout)


def read_program(
    path: Path, path_map: PathMap, *, directory: Path, most: int = MOST_FILES
) -> tuple[list[Script], list[Path]]:
    """Return a program and the scripts of its project that it sources, imports and starts, and where it looks for some.

    What they name is told where it is written, as far as a run comes to it. At most `most` of them are read.
    """
    checkout = Checkout(directory, path, most)
    program = read_script(path, path_map, directory=directory, checkout=checkout)
    done = {path}
    while (started := next((p for p in checkout.started if p not in done), None)) is not None:
        done.add(started)
        checkout.condition = checkout.started[started]
        for reference in read_script(started, path_map, directory=directory, checkout=checkout).references:
            checkout.found[started][reference] = None
    others = [(p, raw, found) for p, found in checkout.found.items() if p != path and (raw := checkout.read(p))]
    reached = [dataclasses.replace(_described(p, raw), references=tuple(found)) for p, raw, found in others]
    return [program, *reached], list(checkout.places)


def read_text(
    path: Path,
    raw: bytes,
    path_map: PathMap,
    *,
    directory: Path,
    executable: bool = False,
    checkout: Checkout | None = None,
) -> Script:
    """Return a text's language and references, as `read_script` does. `path` is its name and need not exist."""
    script = _described(path, raw, executable=executable)
    if len(raw) > MOST_BYTES:
        return dataclasses.replace(script, problem=f"it is larger than {format_bytes(MOST_BYTES)}")
    if b"\0" in raw[:_START] and script.language != "plist":
        return dataclasses.replace(script, language="unknown", problem="it contains NUL bytes: it is not text")
    unit = script.language in _UNITS
    # A unit needs its programs, wherever they are; in all other files only machines' paths matter.
    if not unit and checkout is None and not path_map.may_occur_in(raw):
        return script
    try:
        if checkout is None:
            references, problem = _references(script, raw, path_map, directory)
            found = [(path, r) for r in references]
        else:
            found, problem = _of_program(script, raw, path_map, checkout, directory)
    except (ValueError, RecursionError) as error:
        return dataclasses.replace(script, problem=str(error))
    own = []
    for file, reference in _without_made(found):
        if checkout is not None and checkout.condition:
            condition = nested(checkout.condition, reference.condition)
            reference = dataclasses.replace(reference, condition=condition)  # noqa: PLW2901
        if file == path or checkout is None:
            own.append(reference)
        else:
            checkout.found[file][reference] = None
    return dataclasses.replace(script, references=tuple(own), problem=problem)


def _described(path: Path, raw: bytes, *, executable: bool = False) -> Script:
    """Return what a file is, without its references."""
    first = raw[:_START].split(b"\n", 1)[0]
    program, env_program = _interpreter(first)
    language = _language(path, env_program or (program or "").rpartition("/")[2], raw)
    hostname, user = stated_machine(raw[:_START].decode("utf-8", "replace"), unit=language in _UNITS)
    return Script(
        path=path,
        language=language,
        crlf=first.startswith(b"#!") and first.endswith(b"\r"),
        crlf_lines=language == "shell" and raw.count(b"\r\n") * 2 > raw.count(b"\n"),
        executable=executable,
        interpreter=program,
        env_program=env_program,
        hostname=hostname,
        user=user,
        configurations=configuration_names(raw, language),
    )


def _without_made(found: Sequence[tuple[Path, PathReference]]) -> Iterator[tuple[Path, PathReference]]:
    """Yield the references; what a program makes or looks for in one place, it does not need below that in another."""
    known: dict[str, Need] = {r.text.rstrip("/"): r.need for _, r in found if r.need in ("created", "optional")}
    for file, reference in found:
        path = PurePosixPath(reference.text)
        upper = [str(u) for u in (path, *path.parents)] if known else []
        above = next((known[u] for u in upper if u in known), None) if reference.need == "needed" else None
        yield file, dataclasses.replace(reference, need=above) if above is not None else reference


def _of_program(
    script: Script, raw: bytes, path_map: PathMap, checkout: Checkout, directory: Path
) -> tuple[list[tuple[Path, PathReference]], str]:
    """Return the references in a program and in what it sources and imports, each with its file."""
    if script.language == "python":
        program = PythonProgram(raw, script.path, path_map, checkout)
        return [(file, r) for file, found in program.references() for r in found], ""
    if script.language != "shell":
        references, problem = _references(script, raw, path_map, directory)
        return [(script.path, r) for r in references], problem
    whole, lines = expanded(raw, script.path, path_map, checkout)
    references, problem = shell_references(whole, path_map, lines, program=True)
    placed = []
    for r in references:
        line, last = lines[r.line - 1], lines[min(r.end_line, len(lines)) - 1]
        placed.append((line.file, dataclasses.replace(r, line=line.number, end_line=last.number if r.end_line else 0)))
    return placed, problem


def _references(script: Script, raw: bytes, path_map: PathMap, directory: Path) -> tuple[list[PathReference], str]:
    if script.language == "python":
        return python_references(raw, path_map, script.path), ""
    if script.language == "shell":
        return shell_references(raw, path_map, lines_of(script.path))
    if script.language == "notebook":
        return notebook_references(raw, path_map)
    if script.language == "plist":
        return plist_references(raw, path_map), ""
    text = raw.decode("utf-8", "replace")
    if script.language == "unit":
        return unit_references(text, path_map, path_map.home), ""
    if script.language == "crontab":
        return crontab_references(text, path_map), ""
    if script.language == "dockerfile":
        return list(docker_references(text, path_map)), ""
    if script.language == "configuration" and _COMPOSE.search(script.path.name.lower()):
        return list(compose_references(text, path_map)), ""
    usage = text_usage(script.path, directory)
    problem = "its language is unknown" if script.language == "unknown" else ""
    return list(text_references(text, path_map, "data" if problem else usage)), problem


def _interpreter(first: bytes) -> tuple[str | None, str | None]:
    """Return the program of a `#!` line, and what it is asked to find where it is `env`."""
    match = _MODELINE.match(first)
    if match is None:
        return None, None
    program = match["program"].decode("utf-8", "replace")
    if program.rpartition("/")[2] != "env":
        return program, None
    words = (match["rest"] or b"").decode("utf-8", "replace").split()
    return program, next((w for w in words if not w.startswith("-") and "=" not in w), None)


def _language(path: Path, program: str, raw: bytes) -> Language:
    suffix, name = path.suffix.lower(), path.name.lower()
    if suffix in (".py", ".pyw") or program.startswith(("python", "pypy")):
        return "python"
    if suffix in (".sh", ".bash") or program in _SHELLS:
        return "shell"
    if suffix == ".ipynb":
        return "notebook"
    if suffix in UNIT_SUFFIXES:
        return "unit"
    if suffix == ".plist":
        return "plist"
    if name.startswith(("dockerfile", "containerfile")) or suffix == ".dockerfile":
        return "dockerfile"
    if "crontab" in name or suffix in (".cron", ".crontab"):
        return "crontab"
    if suffix in CONFIGURATION or name in (".env", "makefile", "gnumakefile", "justfile"):
        return "configuration"
    textual = suffix in (".md", ".rst", ".txt", ".log", ".jsonl", ".csv", ".html", ".adoc", ".tsv", ".out")
    return "text" if textual and not raw.startswith(b"#!") else "unknown"
