"""Which codes a file of source emits, found by reading it: nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.findings.declaration import DECLARED

# What takes a code as its first word and makes a finding of it, and the keyword that some take instead.
MAKERS = frozenset({"finding", "MergeRefused", "InvalidHeader", "HeaderProblem"})
# What names codes and emits none: declarations, checks that another finding blocks, repairs.
SILENT = frozenset({"Declaration", "Blocked", "repair"})


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SILENT:
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child)


def _constants(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _constants(node.body)
        yield from _constants(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def emitted_codes(path: Path) -> set[str]:
    """Return the declared codes that stand in a file as text, where something may make a finding of them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.value
        for node in _nodes(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in DECLARED
    }


def made_codes(path: Path) -> set[str]:
    """Return the codes, declared or not, that a file hands to what makes findings."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
            codes = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "code")]
            found |= {text for code in codes for text in _constants(code)}
    return found
