"""The root directories that a module computes from its own location: `ROOT = Path(__file__).resolve().parents[2]`."""

from __future__ import annotations

import ast
import os
from collections import Counter
from pathlib import Path

from sage_doctor.paths.find.folding import DEEPEST, Folded, called_name
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
    known: dict[str, Folded] = {"__file__": Folded(text=str(file), value_type="str")}
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
        found = _evaluate(value, known)
        if found is None:
            continue
        known[target.id] = found
        if _stems_from_file(value, set(known)):
            path = Path(os.path.normpath(found.text))
            roots.append(Root(name=target.id, path=path, value_type=found.value_type, line=statement.end_lineno or 0))
    return roots


def added_to_path(module: ast.Module, file: Path) -> list[Path]:
    """Return the directories that a script puts on `sys.path`, where constants say which."""
    known = {"__file__": Folded(text=str(file), value_type="str")}
    known.update({r.name: Folded(text=str(r.path), value_type=r.value_type) for r in module_roots(module, file)})
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and called_name(node.func) in ("insert", "append") and node.args:
            folded = _evaluate(node.args[-1], known) if ast.unparse(node.func).startswith("sys.path.") else None
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


def _stems_from_file(node: ast.expr, known: set[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in known for n in ast.walk(node))


def _evaluate(node: ast.expr, known: dict[str, Folded], depth: int = 0) -> Folded | None:
    """Return the value of a path expression; None if it depends on anything else."""
    if depth > DEEPEST:
        return None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return Folded(text=node.value, value_type="str")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = _evaluate(node.left, known, depth + 1), _evaluate(node.right, known, depth + 1)
        if left is None or right is None or left.value_type != "Path":
            return None
        return Folded(text=os.path.join(left.text, right.text), value_type="Path")
    if isinstance(node, ast.Attribute) and node.attr == "parent":
        return _upper(_evaluate(node.value, known, depth + 1), 0)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "parents":
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        inner = _evaluate(node.value.value, known, depth + 1)
        return _upper(inner, index) if isinstance(index, int) and index >= 0 else None
    return _call(node, known, depth) if isinstance(node, ast.Call) and not node.keywords else None


def _upper(inner: Folded | None, index: int) -> Folded | None:
    """Return a parent as pathlib counts them: `..` counts as a name."""
    if inner is None or inner.value_type != "Path":
        return None
    parents = Path(inner.text).parents
    return Folded(text=str(parents[index]), value_type="Path") if index < len(parents) else None


def _call(node: ast.Call, known: dict[str, Folded], depth: int) -> Folded | None:
    name = called_name(node.func)
    found = [_evaluate(argument, known, depth + 1) for argument in node.args]
    values = [v.text for v in found if v is not None]
    if len(values) != len(found):
        return None
    if name in ("Path", "PosixPath") and values:
        return Folded(text=os.path.join(*values), value_type="Path")
    if name == "join" and values:
        return Folded(text=os.path.join(*values), value_type="str")
    if len(values) == 1 and name in ("str", "fspath", "abspath"):
        return Folded(text=values[0] if name != "abspath" else os.path.normpath(values[0]), value_type="str")
    if len(values) == 1 and name == "dirname":
        return Folded(text=os.path.dirname(values[0]), value_type="str")
    if len(values) == 1 and name in ("realpath", "normpath"):
        return Folded(
            text=os.path.realpath(values[0]) if name == "realpath" else os.path.normpath(values[0]), value_type="str"
        )
    inner = _evaluate(node.func.value, known, depth + 1) if isinstance(node.func, ast.Attribute) else None
    if inner is None or inner.value_type != "Path":
        return None
    if name == "joinpath":
        return Folded(text=os.path.join(inner.text, *values), value_type="Path")
    if name in ("resolve", "absolute") and not values:
        return Folded(text=os.path.realpath(inner.text) if name == "resolve" else inner.text, value_type="Path")
    return None
