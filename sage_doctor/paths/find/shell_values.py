"""The values of a shell script's words: with `$HOME`, `~`, its variables, and its own place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sage_doctor.paths.find.folding import DEEPEST
from sage_doctor.paths.find.script_location import Located, located

if TYPE_CHECKING:
    from tree_sitter import Node

_SETTERS = frozenset({"command", "declaration_command", "unset_command"})
WORDS = frozenset({"word", "string", "raw_string", "concatenation"})
# What a word's value comes from, the one first that says most about it: a default, the user's home, the script's own
# place, another variable.
ShellOrigin = Literal["default", "home", "file", "name", ""]
_ORIGINS: tuple[ShellOrigin, ...] = ("default", "home", "file", "name", "")
_LONGEST_VALUE = 4096
_LONGEST_COMMAND = 400
_ASKED = re.compile(r"\$\(sage-doctor where (\S+)(?: --manifest .+)?\)")
_NONE: Mapping[str, Path] = {}
# Commands that set the variables that they name.
_SETTING = re.compile(rb"(?:read|unset|getopts|mapfile|readarray|select|local|declare|typeset|printf -v)\s")
_WITH_DEFAULT = 5  # nodes of `${NAME:-DEFAULT}`


def text_of(node: Node) -> str:
    """Return the source of a node."""
    return (node.text or b"").decode("utf-8", "replace")


def nodes_below(root: Node) -> list[Node]:
    """Return a node and all below it."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += node.children
    return found


class ScriptLine(NamedTuple):
    """Where a line of a program is from. `zero` is what `$0` is there, `chain` are the files that lead to it."""

    file: Path
    number: int
    zero: Path
    chain: tuple[Path, ...]


def lines_of(file: Path, count: int = 1) -> list[ScriptLine]:
    """Return the lines of a script alone; one stands for all that follow."""
    return [ScriptLine(file, number, file, (file,)) for number in range(1, count + 1)]


class ShellValues:
    """One program: its words, and the variables that it sets once. `models` are what `sage-doctor where` prints.

    Without `lines` nothing is known of its own place.
    """

    def __init__(
        self,
        root: Node,
        home: Path,
        lines: Sequence[ScriptLine] | None = None,
        models: Mapping[str, Path] = _NONE,
    ) -> None:
        self.root, self._home, self._lines, self._models = root, home, lines, models
        self._known: dict[str, tuple[str, ShellOrigin] | None] = {}

    def value(self, node: Node, depth: int = 0) -> tuple[str, ShellOrigin] | None:
        """Return the text of a word and what it comes from; None if it depends on anything else."""
        text = text_of(node)
        if depth > DEEPEST:
            return None
        if node.type == "raw_string":
            return text[1:-1], ""
        if node.type == "string_content":
            return text, ""
        if node.type == "word" or is_home_in_test(node):
            if text == "~" or text.startswith("~/"):
                return (f"{self._home}{text[1:]}", "home") if not re.search(r"[*?\[\\{]", text) else None
            return (text, "") if not re.search(r"[*?\[\\{]", text) else None
        if node.type in ("simple_expansion", "expansion"):
            return self._variable(node, depth)
        if node.type == "command_substitution" and self._lines is not None and len(text) <= _LONGEST_COMMAND:
            line = self._lines[min(node.start_point[0], len(self._lines) - 1)]
            script = line.file if "BASH_SOURCE" in text else line.zero
            place = located(text, script, lambda name: self._located(name, depth))
            fixed = place is not None and (place.whole or node.end_byte <= self._moves_at)
            return (place.path, "file") if place is not None and fixed else None
        if node.type not in ("string", "concatenation"):
            return None
        parts = [self.value(c, depth + 1) for c in node.children if c.type != '"']
        if None in parts:
            return None
        origins = {p[1] for p in parts if p is not None}
        origin: ShellOrigin = next((o for o in _ORIGINS if o in origins), "")
        whole = "".join(p[0] for p in parts if p is not None)
        return (whole, origin) if len(whole) <= _LONGEST_VALUE else None

    def _variable(self, node: Node, depth: int) -> tuple[str, ShellOrigin] | None:
        """Return the value of `$NAME`, or of `${NAME:-DEFAULT}` if nothing else is known of it."""
        names = [c for c in node.children if c.type == "variable_name"]
        default = node.children[3] if len(node.children) == _WITH_DEFAULT and node.children[2].type == ":-" else None
        plain = len(node.children) <= (2 if node.type == "simple_expansion" else 3)
        if len(names) != 1 or not (plain or default is not None):
            return None
        name = text_of(names[0])
        if name == "HOME":
            return str(self._home), "home"
        if default is not None:
            found = self.value(default, depth + 1)
            return (found[0], "default") if found is not None and found[0].startswith("/") else None
        return self.named(name, depth)

    def named(self, name: str, depth: int = 0) -> tuple[str, ShellOrigin] | None:
        """Return the value that a variable has wherever it is used, and what it comes from."""
        if name not in self._known:
            self._known[name] = None  # while it is asked for: a variable that comes from itself has no value
            value = self.assigned(name)
            found = self.value(value, depth + 1) if value is not None else None
            if found is not None:
                self._known[name] = (found[0], found[1] or "name")
        return self._known[name]

    def _located(self, name: str, depth: int) -> Located | None:
        asked = _ASKED.fullmatch(name)
        if asked is not None and asked[1] in self._models:
            return Located(str(self._models[asked[1]]), whole=True)
        found = self.named(name, depth + 1)
        return Located(found[0], whole=True) if found is not None and found[0].startswith("/") else None

    @cached_property
    def _moves_at(self) -> int:
        """Where the script enters another directory: then a relative name of itself leads to nothing any more."""
        waiting, found = [self.root], self.root.end_byte
        while waiting:
            node = waiting.pop()
            if node.type == "command" and text_of(node.children[0]) in ("cd", "pushd"):
                found = min(found, node.end_byte)
            waiting += [c for c in node.children if c.type not in ("command_substitution", "subshell")]
        return found

    @cached_property
    def nodes(self) -> list[Node]:
        """Every node of the script."""
        return nodes_below(self.root)

    @cached_property
    def parents(self) -> dict[int, Node]:
        """Every node's parent: a node's own is looked for from the top each time."""
        return {child.id: node for node in self.nodes for child in node.children}

    def assigned(self, name: str) -> Node | None:
        """Return the value that a variable is set to, None if it is not set once."""
        found = self._assigned.get(name)
        return found.child_by_field_name("value") if found is not None else None

    def is_set(self, name: str) -> bool:
        """Whether the script sets a variable at all."""
        return name in self._assigned

    @cached_property
    def _assigned(self) -> dict[str, Node | None]:
        """The assignment of each variable that is set; None where there are several."""
        counts: Counter[str] = Counter()
        found: dict[str, Node] = {}
        for node in self.nodes:
            if node.type == "variable_assignment":
                name = text_of(node).partition("=")[0].rstrip("+")
                counts[name] += 1
                found[name] = node
            elif node.type == "for_statement":
                counts.update(text_of(c) for c in node.children if c.type == "variable_name")
            elif node.type in _SETTERS and _SETTING.match(node.text or b""):
                counts.update(set(re.findall(r"\w+(?!=)\b", text_of(node))))
        return {name: found.get(name) if count == 1 else None for name, count in counts.items()}


def is_home_in_test(node: Node) -> bool:
    """Return whether a node is `~/…` within a test, which the grammar takes for an operator and a word."""
    return node.type == "unary_expression" and (node.text or b"").startswith(b"~/")
