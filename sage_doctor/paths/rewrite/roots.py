"""The root directories that a module computes from its own location: `ROOT = Path(__file__).resolve().parents[2]`."""

from __future__ import annotations

import ast
import os
from collections import Counter
from pathlib import Path

from sage_doctor.paths.find.folding import Folding, called_name
from sage_doctor.paths.find.reference import ValueType
from sage_doctor.system.frozen import frozen

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp,
           ast.GeneratorExp)  # fmt: skip


@frozen
class Root:
    """A constant of a module, its value here, and the last line of its statement."""

    name: str
    path: Path
    value_type: ValueType
    line: int


def module_roots(module: ast.Module, file: Path) -> list[Root]:
    """Return the constants of a module that are computed from `__file__`.

    Only names that are bound once in the whole module, at its top level and under no condition.
    """
    bound = Counter(_top_level(module))
    folding = Folding(module, Path.home(), Path(os.path.realpath(file)))
    roots = []
    for statement in module.body:
        target: ast.expr | None = None
        value: ast.expr | None = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign):
            target, value = statement.target, statement.value
        if not isinstance(target, ast.Name) or value is None or bound[target.id] != 1:
            continue
        found = folding.fold(value)
        if found is not None and found.computed == "file":
            path = Path(os.path.normpath(found.text))
            roots.append(Root(name=target.id, path=path, value_type=found.value_type, line=statement.end_lineno or 0))
    return roots


def added_to_path(module: ast.Module, file: Path) -> list[Path]:
    """Return the directories that a script puts on `sys.path`, where constants say which."""
    folding = Folding(module, Path.home(), Path(os.path.realpath(file)))
    found = []
    for node in folding.nodes:
        if isinstance(node, ast.Call) and called_name(node.func) in ("insert", "append") and node.args:
            folded = folding.fold(node.args[-1]) if ast.unparse(node.func).startswith("sys.path.") else None
            if folded is not None and os.path.isabs(folded.text):
                found.append(Path(folded.text))
    return found


def bound_names(node: ast.AST) -> list[str]:
    """Return every name that something below a node binds, once for each binding."""
    return [name for inner in ast.walk(node) for name in bound_here(inner)]


def bound_here(node: ast.AST) -> list[str]:
    """Return the names that a node itself binds, without those below it."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(a.asname or a.name).split(".")[0] for a in node.names]
    if isinstance(node, (ast.Global, ast.Nonlocal)):
        return list(node.names)
    if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        return [node.name] if node.name else []
    return []


def _top_level(module: ast.Module) -> list[str]:
    """Return every name that the module itself binds, and those that functions do by `global`, once for each."""
    names: list[str] = []
    waiting: list[ast.AST] = list(module.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, _SCOPES):
            names += [getattr(node, "name", "")]
            names += [n for inner in ast.walk(node) if isinstance(inner, ast.Global) for n in inner.names]
            names += [i.target.id for i in ast.walk(node) if isinstance(i, ast.NamedExpr)]
            continue
        names += bound_here(node)
        waiting += ast.iter_child_nodes(node)
    return names
