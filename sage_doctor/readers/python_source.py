"""Reads names out of Python source: nothing is imported, nothing is executed."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sage_doctor.system.fingerprint import Watched, fingerprint
from sage_doctor.system.small_text import read_text

_MOST_BYTES = 4 * 1024 * 1024
_looked_at: Watched = {}


def sources_looked_at() -> Watched:
    """Return the Python files that were looked for in this process, as they were right before."""
    return dict(_looked_at)


@functools.cache
def source_text(path: Path) -> str:
    """Return the text of a Python file of at most 4 MB; empty where there is none."""
    return read_source(path) or ""


def read_source(path: Path) -> str | None:
    """Return the text of a Python file as it is now, None where there is none; `source_text` remembers it."""
    name = os.fspath(path)
    if name not in _looked_at:
        _looked_at[name] = fingerprint(name)
    return read_text(path, most=_MOST_BYTES)


def parse_file(path: Path) -> ast.Module | None:
    """Return the syntax tree of a Python file; None where there is none, or it is not this Python's syntax."""
    text = read_source(path)
    if text is None:
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def mapping_keys(module: ast.Module, name: str) -> frozenset[str]:
    """Return the string keys that a module puts into its mapping `name`.

    Understands a dict display, a list of pairs, `OrderedDict(…)` around either, and `name.update(…)`.
    """
    return frozenset(key for value in _values_of(module, name) for key in _keys(value))


def _values_of(module: ast.Module, name: str) -> Iterator[ast.expr]:
    for node in module.body:
        if isinstance(node, ast.Assign):
            if any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
                yield node.value
        elif isinstance(node, ast.AnnAssign):
            if isinstance(node.target, ast.Name) and node.target.id == name and node.value is not None:
                yield node.value
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Attribute) and called.attr == "update" and _is_name(called.value, name):
                yield node.value


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _keys(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Dict):
        yield from _texts(value.keys)
    elif isinstance(value, (ast.List, ast.Tuple)):
        pairs = (e for e in value.elts if isinstance(e, ast.Tuple) and len(e.elts) == 2)
        yield from _texts(pair.elts[0] for pair in pairs)
    elif isinstance(value, ast.Call):
        for argument in value.args:
            yield from _keys(argument)
        for keyword in value.keywords:
            if keyword.arg is None:  # OrderedDict(**{…})
                yield from _keys(keyword.value)
            else:
                yield keyword.arg


def _texts(nodes: Iterable[ast.expr | None]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def class_values(module: ast.Module, name: str) -> frozenset[str]:
    """Return the strings assigned in the body of class `name`: the values of a string enumeration."""
    return frozenset(_texts(node.value for node in _body(module, name) if isinstance(node, ast.Assign)))


def _body(module: ast.Module, name: str) -> list[ast.stmt]:
    return next((n.body for n in module.body if isinstance(n, ast.ClassDef) and n.name == name), [])
