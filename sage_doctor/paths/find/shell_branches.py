"""Which branches of a shell script this machine takes, as far as their conditions ask what is known before a run."""

from __future__ import annotations

import platform
import re
from collections import defaultdict
from collections.abc import Collection
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from sage_doctor.paths.find.branches import (
    MACHINE_VARIABLES,
    USER_VARIABLES,
    Branch,
    all_of,
    as_condition,
    nested,
    opposite,
)
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import are_opposite
from sage_doctor.paths.find.shell_values import ShellValues, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

_DESCRIPTOR = re.compile(r"\{\w+\}")  # of `exec {lock}>FILE`, which starts nothing
_DEEPEST = 20
_WRAPPED = frozenset({"test_command", "parenthesized_expression", "redirected_statement", "subshell"})
_BLOCKS = frozenset(
    {"program", "compound_statement", "subshell", "if_statement", "else_clause", "elif_clause", "do_group", "case_item"}
)
_ENDING = frozenset({"exit", "return", "break", "continue"})
_CLAUSES = frozenset({"elif_clause", "else_clause"})
_MOST_CALLS = 200
_LONGEST_WORD = 400
_SIGNS = frozenset({"[", "]", "[[", "]]", "(", ")", ";", "\n"})
_IDENTITY = re.compile(
    r"\b(?:hostname|uname|whoami|HOME|" + "|".join(sorted(MACHINE_VARIABLES | USER_VARIABLES)) + r")\b"
)
_GIVEN = re.compile(
    r"\[\[? (?:(?:(?P<lack>-z)|-n) \"?\$\{?(?P<name>\w+)(?::?-)?\}?\"?"
    r"|\"?\$#\"? (?:(?P<none>-eq 0|-lt \d+)|-\w+ \d+)) \]\]?"
)
_HOSTNAME = re.compile(r"(?:\$\(|`)\s*(?:hostname|uname -n)\b[^/]{0,40}(?:\)|`)")
_DEFAULT = re.compile(r"\$\{\w+:?-[\"']?([\w.-]+)[\"']?\}")
_VARIABLE = re.compile(r"\$\{?(\w+)(?:%%\.\*)?\}?")
_ASKED = {"$(uname)": platform.system(), "$(uname -s)": platform.system(), "$(uname -m)": platform.machine()}


class ShellBranches:
    """The branches of one script."""

    def __init__(self, values: ShellValues, path_map: PathMap, *, program: bool = False) -> None:
        self._values, self._path_map, self._program = values, path_map, program
        self._known: dict[int, Branch] = {}
        self._ends: dict[int, int] = {}
        self._asked: set[int] = set()

    def of(self, node: Node) -> Branch:
        """Return whether this machine gets to a node; where a test for the machine cannot be decided, it does not."""
        path: list[Node] = []
        above: Node | None = node
        while above is not None and above.id not in self._known:
            path.append(above)
            above = self._values.parents.get(above.id)
        branch = self._known[above.id] if above is not None else Branch()
        for below in reversed(path):
            branch = self._known[below.id] = self._within(branch, below)
        return branch

    def _within(self, above: Branch, node: Node) -> Branch:
        parent = self._values.parents.get(node.id)
        if parent is None or not above.taken:
            return above
        if self._program and node.type not in _CLAUSES and node.start_byte > self._end_of(parent):
            return Branch(taken=False)
        if self._program and parent.type == "function_definition" and node.type != "word":
            return self._called(above, parent)
        if parent.type == "case_item" and node.type != "extglob_pattern" and node.id != parent.children[0].id:
            return self._item(above, parent)
        for test, wanted in self._tests(node, parent):
            decided = self.decide(test)
            if decided is None and self._asks_machine(test):
                return Branch(taken=False)
            if decided is None and not self._is_default(test, wanted=wanted):
                said = as_condition(f"{'' if wanted else '! '}{text_of(test)}")
                above = Branch(condition=nested(above.condition, said))
            elif decided is not None and decided is not wanted:
                return Branch(taken=False)
        return above

    def _tests(self, node: Node, parent: Node) -> list[tuple[Node, bool]]:
        """Return the tests that a part of a statement depends on, each with what it has to say."""
        if parent.type in ("if_statement", "elif_clause"):
            children = parent.children
            then = next((c.start_byte for c in children if c.type == "then"), parent.end_byte)
            if node.type in _CLAUSES:
                before = [parent, *(c for c in children if c.type == "elif_clause" and c.start_byte < node.start_byte)]
                return [(test, False) for clause in before if (test := _test_of(clause)) is not None]
            if node.start_byte > then and (test := _test_of(parent)) is not None:
                return [(test, True)]
        elif self._program and parent.type == "list":
            left, operator, right = parent.children[0], parent.children[1], parent.children[-1]
            return [(left, text_of(operator) == "&&")] if node.id == right.id and is_test(left) else []
        return []

    def _end_of(self, block: Node) -> int:
        """Return where a block ends the script, the function or the round of a loop in any case."""
        if block.id not in self._ends:
            ends = (c.start_byte for c in block.children if block.type in _BLOCKS and self._ends_block(c))
            self._ends[block.id] = next(ends, self._values.root.end_byte)
        return self._ends[block.id]

    def _ends_block(self, node: Node, depth: int = 0) -> bool:
        children = node.children
        if depth > _DEEPEST or not children:
            return False
        if node.type == "command":
            name, *words = map(text_of, children)
            return name in _ENDING or (name == "exec" and not all(map(_DESCRIPTOR.fullmatch, words)))
        if node.type == "if_statement":
            test = _test_of(node)
            if test is None or self.decide(test) is not True:
                return False
            children = [c for c in children if c.type not in _CLAUSES]
        elif node.type == "list":
            if self.decide(children[0]) is not (text_of(children[1]) == "&&"):
                return False
            children = children[2:]
        elif node.type == "compound_statement" and text_of(children[1]) == ":":  # a sourced file, which `return` ends
            children = [c for c in children if not text_of(c).startswith("return")]
        elif node.type not in ("compound_statement", "redirected_statement"):
            return False
        return any(self._ends_block(c, depth + 1) for c in children)

    def _called(self, above: Branch, function: Node) -> Branch:
        """Return whether a run calls a function, and under which condition."""
        name = text_of(next((c for c in function.children if c.type == "word"), function))
        found = [n for n in self._words.get(name, ()) if not function.start_byte <= n.start_byte < function.end_byte]
        calls = [n for n in found if self._values.parents[n.id].type == "command_name"] or found
        if function.id in self._asked or len(calls) > _MOST_CALLS:
            return above
        self._asked.add(function.id)
        branches = [self.of(n) for n in calls]
        self._asked.discard(function.id)
        taken = [b for b in branches if b.taken]
        if not taken:
            return Branch(taken=False)
        conditions = [b.condition for b in taken]
        always = any(are_opposite(a, b) for a, b in pairwise(conditions))
        return Branch(condition=nested(above.condition, "" if always else min(conditions, key=bool)))

    @cached_property
    def _words(self) -> dict[str, list[Node]]:
        """The words that may be names of functions: of commands, and what `trap`, `export -f` and others are given."""
        found: dict[str, list[Node]] = defaultdict(list)
        functions = {n.children[0].id for n in self._values.nodes if n.type == "function_definition"}
        for node in self._values.nodes:
            if node.type in ("word", "raw_string", "string_content") and node.id not in functions:
                for name in set(re.findall(r"[\w:.-]+", text_of(node)[:_LONGEST_WORD])):
                    found[name].append(node)
        return found

    def _item(self, above: Branch, item: Node) -> Branch:
        statement = self._values.parents[item.id]
        word = statement.children[1]
        known = self._of(word)
        items = [c for c in statement.children if c.type == "case_item"]
        patterns = {
            i.id: [text_of(c).strip("\"'") for n, c in enumerate(i.children) if i.field_name_for_child(n) == "value"]
            for i in items
        }
        if known:
            chosen = next((i for i in items if any(fnmatchcase(k, p) for k in known for p in patterns[i.id])), None)
            return above if chosen is not None and chosen.id == item.id else Branch(taken=False)
        if self._asks_machine(word):
            return Branch(taken=False)
        if any(fnmatchcase(self._default(word), p) for p in patterns[item.id] if p != "*"):
            return above
        said = as_condition(f"{text_of(word)} is {' or '.join(patterns[item.id])}")
        return Branch(condition=nested(above.condition, said))

    def _asks_machine(self, test: Node, depth: int = 0) -> bool:
        """Whether a condition asks for the machine: itself, or by a variable that holds its name, or by a home."""
        text = text_of(test)
        if _IDENTITY.search(text):
            return True
        names = [m[1] for m in _VARIABLE.finditer(text)]
        held = [self._values.assigned(n) for n in names if depth < _DEEPEST]
        if any(
            value is not None and "/" not in text_of(value) and self._asks_machine(value, _DEEPEST) for value in held
        ):
            return True
        return text.lstrip().startswith(("[", "test ", "!")) and self._path_map.pattern.search(text) is not None

    def _default(self, word: Node) -> str:
        """Return what a word is where nothing is given: `${1:-latent}`, also by a variable."""
        text = text_of(word).strip("\"'")
        name = _VARIABLE.fullmatch(text)
        held = self._values.assigned(name[1]) if name is not None else None
        default = _DEFAULT.fullmatch(text_of(held).strip("\"'") if held is not None else text)
        return default[1] if default is not None else ""

    def _is_default(self, test: Node, *, wanted: bool) -> bool:
        """Whether a branch is for what is not given: `[ -z "$1" ]`, `[ -z "$MODEL" ]`, `[ $# -eq 0 ]`."""
        match = _GIVEN.fullmatch(text_of(test).strip())
        if match is None:
            return False
        lacks = match["lack"] is not None or match["none"] is not None
        return lacks is wanted and not self._values.is_set(match["name"] or "")

    def decide(self, node: Node, depth: int = 0) -> bool | None:
        """Return what a condition says on this machine; None if only a run knows."""
        children = [c for c in node.children if c.type not in _SIGNS]
        if depth > _DEEPEST or not children:
            return None
        if node.type in _WRAPPED:
            return self.decide(children[0], depth + 1)
        operator = text_of(children[len(children) > 2])
        if node.type == "negated_command" or (node.type == "unary_expression" and operator == "!"):
            return opposite(self.decide(children[-1], depth + 1))
        if node.type in ("list", "binary_expression") and operator in ("&&", "||"):
            parts = [self.decide(c, depth + 1) for c in (children[0], children[-1])]
            return all_of(parts) if operator == "&&" else opposite(all_of(map(opposite, parts)))
        if node.type == "unary_expression" and len(children) == 2:
            return self._exists(operator, children[1])
        if node.type == "binary_expression" and len(children) == 3:
            return self._same(*children)
        if node.type == "command":
            return self._command(children)
        return None

    def _command(self, words: list[Node]) -> bool | None:
        program = text_of(words[0])
        if program in ("true", ":", "false"):
            return program != "false"
        negated = program == "test" and len(words) > 2 and text_of(words[1]) == "!"
        asked = words[1 + negated :] if program == "test" else []
        decided = self._exists(text_of(asked[0]), asked[1]) if len(asked) == 2 else None
        decided = self._same(*asked) if len(asked) == 3 else decided
        return opposite(decided) if negated else decided

    def _exists(self, operator: str, word: Node) -> bool | None:
        if operator in ("-n", "-z"):
            names = [self._values.assigned(m) for m in re.findall(r"\$\{?(\w+)", text_of(word))]
            before = all(n is not None and n.start_byte < word.start_byte for n in names)
            known = self._values.value(word) if before else None
            return None if known is None or known[1] == "default" else bool(known[0]) is (operator == "-n")
        if operator not in ("-d", "-e", "-f", "-r", "-s", "-x", "-L", "-h"):
            return None
        value = self._values.value(word)
        return self._path_map.is_here(value[0]) if value is not None and value[0].startswith("/") else None

    def _same(self, left: Node, operator: Node, right: Node) -> bool | None:
        if text_of(operator) not in ("=", "==", "!="):
            return None
        known, pattern = self._of(left), text_of(right).strip("\"'")
        if not known or "$" in pattern or "`" in pattern:
            return None
        return any(fnmatchcase(k, pattern) for k in known) is (text_of(operator) != "!=")

    def _of(self, node: Node, depth: int = 0) -> Collection[str]:
        """Return the texts that a word has on this machine, of which one is enough; none if it is not known."""
        text = text_of(node).strip("\"'")
        if _HOSTNAME.fullmatch(text):
            return self._path_map.own_names
        if text in ("$(whoami)", "$(id -un)"):
            return {self._path_map.home.name}
        if text in _ASKED:
            return {_ASKED[text]}
        name = _VARIABLE.fullmatch(text)
        if name is None:
            return {text} if text and not re.search(r"[$`]", text) else ()
        if (assigned := self._values.assigned(name[1])) is not None:
            return self._of(assigned, depth + 1) if depth < _DEEPEST else ()
        if self._values.is_set(name[1]):
            return ()
        if name[1] in MACHINE_VARIABLES:
            return self._path_map.own_names
        return {self._path_map.home.name} if name[1] in USER_VARIABLES else ()


def is_test(node: Node) -> bool:
    """Whether a command asks for something, and is run for its status alone."""
    text = (node.text or b"").lstrip()
    return text.startswith((b"[", b"test ", b"command -v", b"which ", b"type ", b"hash "))


def _test_of(clause: Node) -> Node | None:
    """Return the condition of `if` or `elif`, None where it is more than one statement."""
    found = []
    for child in clause.children[1:]:
        if child.type == "then":
            break
        found += [child] if child.type not in _SIGNS else []
    return found[0] if len(found) == 1 else None
