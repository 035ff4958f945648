"""The names that a Python module binds: once, or again in the same block."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

# Of a module that several programs import all this is asked again; nobody changes these trees.
once_per_module = lru_cache(maxsize=64)


@once_per_module
def nodes_and_parents(module: ast.Module) -> tuple[list[ast.AST], dict[ast.AST, ast.AST]]:
    """Return every node of a module, each behind its parent, and the parent of each."""
    nodes: list[ast.AST] = [module]
    parents: dict[ast.AST, ast.AST] = {}
    for node in nodes:  # grows as it is gone through
        children = list(ast.iter_child_nodes(node))
        parents.update(dict.fromkeys(children, node))
        nodes += children
    return nodes, parents


@once_per_module
def replaced_at(module: ast.Module) -> dict[ast.AST, tuple[int, int]]:
    """Return for each assignment where the same block gives its name another value in any case."""
    found: dict[ast.AST, tuple[int, int]] = {}
    for block in nodes_and_parents(module)[0]:
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


@once_per_module
def bound_once(module: ast.Module) -> dict[str, ast.expr]:
    """Return the values of the names that a module binds once, whatever function that is in."""
    nodes, parents = nodes_and_parents(module)
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
