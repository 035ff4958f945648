"""Constant folding of path expressions: `Path("/home") / "a"`, `os.path.join("/home/a", "b")`."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from dataclasses import dataclass

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


def fold(node: ast.expr, depth: int = 0) -> Folded | None:
    """Return the value of a constant path expression; None if it is not one."""
    if depth > DEEPEST:
        return None
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return Folded(text=node.value, value_type="str")
        if isinstance(node.value, bytes):
            return Folded(text=node.value.decode("utf-8", "replace"), value_type="bytes")
        return None
    if isinstance(node, ast.BinOp):
        return _operation(node, depth)
    return _call(node, depth) if isinstance(node, ast.Call) else None


def widest_constant(node: ast.expr, parents: Mapping[ast.AST, ast.AST]) -> tuple[ast.expr, Folded]:
    """Return the widest constant expression around a text constant, and its value."""
    folded = fold(node)
    assert folded is not None  # a text constant is its own value
    for _ in range(DEEPEST):
        above = parents.get(node)
        if isinstance(above, ast.Attribute):  # the method of a path, if it is called
            above = parents.get(above)
        found = fold(above) if isinstance(above, (ast.BinOp, ast.Call)) else None
        if found is None or not isinstance(above, ast.expr):
            break
        node, folded = above, found
    return node, folded


def _operation(node: ast.BinOp, depth: int) -> Folded | None:
    if not isinstance(node.op, (ast.Add, ast.Div)):
        return None
    right = fold(node.right, depth + 1)
    left = fold(node.left, depth + 1) if right is not None else None
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Add) and left.value_type == right.value_type != "Path":
        return Folded(text=left.text + right.text, value_type=left.value_type)
    if isinstance(node.op, ast.Div) and left.value_type == "Path" and right.value_type != "bytes":
        return Folded(text=os.path.join(left.text, right.text), value_type="Path")
    return None


def _call(node: ast.Call, depth: int) -> Folded | None:
    name = called_name(node.func)
    if node.keywords:
        return None
    parts = [fold(argument, depth + 1) for argument in node.args]
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
    return _method(node.func, name, texts, depth)


def _method(function: ast.Attribute, name: str, texts: list[str], depth: int) -> Folded | None:
    inner = fold(function.value, depth + 1)
    if inner is None or inner.value_type != "Path":
        return None
    if name == "joinpath":
        return Folded(text=os.path.join(inner.text, *texts), value_type="Path")
    return Folded(text=inner.text, value_type="str") if name == "as_posix" and not texts else None
