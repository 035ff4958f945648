"""The root directories that a shell script computes from its own location, and lines that compute them.

`ROOT="$(cd "$(dirname "$0")/.." && pwd)"` is known. Where a script has none, one line is suggested for its top:
there `$0` is still right, and after the first `cd` it may be wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.paths.find.shell_values import ShellValues, lines_of
from sage_doctor.paths.rewrite.file_edits import RewriteContext
from sage_doctor.system.frozen import frozen
from sage_doctor.text import shell_quote

if TYPE_CHECKING:
    from tree_sitter import Node


@frozen
class ShellRoot:
    """A variable that holds a directory, from a byte on; `defines` are the lines that give it its value."""

    name: str
    path: Path
    from_byte: int = 0
    defines: tuple[str, ...] = ()


def script_roots(program: Node, script: Path, context: RewriteContext) -> list[ShellRoot]:
    """Return the variables of a script that hold a directory: set once, at the top level, from its own location."""
    models = {name: path for path, name in context.models.items()}
    values = ShellValues(program, context.home or Path.home(), lines_of(script), models)
    found: list[ShellRoot] = []
    for assignment in _assignments(program):
        name = (assignment.text or b"").decode("utf-8", "replace").partition("=")[0]
        directory, origin = values.named(name) or ("", "")
        if origin == "file" and os.path.normpath(directory) == directory:
            found.append(ShellRoot(name=name, path=Path(os.path.realpath(directory)), from_byte=assignment.end_byte))
    return sorted(found, key=lambda r: -len(r.path.parts))


def computed_roots(text: str, script: Path, context: RewriteContext) -> list[ShellRoot]:
    """Return what a script could compute at its top: the manifest's directory, and models outside of it."""
    real, top = Path(os.path.realpath(script)), Path(os.path.realpath(context.directory))
    if not real.is_relative_to(top):
        return []
    up = "/.." * (len(real.relative_to(top).parts) - 1)
    itself = "$0" if text.startswith("#!") else "${BASH_SOURCE[0]:-$0}"  # a script without `#!` may be sourced
    name = _free("repo_root", text)
    stops = " || exit 1" if text.startswith("#!") else ""
    line = f'{name}=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "{itself}")"){up}" && pwd){stops}'
    found = [ShellRoot(name=name, path=top, defines=(line,))]
    manifest = context.manifest
    if not context.command or manifest is None or Path(os.path.realpath(manifest)).parent != top:
        return found
    for path, model in context.models.items():
        if not path.is_relative_to(top):
            own = _free(re.sub(r"\W", "_", model if model[:1].isalpha() else f"model_{model}") + "_dir", text)
            file = shell_quote(manifest.name)
            asks = f'{own}=$(sage-doctor where {shell_quote(model)} --manifest "${name}"/{file}){stops}'
            found.append(ShellRoot(name=own, path=path, defines=(line, asks)))
    return found


def _free(name: str, text: str) -> str:
    number, tried = 1, name
    while re.search(rf"\b{tried}\b", text):
        number += 1
        tried = f"{name}_{number}"
    return tried


def _assignments(program: Node) -> Iterator[Node]:
    """Yield the assignments that are made whenever the script gets there: `A=…`, `A=… || exit`, `readonly A=…`."""
    for statement in program.children:
        alternatives = statement.type == "list" and len(statement.children) > 1 and statement.children[1].type == "||"
        first = statement.children[0] if alternatives else statement
        for node in [first, *(first.children if first.type == "declaration_command" else ())]:
            if node.type == "variable_assignment":
                yield node
