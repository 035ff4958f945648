"""A path as a Python expression: from a constant of the module, from the file's own location, or from `resolve`."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sage_doctor.paths.find.reference import ValueType
from sage_doctor.paths.rewrite.roots import Root, bound_names
from sage_doctor.system.frozen import frozen

RESOLVE = ("sage_doctor", "resolve")
_BARE = (ast.Assign, ast.AnnAssign, ast.Return, ast.keyword, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.NamedExpr)


@frozen
class RootExpression:
    """An expression for a directory, its value here, its type, and the import that it needs."""

    source: str
    path: Path
    value_type: ValueType
    needs: tuple[str, str] | None = None


def root_expressions(
    module: ast.Module,
    file: Path,
    roots: Sequence[Root],
    *,
    models: Mapping[Path, str],
    directory: Path,
    resolvable: bool,
) -> list[RootExpression]:
    """Return every expression that a path may start from, the best first.

    Inside the checkout a path relative to the file needs nothing installed and never fails; `resolve` is for the models
    outside of it.

    `models` are the manifest's, by their real paths; `resolvable` says whether the sessions' Python has sage_doctor.
    """
    bound = set(bound_names(module))
    imported = from_imports(module)
    found = [
        RootExpression(source=r.name, path=Path(os.path.realpath(r.path)), value_type=r.value_type)
        for r in reversed(roots)
    ]
    found.sort(key=lambda s: -len(s.path.parts))
    real, top = Path(os.path.realpath(file)), Path(os.path.realpath(directory))
    if real.is_relative_to(top) and ("Path" not in bound or imported.get("Path") == "pathlib"):
        above = len(real.relative_to(top).parts) - 1
        source = f"Path(__file__).resolve().parents[{above}]"
        found.append(RootExpression(source=source, path=top, value_type="Path", needs=("pathlib", "Path")))
    if resolvable and ("resolve" not in bound or imported.get("resolve") == "sage_doctor"):
        found += [
            RootExpression(
                source=f"resolve({python_literal(name)})",
                path=path,
                value_type="Path",
                needs=RESOLVE,
            )
            for path, name in models.items()
        ]
    return found


def at_home(module: ast.Module, home: Path) -> RootExpression | None:
    """Return the expression for the user's home: for what is in the homes of several machines, beside the checkout."""
    if "Path" in bound_names(module) and from_imports(module).get("Path") != "pathlib":
        return None
    return RootExpression(source="Path.home()", path=home, value_type="Path", needs=("pathlib", "Path"))


def from_imports(module: ast.Module) -> dict[str, str]:
    """Return which names come from which modules, by `from … import …` at the top level."""
    return {
        alias.name: statement.module or ""
        for statement in module.body
        if isinstance(statement, ast.ImportFrom) and statement.level == 0
        for alias in statement.names
        if alias.asname in (None, alias.name)
    }


def path_expression(
    start: RootExpression, target: Path, value: ValueType, *, slash: bool, within: ast.AST | None, quote: str
) -> str | None:
    """Return the source of `target`, which is `start` or below it, as a `value`; None if there is none.

    `slash` keeps a slash at the end, `within` is the node above, and `quote` the quotation mark to use.
    """
    below = target.relative_to(start.path).as_posix()
    here = below == "."
    if not below.isprintable() or any(c in below for c in "'\"\\{}"):
        return None
    if value == "Path":
        first = start.source if start.value_type == "Path" else f"Path({start.source})"
        text = first if here else f"{first} / {quote}{below}{quote}"
        return text if here or stands_alone(within) else f"({text})"
    if value != "str":
        return None
    if start.value_type == "str":
        if here and not slash:
            return start.source
        return f"f{quote}{{{start.source}}}{'' if here else '/' + below}{'/' if slash else ''}{quote}"
    other = "'" if quote == '"' else '"'
    if slash:
        inner = start.source if here else f"{start.source} / {other}{below}{other}"
        return None if quote in inner else f"f{quote}{{{inner}}}/{quote}"
    return f"str({start.source})" if here else f"str({start.source} / {quote}{below}{quote})"


def python_literal(text: str) -> str:
    """Return text as a Python literal with double quotes where that is possible."""
    return f'"{text}"' if text.isprintable() and not any(c in text for c in '"\\') else repr(text)


def stands_alone(within: ast.AST | None) -> bool:
    """Whether a division may stand there without parentheses."""
    return isinstance(within, (*_BARE, ast.arguments, ast.Call))
