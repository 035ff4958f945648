"""A shell script with the scripts that it reaches, as one text: what it sources is a group, what it starts a subshell.

So the variables, functions and options of one hold in the other as they do in a run. Each line knows where it is from.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sage_doctor.paths.find.checkout import Checkout
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.shell_needs import ShellNeeds
from sage_doctor.paths.find.shell_options import NEW_OPTIONS
from sage_doctor.paths.find.shell_programs import LAUNCHING, RUNNING, SCRIPT, SOURCING, WITH_VALUES, first_program
from sage_doctor.paths.find.shell_script import parse_opened, parse_shell, shell_parser
from sage_doctor.paths.find.shell_values import ScriptLine, lines_of, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

_MOST_ROUNDS = 8
_MOST_LINES = 50_000
_MOST_STEPS = 100
_PYTHON = re.compile(rb"#!.*\bpython|#!.*\bpypy")
_SCOPES = frozenset({"subshell", "command_substitution", "function_definition"})


class _Start(NamedTuple):
    """What a command sources or starts: a file, or a `module`; `by` the program that reads it, or by itself."""

    name: str
    by: str = ""
    module: bool = False


def expanded(raw: bytes, file: Path, path_map: PathMap, checkout: Checkout) -> tuple[bytes, list[ScriptLine]]:
    """Return a script with the texts of the scripts that it reaches, and where each line of it is from.

    The Python programs that it starts are left to `checkout`.
    """
    parser = shell_parser()
    texts = raw.split(b"\n")
    lines = lines_of(file, len(texts))
    for _ in range(_MOST_ROUNDS if parser is not None else 0):
        assert parser is not None
        root, whole = parse_opened(parser, b"\n".join(texts))
        texts = whole.split(b"\n")
        program = _Program(root, path_map, lines, checkout)
        changed = False
        for command, start, target in program.starts():
            row, end = command.start_point[0], command.end_point[0]
            inner = checkout.read(target)
            if inner is None or target in lines[row].chain or b"<<" in texts[row]:
                continue
            if row != end or len(texts) > _MOST_LINES or parse_shell(parser, inner).has_error:
                continue
            for near in range(max(0, row - 1), row + 1):
                texts[near] = _found(texts[near], command)
            sourced = start.by in SOURCING
            opening, closing = (b"{ :", b"}") if sourced else (b"( " + NEW_OPTIONS, b")")
            if text_of(command.children[0]) == "exec":
                opening, closing = b"{ " + opening, closing + b"; exit; }"
            given = b" ".join(c.text or b"" for c in command.children if c.type == "variable_assignment")
            here, column, body = lines[row], command.end_point[1], inner.split(b"\n")
            before, after = texts[row][: command.start_point[1]], texts[row][column:]
            tail = [closing + b" \\", b" " * column + after] if after.strip() else [closing]
            texts[row : row + 1] = [before + opening, given or b":", *body, *tail]
            zero, chain = here.zero if sourced else target, (*here.chain, target)
            inserted = [ScriptLine(target, n, zero, chain) for n in range(1, len(body) + 1)]
            lines[row : row + 1] = [here, here, *inserted, *([here] * len(tail))]
            changed = True
        if not changed:
            program.start_python()
            break
    return b"\n".join(texts), lines


def _found(line: bytes, command: Node) -> bytes:
    """Return a line in which what asks for the file that a command sources or starts is true."""
    words = (re.escape(c.text or b"") for c in command.children[:2])
    asked = rb"(?:\[\[?\s+|test\s+)-[efrsx]\s+(?:%s)(?:\s+\]\]?)?(?=\s|;|$)" % b"|".join(words)
    return re.sub(asked, lambda m: b"true".ljust(len(m[0])), line)


class _Program:
    """One text, with what its commands start; the last in the text first, so that places before them stay."""

    def __init__(self, root: Node, path_map: PathMap, lines: Sequence[ScriptLine], checkout: Checkout) -> None:
        self._needs = ShellNeeds(root, path_map, lines, program=True)
        self._values, self._lines, self._checkout = self._needs.values, lines, checkout
        found = (n for n in self._values.nodes if n.type == "command")
        self._commands = sorted(found, key=lambda n: n.start_byte, reverse=True)

    def starts(self) -> Iterator[tuple[Node, _Start, Path]]:
        """Yield the commands that source or start a shell script of the project."""
        for command, start, target in self._started():
            if not self._is_python(start, target):
                yield command, start, target

    def start_python(self) -> None:
        """Leave the Python programs to the checkout."""
        for command, start, target in self._started():
            need, condition = self._needs.of_command(command)
            if self._is_python(start, target) and need == "needed":
                self._checkout.start(target, condition)

    def _started(self) -> Iterator[tuple[Node, _Start, Path]]:
        for command in self._commands:
            start = self._start(command)
            if start is None or not self._needs.branches.of(command).taken or self._needs.foreign_words(command):
                continue
            target = self._checkout.find(self._places(start, command))
            if target is not None:
                yield command, start, target

    def _is_python(self, start: _Start, target: Path) -> bool:
        if start.by:
            return start.module or start.by.startswith(("py", "torch", "accelerate", "deepspeed"))
        return target.suffix == ".py" or _PYTHON.match(self._checkout.read(target) or b"") is not None

    def _start(self, command: Node) -> _Start | None:
        words = [c for c in command.children if c.type != "variable_assignment" and "redirect" not in c.type]
        texts = [self._text(w.children[0] if w.type == "command_name" else w) for w in words]
        names = [t.rpartition("/")[2] for t in texts]
        if names[0] in SOURCING:
            return _Start(texts[1], names[0]) if len(texts) > 1 and texts[1] else None
        first = first_program(names)
        if first >= len(texts):
            return None
        if RUNNING.fullmatch(names[first]) is None and names[first] not in LAUNCHING:
            started = (first > 0 and SCRIPT.search(names[first]) is not None) or "/" in texts[first]
            return _Start(texts[first]) if started else None
        launched = names[first] in LAUNCHING
        rest = iter(texts[first + 1 :])
        for word in rest:
            if word == "-c" or not word:
                return None
            if word == "-m":
                return _Start(next(rest, ""), names[first], module=True)
            if word in WITH_VALUES:
                next(rest, None)
            elif not word.startswith("-") and (not launched or SCRIPT.search(word)):
                return _Start(word, names[first])
        return None

    def _text(self, word: Node) -> str:
        value = self._values.value(word)
        return value[0] if value is not None else ""

    def _places(self, start: _Start, command: Node) -> Iterator[Path]:
        """Yield where a command's file may be: from the directory that was entered, or where scripts are started."""
        names = [start.name]
        if start.module:
            path = start.name.replace(".", "/")
            names = [f"{path}.py", f"{path}/__main__.py"]
        yield from (d / n for d in self._entered(command) for n in names)

    def _entered(self, command: Node) -> list[Path]:
        """Return where a command may be run: in the directory that was entered, or where scripts are started."""
        before = bisect_left(self._changes, command.start_byte, key=lambda pair: pair[0].start_byte)
        below: list[str] = []
        for change, to in self._changes[max(0, before - _MOST_STEPS) : before][::-1]:
            if self._holds(change, command):
                below.insert(0, to)
                if not to or to.startswith("/"):
                    break
        if "" in below:
            return []
        place = self._lines[command.start_point[0]]
        return [d.joinpath(*below) for d in (place.zero.parent, self._checkout.directory)]

    @cached_property
    def _changes(self) -> list[tuple[Node, str]]:
        """The commands that enter a directory, each with it; empty where only a run knows."""
        found = [c for c in reversed(self._commands) if text_of(c.children[0]) in ("cd", "pushd")]
        return [(c, self._text(c.children[1]) if len(c.children) > 1 else "") for c in found]

    def _holds(self, change: Node, command: Node) -> bool:
        """Whether a change of the directory holds where a command is: not one in another subshell or function."""
        above = self._values.parents.get(change.id)
        while above is not None:
            if above.type in _SCOPES:
                return above.start_byte <= command.start_byte < above.end_byte
            above = self._values.parents.get(above.id)
        return True
