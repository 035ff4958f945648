"""Constant folding of path expressions: `Path("/home") / "a"`, `os.path.join("/home/a", "b")`, `Path.home() / "a"`."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sage_doctor.paths.find.bindings import bound_once, nodes_and_parents, once_per_module
from sage_doctor.paths.find.reference import ValueType
from sage_doctor.system.frozen import frozen

DEEPEST = 40
Origin = Literal["", "home", "file", "name"]
_PATHS = frozenset({"Path", "PurePath", "PosixPath", "PurePosixPath"})
# Calls that leave a path as it is: a link that `resolve` would follow must still be followed afterwards.
_IDENTITY_CALLS = frozenset({"str", "fspath"})
_ORIGINS: tuple[Origin, ...] = ("home", "file", "name")


@frozen
class Folded:
    """The value of a path expression, and the type it has in Python.

    `computed` says what it comes from if it is not written there as a whole: the user's home, the file's own place, or
    a name.
    """

    text: str
    value_type: ValueType
    computed: Origin = ""


def called_name(node: ast.expr) -> str:
    """Return the last name of what is called: `join` of `os.path.join`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def defaults_of(parameters: ast.arguments) -> list[tuple[str, ast.expr]]:
    """Return the parameters that have a default, with it."""
    positional = [*parameters.posonlyargs, *parameters.args]
    pairs = [*zip(reversed(positional), reversed(parameters.defaults), strict=False)]
    pairs += [(a, d) for a, d in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True) if d is not None]
    return [(a.arg, d) for a, d in pairs]


@once_per_module
def _too_deep(module: ast.Module) -> frozenset[ast.AST]:
    """Return the expressions with more levels than are followed; a call of a method has two."""
    nodes, parents = nodes_and_parents(module)
    heights: dict[ast.AST, int] = {}
    for node in reversed(nodes):
        above = parents.get(node)
        if above is not None:
            heights[above] = max(heights.get(above, 0), heights.get(node, 0) + 1)
    return frozenset(node for node, height in heights.items() if height > 2 * DEEPEST)


class Folding:
    """The constant expressions of one module, each folded once. `nodes` has every node behind its parent.

    `home` is the user's home, and `file` the module's own path.
    """

    def __init__(self, module: ast.Module, home: Path, file: Path | None = None) -> None:
        self.nodes, self.parents = nodes_and_parents(module)
        self._home, self._file = home, file
        self._folded: dict[ast.AST, Folded | None] = {}
        self.module, self._names = module, bound_once(module)
        self.taken: dict[str, tuple[Folding, str]] = {}  # names from other modules
        self.modules: dict[str, Folding] = {}

    def widest(self, node: ast.expr, *, computed: bool = False) -> tuple[ast.expr, Folded]:
        """Return the widest constant expression around one that is, and its value.

        One of texts only goes up to what is `computed`; asked for that, it goes on.
        """
        folded = self.fold(node)
        assert folded is not None  # the caller has asked
        for _ in range(DEEPEST):
            above = self.parents.get(node)
            if isinstance(above, ast.FormattedValue) or (isinstance(above, ast.Attribute) and self.fold(above) is None):
                above = self.parents.get(above)  # an f-string, or what is done with the method of a path
            found = self.fold(above) if isinstance(above, ast.expr) else None
            if found is None or not isinstance(above, ast.expr) or bool(found.computed) is not computed:
                break
            if not computed and not isinstance(above, (ast.BinOp, ast.Call)):
                break
            node, folded = above, found
        return node, folded

    def bound(self, name: str) -> ast.expr | None:
        """Return the value of a name that the module binds once."""
        return self._names.get(name)

    def is_part(self, node: ast.expr) -> bool:
        """Whether a text is part of a wider expression that has a value of its own."""
        above = self.parents.get(node)
        return isinstance(above, ast.JoinedStr) or (isinstance(above, ast.expr) and self.fold(above) is not None)

    def fold(self, node: ast.expr) -> Folded | None:
        """Return the value of a constant path expression; None if it is not one."""
        if node not in self._folded:
            self._folded[node] = None if node in _too_deep(self.module) else self._value(node)
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
        if isinstance(node, ast.Call):
            return self._call(node)
        return self._computed(node)

    def _computed(self, node: ast.expr) -> Folded | None:
        """Return the value of what a module computes: a name, an f-string, a parent, the variable HOME."""
        if isinstance(node, ast.Name):
            return self._of_name(node)
        if isinstance(node, ast.JoinedStr):
            inner = [v.value if isinstance(v, ast.FormattedValue) else v for v in node.values]
            plain = all(not isinstance(v, ast.FormattedValue) or v.format_spec is None for v in node.values)
            parts = [self.fold(v) for v in inner] if plain else []
            if names_a_user(node) and parts and parts[1] is None:
                parts[1] = self._named_text(inner[1])
            if not parts or None in parts:
                return None
            text = "".join(p.text for p in parts if p is not None)
            return Folded(text=text, value_type="str", computed=_origin(parts))
        if isinstance(node, ast.Attribute):
            other = self.modules.get(called_name(node.value))
            if other is not None:
                return other.named(node.attr)
            return _upper(self.fold(node.value), 0) if node.attr == "parent" else None
        if isinstance(node, ast.Subscript):
            index = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if isinstance(node.value, ast.Attribute) and node.value.attr == "parents" and isinstance(index, int):
                return _upper(self.fold(node.value.value), index)
            return self._at_home() if index == "HOME" and called_name(node.value) == "environ" else None
        return None

    def _of_name(self, node: ast.Name) -> Folded | None:
        if node.id == "__file__" and self._file is not None:
            return Folded(text=str(self._file), value_type="str", computed="file")
        known = self._names.get(node.id)
        other, name = self.taken.get(node.id, (None, ""))
        if known is None and other is not None:
            return other.named(name)
        return self.named(node.id) if known is not node else None

    def named(self, name: str) -> Folded | None:
        """Return the path that a name has wherever it is used."""
        known = self._names.get(name)
        found = self.fold(known) if known is not None else None
        if found is None or not found.text.startswith("/") or found.value_type == "bytes":
            return None
        return dataclasses.replace(found, computed=found.computed or "name")

    def _named_text(self, node: ast.expr) -> Folded | None:
        known = self._names.get(node.id) if isinstance(node, ast.Name) else None
        text = known.value if isinstance(known, ast.Constant) else None
        return Folded(text=text, value_type="str", computed="name") if isinstance(text, str) else None

    def _at_home(self, rest: str = "", value_type: ValueType = "str") -> Folded:
        return Folded(text=f"{self._home}{rest}", value_type=value_type, computed="home")

    def _call_for_home(self, node: ast.Call, name: str, texts: list[str]) -> Folded | None:
        """Return the value of a call that asks for the user's home or expands a text that does."""
        if name == "home" and not node.args and isinstance(node.func, ast.Attribute):
            return self._at_home(value_type="Path") if called_name(node.func.value) == "Path" else None
        if name in ("getenv", "get") and texts[:1] == ["HOME"]:
            return self._at_home()
        if name in ("expanduser", "expandvars") and len(texts) == 1:
            rest = re.fullmatch(r"(?:~|\$HOME|\$\{HOME\})(/.*)?", texts[0], re.DOTALL)
            return self._at_home(rest[1] or "") if rest is not None else None
        if name in ("abspath", "realpath", "normpath", "dirname") and len(texts) == 1 and texts[0].startswith("/"):
            inner = self.fold(node.args[0])
            if inner is not None and inner.computed:
                return Folded(
                    text=os.path.dirname(texts[0]) if name == "dirname" else os.path.normpath(texts[0]),
                    value_type="str",
                    computed=inner.computed,
                )
        return None

    def _operation(self, node: ast.BinOp) -> Folded | None:
        if not isinstance(node.op, (ast.Add, ast.Div)):
            return None
        right = self.fold(node.right)
        left = self.fold(node.left) if right is not None else None
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Add) and left.value_type == right.value_type != "Path":
            text, value_type = left.text + right.text, left.value_type
        elif isinstance(node.op, ast.Div) and left.value_type == "Path" and right.value_type != "bytes":
            text, value_type = os.path.join(left.text, right.text), left.value_type
        else:
            return None
        return Folded(text=text, value_type=value_type, computed=_origin([left, right]))

    def _call(self, node: ast.Call) -> Folded | None:
        name = called_name(node.func)
        if node.keywords:
            return None
        parts = [self.fold(argument) for argument in node.args]
        texts = [p.text for p in parts if p is not None and p.value_type != "bytes"]
        if len(texts) != len(node.args):
            return None
        computed = _origin(parts)
        if texts and name in _PATHS:
            return Folded(text=os.path.join(*texts), value_type="Path", computed=computed)
        found = self._call_for_home(node, name, texts)
        if found is not None:
            return found
        if not isinstance(node.func, ast.Attribute):
            whole = len(texts) == 1 and name in _IDENTITY_CALLS
            return Folded(text=texts[0], value_type="str", computed=computed) if whole else None
        if isinstance(node.func.value, (ast.Name, ast.Attribute)) and texts and self.fold(node.func.value) is None:
            if name == "join":
                return Folded(text=os.path.join(*texts), value_type="str", computed=computed)
            whole = len(texts) == 1 and name in _IDENTITY_CALLS
            return Folded(text=texts[0], value_type="str", computed=computed) if whole else None
        return self._method(node.func, name, texts)

    def _method(self, function: ast.Attribute, name: str, texts: list[str]) -> Folded | None:
        inner = self.fold(function.value)
        if inner is None or inner.value_type != "Path":
            return None
        if name == "joinpath":
            return Folded(text=os.path.join(inner.text, *texts), value_type="Path", computed=inner.computed)
        if name == "expanduser" and inner.text.startswith("~/"):
            return self._at_home(inner.text[1:], "Path")
        if name in ("expanduser", "resolve", "absolute") and inner.computed and not texts:
            return dataclasses.replace(inner, text=os.path.normpath(inner.text))
        return (
            Folded(text=inner.text, value_type="str", computed=inner.computed)
            if name == "as_posix" and not texts
            else None
        )


def names_a_user(node: ast.AST) -> bool:
    """Whether an f-string is `/home/{USER}…`: its machine is known by the name alone."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) and len(node.values) > 1 else None
    return isinstance(first, ast.Constant) and first.value in ("/home/", "/Users/", "/mnt/c/Users/")


def _origin(parts: Sequence[Folded | None]) -> Origin:
    """Return what an expression of several parts comes from."""
    found = {p.computed for p in parts if p is not None}
    return next((o for o in _ORIGINS if o in found), "")


def _upper(inner: Folded | None, index: int) -> Folded | None:
    """Return a parent of what is computed."""
    if inner is None or inner.value_type != "Path" or not inner.computed:
        return None
    parents = Path(inner.text).parents
    return (
        Folded(text=str(parents[index]), value_type="Path", computed=inner.computed)
        if 0 <= index < len(parents)
        else None
    )
