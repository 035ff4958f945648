"""One parsed Python file: what is assigned, called and declared in it, and where its imports lead in the project."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

Function = ast.FunctionDef | ast.AsyncFunctionDef
# What has no place of its own in a text, and is shared by all trees.
_BARE: Final = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def called_name(node: ast.expr) -> str:
    """Return the last name of what is called: `join` of `os.path.join`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@dataclass(eq=False)
class Source:
    """One parsed file. `imports` gives local name → (the project's file, the name in it or None for the module)."""

    path: Path
    tree: ast.Module
    imports: dict[str, tuple[Path, str | None]] = field(default_factory=dict)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Every node but the module, with its parent."""
        found: dict[ast.AST, ast.AST] = {}
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            for child in ast.iter_child_nodes(node):
                if not isinstance(child, _BARE):
                    found[child] = node
                    waiting.append(child)
        return found

    def above(self, node: ast.AST, kind: type | tuple[type, ...]) -> ast.AST | None:
        """Return the nearest node of that kind that a node is in."""
        found = self.parents.get(node)
        while found is not None and not isinstance(found, kind):
            found = self.parents.get(found)
        return found

    @cached_property
    def assigned(self) -> dict[tuple[ast.AST | None, str], list[ast.expr]]:
        """(function, class or None for the module; name) → what is assigned; for `self.x` the name is `.x`."""
        found: dict[tuple[ast.AST | None, str], list[ast.expr]] = defaultdict(list)
        for node in self.parents:
            for target, value in _bindings(node):
                if isinstance(target, ast.Name):
                    scope = self.above(node, (*SCOPES, ast.ClassDef))
                    found[scope, target.id].append(value)
                elif isinstance(target, ast.Attribute) and called_name(target.value) in ("self", "cls"):
                    found[self.above(node, ast.ClassDef), f".{target.attr}"].append(value)
        return found

    @cached_property
    def options(self) -> dict[str, list[ast.Call]]:
        """The name of each option's value → its calls of `add_argument` and the like."""
        found: dict[str, list[ast.Call]] = defaultdict(list)
        for node in self.parents:
            if isinstance(node, ast.Call) and called_name(node.func) in ("add_argument", "option"):
                words = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                named = keyword(node, "dest")
                long = [w for w in words if w.startswith("--")] or words
                if isinstance(named, ast.Constant):
                    found[str(named.value)].append(node)
                elif long:
                    found[long[0].lstrip("-").replace("-", "_")].append(node)
        return found

    @cached_property
    def calls(self) -> dict[str, list[ast.Call]]:
        """The calls by the last name of what is called."""
        found: dict[str, list[ast.Call]] = defaultdict(list)
        for node in self.parents:
            if isinstance(node, ast.Call):
                found[called_name(node.func)].append(node)
        return found

    def defined(self, name: str) -> Function | ast.ClassDef | None:
        """Return the function or class of that name at the top level."""
        for node in self.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name:
                return node
        return None


def _bindings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield target, node.value
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from zip(target.elts, node.value.elts, strict=False)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, ast.For) and isinstance(node.iter, (ast.List, ast.Tuple)):
        yield from ((node.target, value) for value in node.iter.elts)
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        yield from ((i.optional_vars, i.context_expr) for i in node.items if i.optional_vars is not None)


def keyword(call: ast.Call, *names: str) -> ast.expr | None:
    """Return the value of the first of these keywords that a call has."""
    return next((k.value for n in names for k in call.keywords if k.arg == n), None)


def in_main_guard(node: ast.AST, source: Source) -> bool:
    """Whether a node is below `if __name__ == "__main__":`, which an import does not run."""
    above = source.parents.get(node)
    while above is not None:
        if isinstance(above, ast.If) and is_main_guard(above):
            return True
        above = source.parents.get(above)
    return False


def is_main_guard(node: ast.AST) -> bool:
    """Whether a statement is `if __name__ == "__main__":`."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    sides = [node.test.left, *node.test.comparators]
    return any(isinstance(s, ast.Name) and s.id == "__name__" for s in sides)
