"""Whether a shell script needs a path to exist: the path is followed through variables to the commands that use it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Need
from sage_doctor.paths.find.shell_branches import ShellBranches
from sage_doctor.paths.find.shell_elsewhere import foreign_words, names_for_elsewhere
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
from sage_doctor.paths.find.words import need_of_name, strongest

if TYPE_CHECKING:
    from tree_sitter import Node

_MOST_USES = 200
_LONGEST_TEXT = 4096
_WITHIN_A_WORD = frozenset({"array", "string", "concatenation", "expansion", "string_content", "simple_expansion"})
_OPTION_BEFORE = re.compile(r"(?<!\S)--?[\w-]+(?=(?:=|\s+)[\"']?\Z)")
_OPTION = re.compile(r"(--?[\w-]+)=")
_KEY = re.compile(r"(--?[\w-]+|\+{0,2}\w+(?:\.\w+)+)=")  # `model.path=…`, as Hydra takes it
_BELOW_A_VALUE = re.compile(r"(?:--?[\w-]+=)?[\"']?\$\{?\w+\}?[^\"'}]")  # `$MODEL/results.json` makes no $MODEL
_FOR_A_TEXT = re.compile(r"(?:\[+ |test )?\s*(?:! )?\s*(?:-[zn]\s|[^\s&|]+\s+[=!]?=\s)")
_ENDING = re.compile(r"\s*(?:exit(?:\s+[1-9\"$]|\s*$)|return\s+[1-9]|die\b|fail\b|abort\b)")


class _Command(NamedTuple):
    """A command's words, where each is, the first that is the program, its arguments, and whether it must succeed."""

    texts: list[str]
    positions: dict[int, int]
    first: int
    arguments: list[int]
    need: Need


class ShellNeeds:
    """One script. `values` are those of its words, `branches` say what this machine gets to."""

    def __init__(self, root: Node, path_map: PathMap, script: Path | None = None) -> None:
        self.values = ShellValues(root, path_map.home, script)
        self.branches = ShellBranches(self.values, path_map)
        self._conditions: set[str] = set()  # of what was found to be needed
        self._commands: dict[int, _Command] = {}
        self._foreign: dict[int, Collection[int]] = {}

    def need_of(self, node: Node, path: str, *, by_name: bool = True) -> tuple[Need, str]:
        """Return whether the script needs a path that is in `node`, and under which condition.

        That is empty where it is needed in any case. `by_name` if only names of variables say so.
        """
        self._conditions.clear()
        text = text_of(node) if node.end_byte - node.start_byte < _LONGEST_TEXT else ""
        word, above = node, self.values.parents.get(node.id)
        while above is not None and above.type in ("string", "concatenation"):
            word, above = above, self.values.parents.get(above.id)
        if above is not None and above.type == "array" and word.prev_sibling is not None:
            text = f"{text_of(word.prev_sibling)} {text}"
        option = _OPTION_BEFORE.search(text.partition(path)[0])
        if option is not None and (said := need_of_name(option[0])) != "needed":
            return said, ""  # one of several options in a text
        found: set[Need] = set()
        names: set[str] = set()
        seen: set[str] = set()
        self._follow(node, found, names, seen)
        if option is not None and not found and any(map(self._is_run, seen)):
            return "needed", ""
        if found or not by_name:
            return strongest(found), min(self._conditions, default="")
        return strongest({need_of_name(n) for n in names}), ""

    def is_tried(self, redirect: Node) -> bool:
        """Return whether a here-document's command may fail: another way follows, or a test is before it."""
        kinds = [c.type for c in redirect.children]
        other = "||" in kinds and not _ends(redirect.children[kinds.index("||") + 1])
        return other or self._or_optional(redirect) == "optional"

    def foreign_words(self, command: Node) -> Collection[int]:
        """Return the ids of a command's words that name nothing of this machine."""
        if command.id not in self._foreign:
            self._foreign[command.id] = foreign_words(command, self._elsewhere)
        return self._foreign[command.id]

    @cached_property
    def _elsewhere(self) -> dict[str, str]:
        return names_for_elsewhere(self.values.nodes)

    @cached_property
    def _uses(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = defaultdict(list)
        for node in self.values.nodes:
            if node.type in ("simple_expansion", "expansion"):
                for child in node.children:
                    if child.type in ("variable_name", "subscript"):
                        name = text_of(child).partition("[")[0]
                        found[name].append(node)
        return found

    @cached_property
    def _replaced(self) -> dict[int, int]:
        """Where a variable that is set gets another value in any case."""
        last: dict[str, Node] = {}
        found: dict[int, int] = {}
        children = self.values.root.children
        for node in (n for c in children for n in (c.children if c.type == "declaration_command" else (c,))):
            if node.type == "variable_assignment":
                name, mark, value = text_of(node).partition("=")
                if mark and name in last and not re.search(rf"\$\{{?{re.escape(name)}\b", value):
                    found[last[name].id] = node.start_byte
                last[name] = node
        return found

    def _is_run(self, name: str) -> bool:
        """Return whether a command gets a variable in any case, and not only to print it."""
        return any(self._runs(use) for use in self._uses.get(name, [])[:_MOST_USES])

    def _runs(self, use: Node) -> bool:
        above: Node | None = use
        command = None
        while above is not None and above.type not in ("if_statement", "case_statement"):
            command = above if above.type == "command" else command
            above = self.values.parents.get(above.id)
        return above is None and command is not None and not (command.text or b"").startswith((b"echo", b"printf"))

    def _follow(self, node: Node, found: set[Need], names: set[str], seen: set[str]) -> None:
        parent = self.values.parents.get(node.id)
        while parent is not None and parent.type in _WITHIN_A_WORD:
            node, parent = parent, self.values.parents.get(parent.id)
            if node.type == "expansion" and any(c.type == ":=" for c in node.children):
                names.add(name := text_of(node.children[1]))
                self._follow_name(name, None, found, names, seen)
        if parent is None:
            return
        if parent.type == "variable_assignment":
            name = text_of(parent).partition("=")[0].rstrip("+")
            names |= {name} if node.type != "array" else set()
            self._follow_name(name, self._replaced.get(parent.id), found, names, seen)
        elif parent.type == "file_redirect":
            reads = any(c.type == "<" for c in parent.children)
            found.add(self._or_optional(parent) if reads else "created")
        elif parent.type == "command_name":
            found.add(self._or_optional(parent))
        elif parent.type in ("unary_expression", "test_command", "binary_expression", "negated_command"):
            found |= self._tested(parent)
        elif parent.type == "command":
            found.add("unknown") if node.id in self.foreign_words(parent) else self._in_command(
                parent, node, found, names
            )

    def _follow_name(self, name: str, end: int | None, found: set[Need], names: set[str], seen: set[str]) -> None:
        """Follow the uses of a variable before `end`, where it gets another value."""
        if name not in seen:
            seen.add(name)
            uses = [u for u in self._uses.get(name, [])[:_MOST_USES] if end is None or u.start_byte < end]
            found |= {"optional"} if end is not None and not uses else set()
            for use in uses:
                self._follow(use, found, names, seen)

    def _command(self, node: Node) -> _Command:
        if node.id not in self._commands:
            words = [c for c in node.children if c.type != "variable_assignment" and "redirect" not in c.type]
            texts: list[str] = []
            positions: dict[int, int] = {}
            for word in words:
                inner = word.children[0] if word.type == "command_name" else word
                value = self.values.value(inner) if "$" in text_of(inner) else None
                whole = value is None or inner.type != "simple_expansion"
                text = text_of(inner).strip("\"'") if value is None else value[0]
                texts += [text] if whole else text.split()
                if whole or " " not in text:
                    positions[word.id] = len(texts) - 1
            first = first_program([t.rpartition("/")[2] for t in texts])
            arguments = [i for i, t in enumerate(texts) if i > first and not t.startswith("-")]
            self._commands[node.id] = _Command(texts, positions, first, arguments, self._or_optional(node))
        return self._commands[node.id]

    def _in_command(self, node: Node, word: Node, found: set[Need], names: set[str]) -> None:
        """Take what a command says about one of its words."""
        command = self._command(node)
        texts, first, arguments = command.texts, command.first, command.arguments
        position = command.positions.get(word.id)
        if position is None:
            return
        text = text_of(word).strip("\"'")
        launcher = position < first and texts[0] in LAUNCHING
        program = texts[0 if launcher else first].rpartition("/")[2] if first < len(texts) else ""
        before = texts[position - 1] if position else ""
        option = (_KEY if RUNNING.fullmatch(program) or SCRIPT.search(program) else _OPTION).match(text)
        if program in ("test", "[") or texts[:2] == ["command", "-v"]:
            found |= self._tested(node)
        elif position == first or program in ENTERING or is_started(program, texts, arguments, position):
            found.add(command.need)
        elif program in CREATING or is_made(texts[first:position]):
            found.add("created")
        elif program in LOOKING:
            found |= {command.need} - {"needed"}
        elif program in COPYING:
            fetched = any(":" in texts[i] for i in arguments if i < position)
            found.add("created" if fetched or arguments[-1:] == [position] else command.need)
        elif option is not None or (before.startswith("-") and "=" not in before):
            name = option[1] if option is not None else before
            names.add(name)
            said = need_of_name(name)
            if said == "needed" or (said == "created" and not _BELOW_A_VALUE.match(text)):
                found.add(command.need if said == "needed" else said)
        elif program in READING:
            found.add(command.need)

    def _or_optional(self, node: Node) -> Need:
        """Return `needed`; `optional` for a command that is only tried: a test is before it, or another way follows."""
        child, parent = node, self.values.parents.get(node.id)
        while parent is not None and parent.type not in ("program", "function_definition"):
            if parent.type == "redirected_statement" and re.search(rb"(?:2|&)>\s*/dev/null", parent.text or b""):
                return "optional"
            if parent.type == "list" and len(parent.children) > 2:
                left, operator, right = parent.children[0], parent.children[1].type, parent.children[2]
                if child.id == left.id and operator == "||" and not _ends(right):
                    return "optional"
                if child.id == right.id and operator == "&&" and _is_test(left):
                    return "optional"
            if parent.type in ("if_statement", "elif_clause", "while_statement"):
                then = next((c for c in parent.children if c.type in ("then", "do_group")), None)
                if then is not None and child.start_byte < then.start_byte:
                    return "optional"
            child, parent = parent, self.values.parents.get(parent.id)
        branch = self.branches.of(node)
        self._conditions |= {branch.condition} if branch.taken else set()
        return "needed" if branch.taken else "unknown"

    def _tested(self, node: Node) -> set[Need]:
        """Return what a test says: a script that ends where the path is missing needs it.

        One for a text, as `[ -z "$MODEL" ]`, says nothing.
        """
        if _FOR_A_TEXT.match(text_of(node)) is not None:
            return set()
        child, parent = node, self.values.parents.get(node.id)
        negated = False
        while parent is not None and parent.type not in ("list", "if_statement", "while_statement"):
            test = parent.type in ("test_command", "unary_expression") and b"!" in (parent.text or b"")[:6]
            negated = negated or test or parent.type == "negated_command"
            child, parent = parent, self.values.parents.get(parent.id)
        if parent is None:
            return {"optional"}
        if parent.type == "list" and len(parent.children) > 2 and not negated:
            left = child.id == parent.children[0].id
            return (
                {"needed"} if left and parent.children[1].type == "||" and _ends(parent.children[2]) else {"optional"}
            )
        ended = parent.type == "if_statement" and negated and any(map(_ends, parent.children))
        return {"needed"} if ended else {"optional"}


def _ends(node: Node) -> bool:
    text = text_of(node)
    if node.type in ("compound_statement", "subshell"):
        return any(map(_ends, node.children))
    return _ENDING.match(text) is not None


def _is_test(node: Node) -> bool:
    text = (node.text or b"").lstrip()
    return text.startswith((b"[", b"test ", b"command -v", b"which ", b"type ", b"hash "))
