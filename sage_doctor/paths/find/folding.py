"""Constant folding of path expressions: `Path("/home") / "a"`, `os.path.join("/home/a", "b")`."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sage_doctor.paths.find.reference import ValueType

DEEPEST = 40
_PATHS = frozenset({"Path", "PurePath", "PosixPath", "PurePosixPath"})
# Calls that leave a path as it is: a link that `resolve` would follow must still be followed afterwards.
_IDENTITY_CALLS = frozenset({"str", "fspath"})


@dataclass(frozen=True, kw_only=True)
class Folded:
    """The value of a path expression, and the type it has in Python."""

    text: str
    value_type: ValueType


def called_name(node: ast.expr) -> str:
    """Return the last name of what is called: `join` of `os.path.join`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class Folding:
    """The constant expressions of one module, each folded once. `nodes` has every node behind its parent."""

    def __init__(self, nodes: Sequence[ast.AST], parents: Mapping[ast.AST, ast.AST]) -> None:
        self._nodes, self._parents = nodes, parents
        self._folded: dict[ast.AST, Folded | None] = {}

    def widest(self, node: ast.expr) -> tuple[ast.expr, Folded]:
        """Return the widest constant expression around a text constant, and its value."""
        folded = self._fold(node)
        assert folded is not None  # a text constant is its own value
        for _ in range(DEEPEST):
            above = self._parents.get(node)
            if isinstance(above, ast.Attribute):  # the method of a path, if it is called
                above = self._parents.get(above)
            found = self._fold(above) if isinstance(above, (ast.BinOp, ast.Call)) else None
            if found is None or not isinstance(above, ast.expr):
                break
            node, folded = above, found
        return node, folded

    @cached_property
    def _too_deep(self) -> frozenset[ast.AST]:
        """Expressions with more levels than are followed; a call of a method has two."""
        heights: dict[ast.AST, int] = {}
        for node in reversed(self._nodes):
            above = self._parents.get(node)
            if above is not None:
                heights[above] = max(heights.get(above, 0), heights.get(node, 0) + 1)
        return frozenset(node for node, height in heights.items() if height > 2 * DEEPEST)

    def _fold(self, node: ast.expr) -> Folded | None:
        """Return the value of a constant path expression; None if it is not one."""
        if node not in self._folded:
            self._folded[node] = None if node in self._too_deep else self._value(node)
        return self._folded[node]

    def _value(self, node: ast.expr) -> Folded | None:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                return Folded(text=node.value, value_type="str")
            if isinstance(node.value, bytes):
                return Folded(text=node.value.decode("utf-8", "replace"), value_type="bytes")
            return None
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        return self._call(node) if isinstance(node, ast.Call) else None

    def _operation(self, node: ast.BinOp) -> Folded | None:
        if not isinstance(node.op, (ast.Add, ast.Div)):
            return None
        right = self._fold(node.right)
        left = self._fold(node.left) if right is not None else None
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Add) and left.value_type == right.value_type != "Path":
            return Folded(text=left.text + right.text, value_type=left.value_type)
        if isinstance(node.op, ast.Div) and left.value_type == "Path" and right.value_type != "bytes":
            return Folded(text=os.path.join(left.text, right.text), value_type="Path")
        return None

    def _call(self, node: ast.Call) -> Folded | None:
        name = called_name(node.func)
        if node.keywords:
            return None
        parts = [self._fold(argument) for argument in node.args]
        texts = [p.text for p in parts if p is not None and p.value_type != "bytes"]
        if len(texts) != len(node.args):
            return None
        if texts and name in _PATHS:
            return Folded(text=os.path.join(*texts), value_type="Path")
        if not isinstance(node.func, ast.Attribute):
            return Folded(text=texts[0], value_type="str") if len(texts) == 1 and name in _IDENTITY_CALLS else None
        if isinstance(node.func.value, (ast.Name, ast.Attribute)) and texts:
            if name == "join":
                return Folded(text=os.path.join(*texts), value_type="str")
            return Folded(text=texts[0], value_type="str") if len(texts) == 1 and name in _IDENTITY_CALLS else None
        return self._method(node.func, name, texts)

    def _method(self, function: ast.Attribute, name: str, texts: list[str]) -> Folded | None:
        inner = self._fold(function.value)
        if inner is None or inner.value_type != "Path":
            return None
        if name == "joinpath":
            return Folded(text=os.path.join(inner.text, *texts), value_type="Path")
        return Folded(text=inner.text, value_type="str") if name == "as_posix" and not texts else None
