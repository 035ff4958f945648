"""The new contents of a file: expressions are replaced in a concrete syntax tree, and nothing else changes.

libcst (the extra `paths`) keeps every blank and comment, and puts imports where they belong. Apart from the planned
expressions and imports, the abstract syntax tree must stay the same.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sage_doctor.errors import DoctorError
from sage_doctor.paths.find.python_script import decoded, parse
from sage_doctor.paths.rewrite.file_edits import Edit, FileEdits
from sage_doctor.paths.rewrite.node_index import NodeIndex
from sage_doctor.paths.rewrite.shell_source import shell_rewritten

if TYPE_CHECKING:
    from libcst import Module

NOT_INSTALLED = "libcst, which rewrites Python and keeps its layout, is not installed: pip install 'sage-doctor[paths]'"
_IMPORTED_FROM = frozenset({"pathlib", "sage_doctor"})


def rewritten(planned: FileEdits, edits: Sequence[Edit]) -> bytes:
    """Return the file with these edits applied, or as it was without edits.

    Raises `DoctorError` where libcst is not installed, or where anything but the planned expressions would change.
    """
    if not edits:
        return planned.raw
    if planned.language == "shell":
        return shell_rewritten(planned, edits)
    data = _replaced(planned, edits)
    _hold(planned, edits, data)
    return data


def _replaced(planned: FileEdits, edits: Sequence[Edit]) -> bytes:
    try:
        import libcst as cst  # noqa: PLC0415 - an extra, and only for the rewriting itself
        from libcst.metadata import MetadataWrapper, PositionProvider  # noqa: PLC0415
    except ImportError as error:
        raise DoctorError(NOT_INSTALLED) from error
    whole, blanks = _parted(planned.raw)
    try:
        module = cst.parse_module(whole)
    except (cst.ParserSyntaxError, UnicodeError, LookupError, RecursionError) as error:
        raise DoctorError(f"{planned.path}: libcst cannot parse it, so it is left alone") from error
    if module.bytes != whole:
        raise DoctorError(f"{planned.path}: libcst would change its layout, so it is left alone")
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    spans = {
        (r.start.line, r.start.column, r.end.line, r.end.column): node
        for node, r in wrapper.resolve(PositionProvider).items()
        if isinstance(node, cst.BaseExpression)
    }
    lost = next((e.reference.line for e in edits if e.span not in spans), None)
    if lost is not None:
        raise DoctorError(f"{planned.path}: line {lost} was not found again, so it is left alone")
    nodes = {id(spans[e.span]): e.source for e in edits}

    class Replace(cst.CSTTransformer):
        def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> Any:
            source = nodes.get(id(original_node))
            if source is None or not isinstance(updated_node, cst.BaseExpression):
                return super().on_leave(original_node, updated_node)
            made = cst.parse_expression(source, config=module.config_for_parsing)
            if updated_node.lpar and made.lpar and "\n" in source:  # one pair is enough for lines that go on
                return made.with_changes(lpar=updated_node.lpar, rpar=updated_node.rpar)
            lpar, rpar = (*updated_node.lpar, *made.lpar), (*made.rpar, *updated_node.rpar)
            return made.with_changes(lpar=lpar, rpar=rpar)

    return _with_imports(module.visit(Replace()), edits) + blanks


def _with_imports(module: Module, edits: Sequence[Edit]) -> bytes:
    needed = sorted({needs for e in edits for needs in e.needs})
    if needed:  # it goes through the whole tree even where there is nothing to add
        from libcst.codemod import CodemodContext  # noqa: PLC0415
        from libcst.codemod.visitors import AddImportsVisitor  # noqa: PLC0415

        context = CodemodContext()
        for source, name in needed:
            AddImportsVisitor.add_needed_import(context, source, name)
        module = AddImportsVisitor(context).transform_module(module)
    return module.bytes


def _parted(raw: bytes) -> tuple[bytes, bytes]:
    """Return a file without the lines of blanks at its end, and these: they are more than libcst can keep."""
    text = raw.rstrip()
    ended = re.match(rb"[ \t\f]*(?:\r\n|\n|\r)?", raw[len(text) :])
    end = len(text) + (ended.end() if ended is not None else 0)
    return raw[:end], raw[end:]


def suggested(planned: FileEdits, edits: Sequence[Edit] = ()) -> tuple[bytes, tuple[Edit, ...]]:
    """Return the file with these edits and its suggestions applied, and which suggestions were applied.

    A suggestion that cannot be written is left out. Raises `DoctorError` where libcst is not installed.
    """
    made = list(edits)
    try:
        return rewritten(planned, [*made, *planned.suggestions]), planned.suggestions
    except DoctorError as error:
        if str(error) == NOT_INSTALLED:
            raise
    data = rewritten(planned, made)
    applied: list[Edit] = []
    for edit in planned.suggestions:
        with contextlib.suppress(DoctorError):
            data = rewritten(planned, [*made, *applied, edit])
            applied.append(edit)
    return data, tuple(applied)


def _hold(planned: FileEdits, edits: Sequence[Edit], data: bytes) -> None:
    """Raise `DoctorError` if the new file differs from the plan."""
    try:
        before, after = parse(planned.raw), parse(data)
    except ValueError as error:
        raise DoctorError(f"{planned.path}: the rewritten file would not parse, so it is left alone") from error
    if _expected(before, planned, edits) != _shape(after):
        raise DoctorError(f"{planned.path}: more than the planned paths would change, so it is left alone")


def _expected(module: ast.Module, planned: FileEdits, edits: Sequence[Edit]) -> list[str]:
    """Return the shape of the file as it must be with the edits made."""
    nodes = NodeIndex(module, decoded(planned.raw))
    replacements = {id(nodes.replaced(e)): e.source for e in edits}

    class Replacer(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            source = replacements.get(id(node))
            if source is not None:
                return ast.parse(source, mode="eval").body
            done: ast.AST = self.generic_visit(node)
            return done

    return _shape(Replacer().visit(module))


def _shape(module: ast.AST) -> list[str]:
    """Return the statements of a module without the imports that a rewriting may add."""
    assert isinstance(module, ast.Module)
    return [
        ast.dump(s)
        for s in module.body
        if not (isinstance(s, ast.ImportFrom) and s.level == 0 and s.module in _IMPORTED_FROM)
    ]
