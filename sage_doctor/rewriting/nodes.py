"""The expressions of a module by where they stand, and which names each of them sees."""

from __future__ import annotations

import ast
import io
import re
import tokenize

from sage_doctor.machine_paths.occurrence import Occurrence
from sage_doctor.rewriting.expressions import Start
from sage_doctor.rewriting.roots import bound_names

_LINE = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
Span = tuple[int, int, int, int]


class Nodes:
    """One module and its text."""

    def __init__(self, module: ast.Module, text: str) -> None:
        self.lines = _LINE.split(text.removeprefix("\ufeff"))
        self.parents: dict[ast.AST, ast.AST] = {}
        self._at: dict[Span, ast.expr] = {}
        for node in ast.walk(module):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
            if isinstance(node, ast.expr) and not isinstance(self.parents.get(node), ast.JoinedStr):
                self._at.setdefault(self._span(node), node)

    def _span(self, node: ast.expr) -> Span:
        end = node.end_lineno or node.lineno
        return (
            *(node.lineno, self._characters(node.lineno, node.col_offset)),
            *(end, self._characters(end, node.end_col_offset or 0)),
        )

    def _characters(self, line: int, column: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return column if text.isascii() else len(text.encode("utf-8", "replace")[:column].decode("utf-8", "replace"))

    def at(self, occurrence: Occurrence) -> ast.expr | None:
        """Return the expression that an occurrence is."""
        return self._at.get((occurrence.line, occurrence.column, occurrence.end_line, occurrence.end_column))

    def segment(self, occurrence: Occurrence) -> str:
        """Return the source text of an occurrence."""
        lines = self.lines[occurrence.line - 1 : occurrence.end_line]
        lines[-1] = lines[-1][: occurrence.end_column]
        lines[0] = lines[0][occurrence.column :]
        return "".join(lines)

    def commented(self, node: ast.expr) -> bool:
        """Whether a comment stands within an expression: it would be lost with it."""
        line, column, end_line, end_column = self._span(node)
        lines = self.lines[line - 1 : end_line]
        lines[-1] = lines[-1][:end_column]
        lines[0] = lines[0][column:]
        try:
            tokens = tokenize.generate_tokens(io.StringIO("(" + "".join(lines) + ")").readline)
            return any(t.type == tokenize.COMMENT for t in tokens)
        except (tokenize.TokenError, SyntaxError):
            return True

    def sees(self, node: ast.expr, start: Start, lines: dict[str, int]) -> bool:
        """Whether the name an expression starts with means there what it means at the module's top level."""
        name = re.split(r"\W", start.source, maxsplit=1)[0]
        if start.needs is None and lines.get(name, node.lineno) >= node.lineno:
            return False
        child: ast.AST = node
        while (parent := self.parents.get(child)) is not None:
            inside = isinstance(parent, _FUNCTIONS) and (
                child is parent.body if isinstance(parent, ast.Lambda) else child in parent.body
            )
            if inside or isinstance(parent, _COMPREHENSIONS):
                if name in bound_names(parent):
                    return False
            elif isinstance(parent, ast.ClassDef) and child in parent.body and name in bound_names(parent):
                return False
            child = parent
        return True
