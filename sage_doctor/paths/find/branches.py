"""Which branches of a Python program this machine takes, as far as their tests ask what is known before a run."""

from __future__ import annotations

import ast
import os
import platform
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from sage_doctor.paths.find.folding import Folding, called_name, defaults_of
from sage_doctor.paths.find.path_map import PathMap

_DEEPEST = 20
_LONGEST_CONDITION = 80
EXISTENCE = frozenset({"exists", "is_dir", "is_file", "isdir", "isfile"})
MACHINE_VARIABLES = frozenset({"HOSTNAME", "SAGE_MACHINE", "MACHINE", "HOST", "COMPUTERNAME"})
USER_VARIABLES = frozenset({"USER", "LOGNAME"})
_HOSTNAMES = ("gethostname()", "getfqdn()", "node()", "nodename()")
_IDENTITIES = frozenset({"hostname", "uname", "platform"})
_SAME_NAME = frozenset({"lower", "strip", "split", "partition"})
_PLATFORM = {
    "sys.platform": sys.platform,
    "os.name": os.name,
    "platform.system": platform.system(),
    "platform.machine": platform.machine(),
}


@dataclass(frozen=True)
class Branch:
    """Whether this machine takes a branch; `condition` is what only a run decides, empty where nothing does."""

    taken: bool = True
    condition: str = ""


def as_condition(text: str) -> str:
    """Return the text of a condition in one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_CONDITION else f"{line[: _LONGEST_CONDITION - 1]}…"


def nested(above: str, condition: str) -> str:
    """Return the condition of what lies in a branch that is itself in another one."""
    return as_condition(f"{above}, and {condition}") if above and condition else above or condition


def _in_words(test: ast.expr, *, wanted: bool) -> str:
    if not wanted and isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return as_condition(ast.unparse(test.operand))
    return as_condition(ast.unparse(test if wanted else ast.UnaryOp(op=ast.Not(), operand=test)))


def all_of(parts: Iterable[bool | None]) -> bool | None:
    """Return whether all are true: None if that depends on one that is not known."""
    known = list(parts)
    return False if False in known else None if None in known else True


def opposite(value: bool | None) -> bool | None:
    """Return the opposite of what is known."""
    return None if value is None else not value


class PythonTests:
    """The tests of one module: by existence, by the machine's name and user, by the platform."""

    def __init__(self, folding: Folding, path_map: PathMap, *, main: bool = True) -> None:
        self._folding, self._path_map, self._main = folding, path_map, main
        self._branches: dict[tuple[ast.expr, bool], Branch] = {}
        user = frozenset({path_map.home.name})
        self._facts: dict[str, frozenset[str]] = {name: frozenset({value}) for name, value in _PLATFORM.items()}
        self._facts |= dict.fromkeys(_HOSTNAMES, path_map.own_names) | dict.fromkeys(("getuser()", "getlogin()"), user)
        self._variables = dict.fromkeys(MACHINE_VARIABLES, path_map.own_names) | dict.fromkeys(USER_VARIABLES, user)

    def branch(self, node: ast.AST, parent: ast.AST) -> Branch:
        """Return whether this machine takes the branch of its parent that a node is.

        It does not where a test asks for the machine and cannot be decided.
        """
        if isinstance(parent, ast.match_case) and isinstance(node, ast.stmt):
            subject = getattr(self._folding.parents[parent], "subject", parent.pattern)
            return Branch(condition=as_condition(f"{ast.unparse(subject)} is {ast.unparse(parent.pattern)}"))
        if isinstance(parent, ast.While) and isinstance(node, ast.stmt):
            return Branch(taken=node in parent.orelse or self.decide(parent.test) is not False)
        if isinstance(parent, ast.BoolOp) and node is parent.values[1] and isinstance(parent.op, ast.And):
            return self._if(parent.values[0], wanted=True)
        if not isinstance(parent, (ast.If, ast.IfExp)) or node is parent.test:
            return Branch()
        return self._if(
            parent.test, wanted=node is parent.body if isinstance(parent, ast.IfExp) else node in parent.body
        )

    def _if(self, test: ast.expr, *, wanted: bool) -> Branch:
        key = (test, wanted)
        if key not in self._branches:
            decided = self.decide(test)
            taken = decided is wanted if decided is not None else not self._asks_machine(test)
            certain = decided is not None or self.is_default(test, wanted=wanted)
            self._branches[key] = Branch(taken, "" if certain else _in_words(test, wanted=wanted))
        return self._branches[key]

    def _asks_machine(self, test: ast.expr, *, deep: bool = True) -> bool:
        """Whether a test asks which machine this is: by its name or user, also one that is kept, or by a home."""
        for node in ast.walk(test):
            if isinstance(node, (ast.Name, ast.Attribute)):
                kept = self._folding.bound(node.id) if isinstance(node, ast.Name) and deep else None
                named = f"{called_name(node)}()" in self._facts or called_name(node) in _IDENTITIES
                if named or (kept is not None and self._asks_machine(kept, deep=False)):
                    return True
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                known = node.value in self._variables or node.value in ("HOME", *self._path_map.machine_names)
                if known or self._path_map.pattern.match(node.value) is not None:
                    return True
        return False

    def decide(self, test: ast.expr, depth: int = 0) -> bool | None:
        """Return what a test says on this machine; None if only a run knows."""
        if depth > _DEEPEST:
            return None
        if isinstance(test, ast.Constant):
            return bool(test.value)
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return opposite(self.decide(test.operand, depth + 1))
        if isinstance(test, ast.BoolOp):
            parts = [self.decide(v, depth + 1) for v in test.values]
            return all_of(parts) if isinstance(test.op, ast.And) else opposite(all_of(map(opposite, parts)))
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            return self._compared(test.left, test.ops[0], test.comparators[0], depth)
        if isinstance(test, ast.Call):
            return self._called(test, depth)
        if isinstance(test, ast.Name):
            value = self._folding.bound(test.id)
            return False if test.id == "TYPE_CHECKING" else self.decide(value, depth + 1) if value is not None else None
        return None

    def is_default(self, test: ast.expr, *, wanted: bool) -> bool:
        """Whether a branch is for what is not given: a parameter, an option, a variable of the environment."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self.is_default(test.operand, wanted=not wanted)
        if isinstance(test, ast.Compare) and isinstance(test.ops[0], (ast.Is, ast.IsNot)):
            nothing = isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value is None
            return nothing and isinstance(test.ops[0], ast.Is) is wanted and self._may_lack(test.left)
        return not wanted and self._may_lack(test)

    def _may_lack(self, node: ast.expr) -> bool:
        """Whether nobody has to give a value."""
        if isinstance(node, ast.Name) and node.id in self._optional:
            return True
        node = (self._folding.bound(node.id) or node) if isinstance(node, ast.Name) else node
        if isinstance(node, ast.Attribute):
            return node.attr in self._optional
        return isinstance(node, ast.Call) and called_name(node.func) in ("get", "getenv") and len(node.args) == 1

    @cached_property
    def _optional(self) -> frozenset[str]:
        """The names of parameters and options without a value of their own."""
        found: set[str] = set()
        for node in self._folding.nodes:
            if isinstance(node, ast.arguments):
                found |= {name for name, default in defaults_of(node) if _is_empty(default)}
            elif isinstance(node, ast.Call) and called_name(node.func) == "add_argument":
                given = {k.arg: k.value for k in node.keywords}
                default = given.get("default")
                action = given.get("action", ast.Constant("store"))
                stores = isinstance(action, ast.Constant) and action.value in ("store", "append", "extend")
                if stores and "required" not in given and (default is None or _is_empty(default)):
                    words = [str(a.value) for a in node.args if isinstance(a, ast.Constant)]
                    found |= {w.lstrip("-").replace("-", "_") for w in words if w.startswith("-")}
        return frozenset(found)

    def _called(self, call: ast.Call, depth: int) -> bool | None:
        name = called_name(call.func)
        if name in EXISTENCE:
            asked = call.args[0] if call.args else call.func.value if isinstance(call.func, ast.Attribute) else None
            path = self._folding.fold(asked) if asked is not None else None
            return self._path_map.is_here(path.text) if path is not None and path.text.startswith("/") else None
        if name == "startswith" and isinstance(call.func, ast.Attribute) and call.args:
            known, start = self._values(call.func.value, depth), self._values(call.args[0], depth)
            return any(k.startswith(s) for k in known for s in start) if known and start else None
        return None

    def _compared(self, left: ast.expr, operator: ast.cmpop, right: ast.expr, depth: int) -> bool | None:
        one = self._values(left, depth)
        several = isinstance(operator, (ast.In, ast.NotIn)) and isinstance(right, (ast.Tuple, ast.List, ast.Set))
        each = [self._values(e, depth) for e in getattr(right, "elts", [])] if several else [self._values(right, depth)]
        if not one or not all(each):
            return None
        others = {o for values in each for o in values}
        if isinstance(operator, (ast.Eq, ast.NotEq)) or several:
            same = bool(set(one) & others)
        elif isinstance(operator, (ast.In, ast.NotIn)):
            same = any(a in b for a in one for b in others)
        else:
            return None
        return not same if isinstance(operator, (ast.NotEq, ast.NotIn)) else same

    def _values(self, node: ast.expr, depth: int) -> Collection[str]:
        """Return the texts that an expression has on this machine, of which one is enough; none if it is not known."""
        if depth > _DEEPEST:
            return ()
        if isinstance(node, ast.Name) and node.id == "__name__":
            return {"__main__"} if self._main else {"an imported module"}
        if isinstance(node, ast.Constant):
            return {node.value} if isinstance(node.value, str) else ()
        if isinstance(node, (ast.Call, ast.Attribute)):
            asked = node.func if isinstance(node, ast.Call) else node
            fact = self._facts.get(f"{called_name(asked)}()") or self._facts.get(ast.unparse(asked))
            if fact:
                return fact
            if called_name(asked) in _SAME_NAME and isinstance(asked, ast.Attribute):
                return self._values(asked.value, depth + 1)
        key: ast.expr | None = node.slice if isinstance(node, ast.Subscript) else None
        if isinstance(node, ast.Call) and called_name(node.func) in ("get", "getenv") and node.args:
            key = node.args[0]
        if isinstance(key, ast.Constant) and key.value in self._variables:
            return self._variables[key.value]
        if isinstance(node, ast.Subscript):  # `gethostname().split(".")[0]`
            return self._values(node.value, depth + 1) if isinstance(key, ast.Constant) and key.value == 0 else ()
        value = self._folding.bound(node.id) if isinstance(node, ast.Name) else None
        return self._values(value, depth + 1) if value is not None else ()


def _is_empty(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or node.value == "")
