"""What starts a project's scripts, and on which machine: systemd units, launchd jobs and shell scripts.

A machine's name is written as `SAGE_MACHINE`, as `--machine`, or is the word by which files of one kind differ:
`sage-daemon-thor.service` and `sage-daemon-sprout.service`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from sage_doctor.launchers.code import SHELL, UNITS, Code
from sage_doctor.system.frozen import frozen

_MACHINE: Final = re.compile(r"\bSAGE_MACHINE(?:</key>\s*<string>|=[\"']?)([A-Za-z][\w-]{1,31})(?![\w$-])")
_USER: Final = re.compile(r"^User=([A-Za-z][\w-]*)\s*$", re.MULTILINE)
_HOME: Final = re.compile(r"(?<![\w.~/-])((?:/home|/Users)/([A-Za-z_][\w-]{0,31}))(?=[/\s\"'<:;]|$)")
# Home directories in examples and container images, which belong to nobody.
_PLACEHOLDERS: Final = frozenset(
    {
        "user",
        "username",
        "you",
        "your",
        "yourname",
        "your_machine",
        "name",
        "me",
        "someone",
        "example",
        "Shared",
        "ubuntu",
    }
)
_MODEL_OPTIONS: Final = frozenset({"model", "model_path", "model_name", "model_name_or_path", "model_id", "model_dir"})
_VARIABLE: Final = re.compile(r"\$(?:\{(?P<name>\w+)(?::?-(?P<default>[^{}]*))?\}|(?P<plain>\w+))")
_ASSIGNED: Final = re.compile(r"^\s*(?:export\s+|local\s+|readonly\s+)?(\w+)=(.*)$")
_MOST_LINE: Final = 4096
_PYTHON: Final = re.compile(r"python[\d.]*\Z")
_STRING: Final = re.compile(r"<string>([^<]*)</string>")


@frozen
class Starter:
    """A unit, job or shell script that starts scripts of the project. `machine` is empty if it does not say.

    `started` are the scripts with the options for the model that they are given; `python` is the interpreter's path.
    """

    path: Path
    machine: str = ""
    started: tuple[tuple[Path, tuple[tuple[str, str], ...]], ...] = ()
    python: str = ""


def homes_in(text: str) -> list[tuple[str, int]]:
    """Return the home directories that a text names, each once, with the line."""
    found: dict[str, int] = {}
    for match in _HOME.finditer(text):
        if match[2] not in _PLACEHOLDERS:
            found.setdefault(match[1], text.count("\n", 0, match.start()) + 1)
    return list(found.items())


def read_starters(code: Code, known: Iterable[str] = ()) -> list[Starter]:
    """Return the starters among the code; `known` are names of machines, such as this one's."""
    stated = {path: name for path, text in code.texts.items() if (name := _stated(path, text))}
    machines = _names(code.texts, {*stated.values(), *known})
    found = []
    for path, text in code.texts.items():
        started = list(_started(path, text, code))
        words = set(re.split(r"[^a-z0-9]+", path.stem.lower()))
        named = stated.get(path) or next((m for m in sorted(machines) if m.lower() in words), "")
        option = re.search(r"--machine[= ]([A-Za-z][\w-]*)", text)
        named = named or (option[1] if option is not None and option[1] in machines else "")
        if started or (named and path.suffix in UNITS):
            python = next((p for _, _, p in started if p.startswith("/")), "")
            scripts = tuple(dict.fromkeys((s, o) for s, o, _ in started))
            found.append(Starter(path=path, machine=named, started=scripts, python=python))
    return found


def _stated(path: Path, text: str) -> str:
    """Return the machine that a file says it is for: `SAGE_MACHINE`, or a unit's user that its name has as well."""
    match = _MACHINE.search(text)
    if match is not None:
        return match[1] if match[1].lower() not in _PLACEHOLDERS else ""
    user = _USER.search(text) if path.suffix == ".service" else None
    return user[1] if user is not None and user[1] in re.split(r"[-_.]", path.stem) else ""


def _names(paths: Iterable[Path], known: set[str]) -> set[str]:
    """Return the names of machines: those stated, and the words by which files of a kind differ.

    That they are machines is known where one of the words is stated as one; units differ by nothing else.
    """
    alike: dict[tuple[Path, str, str, str], set[str]] = defaultdict(set)
    for path in paths:
        words = re.split(r"([-_.])", path.stem)
        for index in range(0, len(words), 2):
            if words[index] and len(words) > 1:
                kind = (path.parent, "".join(words[:index]), "".join(words[index + 1 :]), path.suffix)
                alike[kind].add(words[index])
    stated = {k.lower() for k in known}
    for group in alike.values():
        if len(group) > 1 and {w.lower() for w in group} & stated:
            known = known | {w for w in group if w.lower() not in stated}
    return known


def _started(path: Path, text: str, code: Code) -> Iterator[tuple[Path, tuple[tuple[str, str], ...], str]]:
    """Yield each script of the project that is started, the options for its model, and the interpreter."""
    for words in _commands(path, text):
        at = next((i for i, w in enumerate(words) if _PYTHON.search(os.path.basename(w))), None)
        python = words[at] if at is not None else ""
        rest = words[at + 1 :] if at is not None else words
        module = rest[rest.index("-m") + 1 :][:1] if at is not None and "-m" in rest else []
        named = [w for w in rest if w.endswith(".py")][:1]
        script = code.script(module[0], module=True) if module else code.script(named[0]) if named else None
        if script is None and path.suffix in UNITS:  # a unit that runs a shell script of the project
            shell = next((w for w in words if w.endswith(SHELL)), "")
            inner = next((p for p in code.texts if shell and p.name == os.path.basename(shell) and p != path), None)
            if inner is not None and inner.suffix in SHELL:
                yield from _started(inner, code.texts[inner], code)
        if script is not None:
            yield script, tuple(_options(rest)), python


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        key = name.lstrip("-").replace("-", "_")
        if name.startswith("--") and key in _MODEL_OPTIONS:
            value = value if equals else next(iter(words[index + 1 : index + 2]), "")
            if value and "$" not in value:
                yield key, value


def _commands(path: Path, text: str) -> Iterator[list[str]]:
    """Yield the words of each command line, with the file's own variables filled in."""
    if path.suffix == ".plist":
        yield _STRING.findall(text)
        return
    variables: dict[str, str] = {}
    for written in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = written.strip()
        if path.suffix == ".service":
            key, _, value = line.partition("=")
            if key.strip() in ("ExecStart", "ExecStartPre", "ExecStartPost"):
                yield _words(value.strip().lstrip("-@:+!"))
            continue
        if line.startswith("#") or len(line) > _MOST_LINE:
            continue
        assigned = _ASSIGNED.match(line)
        if assigned is not None and "$(" not in assigned[2]:
            values = _words(_filled(assigned[2], variables))
            variables[assigned[1]] = values[0] if values else ""
        if "python" in line or ".py" in line or "$" in line:
            yield _words(_filled(line, variables))


def _filled(text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        held = variables.get(match["name"] or match["plain"])
        return held if held is not None else match["default"] if match["default"] is not None else match[0]

    return _VARIABLE.sub(value, text)[:_MOST_LINE]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # a quotation mark that another line closes
        return text.split()
