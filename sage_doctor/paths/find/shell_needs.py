"""Whether a shell script needs a path to exist: the path is followed through variables to the commands that use it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Need
from sage_doctor.paths.find.shell_branches import ShellBranches, is_test
from sage_doctor.paths.find.shell_command import ShellCommand, command_of
from sage_doctor.paths.find.shell_elsewhere import foreign_words, names_for_elsewhere
from sage_doctor.paths.find.shell_options import ShellOptions
from sage_doctor.paths.find.shell_values import ScriptLine, ShellValues, text_of
from sage_doctor.paths.find.words import need_of_name, strongest

if TYPE_CHECKING:
    from tree_sitter import Node

_MOST_USES = 200
_LONGEST_TEXT = 4096
_WITHIN_A_WORD = frozenset({"array", "string", "concatenation", "expansion", "string_content", "simple_expansion"})
_OPTION_BEFORE = re.compile(r"(?<!\S)--?[\w-]+(?=(?:=|\s+)[\"']?\Z)")
_ELEMENT = re.compile(r"\[(\d+)\]")
_FOR_A_TEXT = re.compile(r"(?:\[+ |test )?\s*(?:! )?\s*(?:-[zn]\s|[^\s&|]+\s+[=!]?=\s)")
_ENDING = re.compile(r"\s*(?:exit(?:\s+[1-9\"$]|\s*$)|return\s+[1-9]|die\b|fail\b|abort\b)")


@dataclass
class _Trail:
    """What was met on the way of one path: what its uses say, and the names that it gets."""

    found: set[Need] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)


_NO_LINE = ScriptLine(Path(), 0, Path(), ())


class ShellNeeds:
    """One script; `program` if it is one with all that it reaches. `branches` say what this machine gets to."""

    def __init__(
        self, root: Node, path_map: PathMap, lines: Sequence[ScriptLine] | None = None, *, program: bool = False
    ) -> None:
        self.values = ShellValues(root, path_map.home, lines)
        self.branches = ShellBranches(self.values, path_map, program=program)
        self._options, self._lines = ShellOptions(self.values), lines or ()
        self._conditions: set[str] = set()  # of what was found to be needed
        self._commands: dict[int, tuple[ShellCommand, Need]] = {}
        self._passed: set[int] = set()
        self._tried: dict[int, bool] = {}
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
        trail = _Trail()
        self._follow(node, trail)
        found, names, seen = trail.found, trail.names, trail.seen
        if option is not None and not found and any(map(self._is_run, seen)):
            return "needed", ""
        if found or not by_name:
            return strongest(found), min(self._conditions, default="")
        said = strongest({need_of_name(n) for n in names})
        if said == "needed" and len(self._line(node).chain) > 1 and not any(self._uses.get(n) for n in names):
            name = min(names)  # a setting, for whoever reads it
            return ("needed", f"a program reads ${name}") if self._is_exported(node) else ("unknown", "")
        return said, ""

    def _line(self, node: Node) -> ScriptLine:
        return self._lines[min(node.start_point[0], len(self._lines) - 1)] if self._lines else _NO_LINE

    def _is_exported(self, node: Node) -> bool:
        above: Node | None = node
        while above is not None and above.type != "declaration_command":
            above = self.values.parents.get(above.id)
        return above is not None

    def of_command(self, command: Node) -> tuple[Need, str]:
        """Return whether a command has to succeed, and under which condition it is run."""
        self._conditions.clear()
        return self._or_optional(command), min(self._conditions, default="")

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
                    if child.type in ("variable_name", "subscript", "special_variable_name"):
                        name = text_of(child).partition("[")[0]
                        found[name].append(node)
        return found

    @cached_property
    def _functions(self) -> dict[str, Node]:
        return {text_of(n.children[0]): n for n in self.values.nodes if n.type == "function_definition"}

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

    def _follow(self, node: Node, trail: _Trail) -> None:
        parent, index = self.values.parents.get(node.id), None
        while parent is not None and parent.type in _WITHIN_A_WORD:
            if parent.type == "array":
                index = next(i for i, c in enumerate(parent.named_children) if c.id == node.id)
            node, parent = parent, self.values.parents.get(parent.id)
            if node.type == "expansion" and any(c.type == ":=" for c in node.children):
                trail.names.add(name := text_of(node.children[1]))
                self._follow_name(name, trail)
        if parent is None:
            return
        kind = parent.type
        if kind == "variable_assignment":
            name = text_of(parent).partition("=")[0].rstrip("+")
            trail.names |= {name} if node.type != "array" else set()
            self._follow_name(name, trail, self._replaced.get(parent.id), index)
        elif kind == "for_statement":
            self._follow_name(text_of(parent.children[1]), trail)
        elif kind == "command":
            self._in_command(parent, node, trail)
        elif kind in ("unary_expression", "test_command", "binary_expression", "negated_command"):
            trail.found |= self._tested(parent)
        elif kind in ("file_redirect", "command_name"):
            reads = kind == "command_name" or any(c.type == "<" for c in parent.children)
            trail.found.add(self._or_optional(parent) if reads else "created")

    def _follow_name(self, name: str, trail: _Trail, end: int | None = None, index: int | None = None) -> None:
        """Follow the uses of a variable, or of one element of it, before `end`, where it gets another value."""
        if name in trail.seen:
            return
        trail.seen.add(name)
        uses = [u for u in self._uses.get(name, [])[:_MOST_USES] if end is None or u.start_byte < end]
        asked = [_ELEMENT.search(text_of(u)) for u in uses] if index is not None else []
        others = [m for m in asked if m is not None and m[1] != str(index)]
        if (end is not None and not uses) or (others and len(others) == len(uses)):
            trail.found.add("optional")
            return
        for use in uses:
            self._follow(use, trail)

    def _in_command(self, node: Node, word: Node, trail: _Trail) -> None:
        """Take what a command says about one of its words."""
        if node.id not in self._commands:
            self._commands[node.id] = command_of(node, self.values), self._or_optional(node)
        command, need = self._commands[node.id]
        position = command.positions.get(word.id)
        if word.id in self.foreign_words(node):
            trail.found.add("unknown")
            return
        if position is None:
            return
        function = self._functions.get(command.program)
        if function is not None and position > command.first:
            self._passed_to(function, position - command.first, trail)
            return
        role, name = command.role_of(position, text_of(word).strip("\"'"))
        trail.names |= {name} - {""}
        if role == "tested":
            trail.found |= self._tested(node)
        elif role == "looked at":
            trail.found |= {need} - ({"needed"} if self._options.may_fail(node) else set())
        elif role != "unknown":
            trail.found.add(need if role == "needed" else role)

    def _passed_to(self, function: Node, number: int, trail: _Trail) -> None:
        """Go on with the parameter of a function: `$1`, or all of them."""
        for name in (str(number), "@", "*"):
            for use in self._uses.get(name, [])[:_MOST_USES]:
                if function.start_byte < use.start_byte < function.end_byte and use.id not in self._passed:
                    self._passed.add(use.id)
                    inner = _Trail(found=trail.found, names=trail.names)
                    self._follow(use, inner)
                    self._passed.discard(use.id)

    def _or_optional(self, node: Node) -> Need:
        """Return `needed`; `optional` for a command that is only tried: a test is before it, or another way follows."""
        path: list[Node] = []
        above: Node | None = node
        while above is not None and above.id not in self._tried:
            path.append(above)
            above = self.values.parents.get(above.id)
        tried = above is not None and self._tried[above.id]
        for below in reversed(path):
            parent = self.values.parents.get(below.id)
            own = parent is None or parent.type in ("program", "function_definition")
            tried = self._tried[below.id] = not own and parent is not None and (tried or self._is_tried(below, parent))
        if tried or self._options.ends_script(node) is False:
            return "optional"
        branch = self.branches.of(node)
        self._conditions |= {branch.condition} if branch.taken else set()
        return "needed" if branch.taken else "unknown"

    def _is_tried(self, child: Node, parent: Node) -> bool:
        """Return whether the failure of a part of a statement is passed over."""
        if parent.type == "redirected_statement" and not self._options.ends_script(child):
            return re.search(rb"(?:2|&)>\s*/dev/null", parent.text or b"") is not None
        if parent.type == "list" and len(parent.children) > 2:
            left, operator, right = parent.children[0], parent.children[1].type, parent.children[2]
            if child.id == left.id:
                return operator == "||" and not _ends(right)
            return operator == "&&" and is_test(left) and self.branches.decide(left) is not True
        if parent.type in ("if_statement", "elif_clause", "while_statement"):
            then = next((c for c in parent.children if c.type in ("then", "do_group")), None)
            return then is not None and child.start_byte < then.start_byte
        return parent.type == "negated_command"

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
            return {"optional"} if negated or not self._options.ends_script(node) else {self._or_optional(node)}
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
