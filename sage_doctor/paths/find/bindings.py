"""The names that a Python module binds: once, or again in the same block."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence


def replaced_at(nodes: Iterable[ast.AST]) -> dict[ast.AST, tuple[int, int]]:
    """Return for each assignment where the same block gives its name another value in any case."""
    found: dict[ast.AST, tuple[int, int]] = {}
    for block in nodes:
        last: dict[str, ast.stmt] = {}
        for statement in block.body if isinstance(block, (ast.Module, ast.FunctionDef)) else ():
            for target, value in _bindings(statement):
                own = any(isinstance(n, ast.Name) and n.id == target.id for n in ast.walk(value))
                if target.id in last and not own:
                    found[last[target.id]] = (statement.lineno, statement.col_offset)
                last[target.id] = statement
    return found


def _bindings(statement: ast.stmt) -> Iterator[tuple[ast.Name, ast.expr]]:
    """Yield the names that a statement gives a value in any case, with it."""
    pairs: list[tuple[ast.expr | None, ast.expr]] = []
    if isinstance(statement, ast.Assign):
        pairs = [(statement.targets[0], statement.value)]
    elif isinstance(statement, ast.For):
        pairs = [(statement.target, statement.iter)]
    elif isinstance(statement, ast.With):
        pairs = [(i.optional_vars, i.context_expr) for i in statement.items]
    yield from ((target, value) for target, value in pairs if isinstance(target, ast.Name))


def bound_once(nodes: Sequence[ast.AST], parents: Mapping[ast.AST, ast.AST]) -> dict[str, ast.expr]:
    """Return the values of the names that a module binds once, whatever function that is in."""
    counts: Counter[str] = Counter()
    values: dict[str, ast.expr] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            counts[node.id] += 1
            above = parents.get(node)
            alone = isinstance(above, ast.AnnAssign) or (isinstance(above, ast.Assign) and above.targets == [node])
            if alone and isinstance(above, (ast.Assign, ast.AnnAssign)) and above.value is not None:
                values[node.id] = above.value
        elif isinstance(node, ast.arg):
            counts[node.arg] += 1
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            counts.update((a.asname or a.name).split(".")[0] for a in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            counts[node.name] += 1
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            counts.update(node.names * 2)
    return {name: value for name, value in values.items() if counts[name] == 1}
