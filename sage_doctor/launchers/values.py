"""The texts that an expression may have in a run of a script: paths and names of repositories, as far as the code says.

A path from `__file__` or from `Path.home()` is the one that it is on this machine. One whose start is computed starts
with `…`: its end still tells.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from itertools import islice, product
from pathlib import Path
from typing import Any, Final

from sage_doctor.launchers.program import MOST_VALUES, SAME, Origin, Program
from sage_doctor.launchers.source import Source, called_name
from sage_doctor.system.small_text import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_COMPUTED: Final = "…"
_MOST_TEXT: Final = 1024
_MOST_DEPTH: Final = 12
_JOINING: Final = frozenset({"join", "joinpath", "Path", "PurePath", "PosixPath"})
_SAME: Final = SAME | {
    "str",
    "fspath",
    "abspath",
    "realpath",
    "normpath",
    "expanduser",
    "expandvars",
    "strip",
    "rstrip",
}
_YAML: Final = re.compile(r"(?P<indent> *)(?P<key>[\w.-]+) *:(?: +(?P<value>[^#\n]*?))?\s*(?:#.*)?$")


class Values:
    """The values of a program's expressions. `home` is the user's, `roots` are where relative files are looked for."""

    def __init__(self, program: Program, home: Path, roots: tuple[Path, ...]) -> None:
        self._program, self._home = program, home
        self._roots = roots

    def texts(self, node: ast.expr, source: Source, depth: int = 0) -> tuple[tuple[str, ...], bool]:
        """Return the texts that an expression may have, each once, and whether there are no others."""
        if depth > _MOST_DEPTH:
            return (), False
        origins, known = self._program.origins(node, source)
        found: dict[str, None] = {}
        for origin in origins:
            more, complete = self._of(origin.node, origin.source, depth + 1)
            found.update(dict.fromkeys(more))
            known = known and complete
        return tuple(islice((t for t in found if len(t) <= _MOST_TEXT), MOST_VALUES)), known

    def _of(self, node: ast.expr, source: Source, depth: int) -> tuple[tuple[str, ...], bool]:
        if isinstance(node, ast.Constant):
            return ((node.value,), True) if isinstance(node.value, str) and node.value else ((), node.value is None)
        if isinstance(node, ast.Name):  # the only one that has no other origin
            return (str(source.path),), True
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Div, ast.Add)):
            return self._joined([node.left, node.right], source, depth, "/" if isinstance(node.op, ast.Div) else "")
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.FormattedValue) else v for v in node.values]
            return self._joined(parts, source, depth, "")
        if isinstance(node, ast.Attribute):
            return self._parent(node, source, depth)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
            return self._parent(node.value, source, depth, node.slice)
        if isinstance(node, ast.Call):
            return self._called(node, source, depth)
        return (), False

    def _called(self, node: ast.Call, source: Source, depth: int) -> tuple[tuple[str, ...], bool]:
        name = called_name(node.func)
        if name == "home" and not node.args:
            return (str(self._home),), True
        if name == "dirname" and len(node.args) == 1:
            texts, known = self.texts(node.args[0], source, depth)
            return tuple(os.path.dirname(t) for t in texts), known
        arguments = list(node.args)
        if name == "joinpath" and isinstance(node.func, ast.Attribute):
            arguments.insert(0, node.func.value)
        if name in _JOINING and arguments:
            return self._joined(arguments, source, depth, "/")
        if name in _SAME and len(arguments) == 1:
            return self.texts(arguments[0], source, depth)
        if name in _SAME and isinstance(node.func, ast.Attribute) and not arguments:
            return self.texts(node.func.value, source, depth)
        return (), False

    def _parent(
        self, node: ast.Attribute, source: Source, depth: int, index: ast.expr | None = None
    ) -> tuple[tuple[str, ...], bool]:
        texts, known = self.texts(node.value, source, depth)
        if node.attr == "parent":
            return tuple(os.path.dirname(t) for t in texts), known
        if node.attr == "parents" and isinstance(index, ast.Constant) and isinstance(index.value, int):
            above = [list(Path(t).parents) for t in texts]
            return tuple(str(a[index.value]) for a in above if 0 <= index.value < len(a)), known
        return (), False

    def _joined(self, parts: list[ast.expr], source: Source, depth: int, between: str) -> tuple[tuple[str, ...], bool]:
        """Return every way to join the parts; nothing where one behind the first is not known at all."""
        each = [self.texts(p, source, depth) for p in parts]
        if between and len(parts) > 1 and not each[0][0]:
            each[0] = (_COMPUTED,), True
        joined = islice(product(*(texts for texts, _ in each)), MOST_VALUES)
        texts = [os.path.join(*t) if between else "".join(t) for t in joined]
        return tuple(dict.fromkeys(texts)), all(known and bool(texts) for texts, known in each)

    def config(self, origin: Origin) -> ast.expr | None:
        """Return the content of a JSON, TOML or YAML file, where an expression reads one, as an expression."""
        call = origin.node
        if not isinstance(call, ast.Call) or called_name(call.func) not in ("load", "safe_load", "loads", "full_load"):
            return None
        for name in (t for n in ast.walk(call) for t in self._files(n, origin.source)):
            for root in (origin.source.path.parent, *self._roots):
                text = read_text(root / name)
                data = parsed(text, name) if text is not None else None
                if isinstance(data, dict):
                    try:
                        return ast.parse(repr(data), mode="eval").body
                    except (SyntaxError, ValueError, RecursionError, MemoryError):
                        return None
        return None

    def _files(self, node: ast.AST, source: Source) -> tuple[str, ...]:
        if not isinstance(node, (ast.Name, ast.Call, ast.Constant)):
            return ()
        opened = [o.node for o in self._program.origins(node, source)[0]]
        texts = [
            t
            for n in opened
            for a in ([*n.args[:1], n.func] if isinstance(n, ast.Call) else [n])
            for t in self.texts(a.value if isinstance(a, ast.Attribute) else a, source)[0]
        ]
        return tuple(t for t in texts if t.endswith((".json", ".toml", ".yaml", ".yml")))


def parsed(text: str, name: str) -> Any:
    """Return the data of a configuration file; None where it is not valid."""
    try:
        if name.endswith(".json"):
            return json.loads(text)
        return tomllib.loads(text) if name.endswith(".toml") else _mappings(text)
    except (ValueError, RecursionError):
        return None


def _mappings(text: str) -> dict[str, Any]:
    """Return the mappings and plain texts of a YAML file, by their indentation; everything else in it is left out."""
    found: dict[str, Any] = {}
    inside: list[tuple[int, dict[str, Any]]] = [(-1, found)]
    for line in text.splitlines():
        match = _YAML.match(line) if len(line) <= _MOST_TEXT else None
        if match is None:
            continue
        depth, value = len(match["indent"]), (match["value"] or "").strip()
        while depth <= inside[-1][0]:
            inside.pop()
        if value:
            inside[-1][1][match["key"]] = value.strip("\"'")
        else:
            below: dict[str, Any] = {}
            inside[-1][1][match["key"]] = below
            inside.append((depth, below))
    return found
