"""One command of a shell script: its words, the program that it runs in the end, and what that does with a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from sage_doctor.paths.find.shell_programs import (
    COPYING,
    CREATING,
    ENTERING,
    LAUNCHING,
    LOOKING,
    READING,
    RUNNING,
    SCRIPT,
    first_program,
    is_made,
    is_started,
)
from sage_doctor.paths.find.shell_values import ShellValues, text_of
from sage_doctor.paths.find.words import need_of_name

if TYPE_CHECKING:
    from tree_sitter import Node

# What a command does with a word: `looked at` is what fails where it is missing, and does nothing else.
WordRole = Literal["tested", "needed", "looked at", "created", "unknown"]
_OPTION = re.compile(r"(--?[\w-]+)=")
_KEY = re.compile(r"(--?[\w-]+|\+{0,2}\w+(?:\.\w+)+)=")  # `model.path=…`, as Hydra takes it
_BELOW_A_VALUE = re.compile(r"(?:--?[\w-]+=)?[\"']?\$\{?\w+\}?[^\"'}]")  # `$MODEL/results.json` makes no $MODEL


class ShellCommand(NamedTuple):
    """A command's words, where each is, the first that is the program, and its arguments."""

    texts: list[str]
    positions: dict[int, int]
    first: int
    arguments: list[int]

    @property
    def program(self) -> str:
        """The program's word; empty if there is none."""
        return self.texts[self.first] if self.first < len(self.texts) else ""

    def role_of(self, position: int, text: str) -> tuple[WordRole, str]:
        """Return what the command does with a word, and the option that names it. `text` is as it is written."""
        texts, first, arguments = self.texts, self.first, self.arguments
        launcher = position < first and texts[0] in LAUNCHING
        program = (texts[0] if launcher else self.program).rpartition("/")[2]
        if program in ("test", "[") or texts[:2] == ["command", "-v"]:
            return "tested", ""
        if position == first or program in ENTERING or is_started(program, texts, arguments, position):
            return "needed", ""
        if program in CREATING or is_made(texts[first:position]):
            return "created", ""
        if program in LOOKING:
            return "looked at", ""
        if program in COPYING:
            fetched = any(":" in texts[i] for i in arguments if i < position)
            return "created" if fetched or arguments[-1:] == [position] else "needed", ""
        before = texts[position - 1] if position else ""
        option = (_KEY if RUNNING.fullmatch(program) or SCRIPT.search(program) else _OPTION).match(text)
        if option is not None or (before.startswith("-") and "=" not in before):
            name = option[1] if option is not None else before
            said = need_of_name(name)
            made = said == "created" and not _BELOW_A_VALUE.match(text)
            return "needed" if said == "needed" else "created" if made else "unknown", name
        return "needed" if program in READING else "unknown", ""


def command_of(node: Node, values: ShellValues) -> ShellCommand:
    """Return a command; a variable of several words is those words."""
    texts: list[str] = []
    positions: dict[int, int] = {}
    for word in (c for c in node.children if c.type != "variable_assignment" and "redirect" not in c.type):
        inner = word.children[0] if word.type == "command_name" else word
        value = values.value(inner) if "$" in text_of(inner) else None
        whole = value is None or inner.type != "simple_expansion"
        text = text_of(inner).strip("\"'") if value is None else value[0]
        texts += [text] if whole else text.split()
        if whole or " " not in text:
            positions[word.id] = len(texts) - 1
    first = first_program([t.rpartition("/")[2] for t in texts])
    arguments = [i for i, t in enumerate(texts) if i > first and not t.startswith("-")]
    return ShellCommand(texts, positions, first, arguments)
