"""An index of a module's expressions by position, and which names are visible to each."""

from __future__ import annotations

import ast
import io
import re
import tokenize

from sage_doctor.paths.find.bindings import nodes_and_parents
from sage_doctor.paths.find.python_script import character_column
from sage_doctor.paths.find.reference import PathReference
from sage_doctor.paths.rewrite.expressions import RootExpression
from sage_doctor.paths.rewrite.file_edits import Edit, Span, span_of
from sage_doctor.paths.rewrite.roots import bound_names

_LINE = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class NodeIndex:
    """The expressions of one module by position."""

    def __init__(self, module: ast.Module, text: str) -> None:
        self.lines = _LINE.split(text.removeprefix("\ufeff"))
        nodes, self.parents = nodes_and_parents(module)
        self._at: dict[Span, ast.expr] = {}
        for node in nodes:
            if isinstance(node, ast.expr) and not isinstance(self.parents.get(node), ast.JoinedStr):
                self._at.setdefault(self.span(node), node)

    def span(self, node: ast.expr) -> Span:
        """Return the position of an expression, in characters."""
        end = node.end_lineno or node.lineno
        return (
            *(node.lineno, character_column(self.lines, node.lineno, node.col_offset)),
            *(end, character_column(self.lines, end, node.end_col_offset or 0)),
        )

    def at(self, reference: PathReference) -> ast.expr | None:
        """Return the expression that an occurrence is."""
        return self._at.get(span_of(reference))

    def segment(self, reference: PathReference) -> str:
        """Return the source text of an occurrence."""
        return self._text(span_of(reference))

    def replaced(self, edit: Edit) -> ast.expr | None:
        """Return the expression that an edit replaces."""
        return self._at.get(edit.span)

    def is_template(self, node: ast.expr) -> bool:
        """Whether a text is a template: the left side of `%`, or of `.format`."""
        parent = self.parents.get(node)
        percent = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mod) and parent.left is node
        return percent or (isinstance(parent, ast.Attribute) and parent.attr in ("format", "format_map"))

    def _text(self, span: Span) -> str:
        line, column, end_line, end_column = span
        lines = self.lines[line - 1 : end_line]
        lines[-1] = lines[-1][:end_column]
        lines[0] = lines[0][column:]
        return "".join(lines)

    def commented(self, node: ast.expr) -> bool:
        """Whether an expression contains a comment, which would be lost."""
        try:
            tokens = tokenize.generate_tokens(io.StringIO(f"({self._text(self.span(node))})").readline)
            return any(t.type == tokenize.COMMENT for t in tokens)
        except (tokenize.TokenError, SyntaxError):
            return True

    def is_visible(self, node: ast.expr, start: RootExpression, lines: dict[str, int]) -> bool:
        """Whether a root's name means the same at a node as at the module's top level."""
        name = re.split(r"\W", start.source, maxsplit=1)[0]
        if start.needs is None and lines.get(name, node.lineno) >= node.lineno:
            return False
        return self.is_module_name(node, name)

    def is_late(self, node: ast.expr) -> bool:
        """Whether an expression is evaluated when a function runs, and not already when the module is imported."""
        child: ast.AST = node
        while (parent := self.parents.get(child)) is not None:
            if isinstance(parent, _FUNCTIONS) and (child is parent.body or child in _statements(parent)):
                return True
            child = parent
        return False

    def is_module_name(self, node: ast.expr, name: str) -> bool:
        """Whether no function or class around an expression gives a name another meaning."""
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


def _statements(function: ast.AST) -> list[ast.stmt]:
    return function.body if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) else []
