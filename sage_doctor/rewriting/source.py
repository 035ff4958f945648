"""The change itself: expressions replaced in a concrete syntax tree, so that nothing else of a file moves.

libcst (the extra `paths`) keeps every blank and comment, and puts imports where they belong. What comes out is held to
what was planned: besides the planned expressions and imports, the abstract syntax tree must be the same.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from sage_doctor.errors import DoctorError
from sage_doctor.machine_paths.python_script import decoded, parse
from sage_doctor.rewriting.edits import Edit, FileEdits
from sage_doctor.rewriting.nodes import Nodes

NOT_INSTALLED = "libcst, which rewrites Python and keeps its layout, is not installed: pip install 'sage-doctor[paths]'"
_IMPORTED_FROM = frozenset({"pathlib", "sage_doctor"})
Span = tuple[int, int, int, int]


def rewritten(planned: FileEdits, edits: Sequence[Edit]) -> bytes:
    """Return the file with these of its edits made, or as it was where there are none.

    Raises `DoctorError` where libcst is not installed, or where anything but the planned expressions would change.
    """
    if not edits:
        return planned.raw
    try:
        import libcst as cst  # noqa: PLC0415 - an extra, and only for the rewriting itself
        from libcst.codemod import CodemodContext  # noqa: PLC0415
        from libcst.codemod.visitors import AddImportsVisitor  # noqa: PLC0415
        from libcst.metadata import MetadataWrapper, PositionProvider  # noqa: PLC0415
    except ImportError as error:
        raise DoctorError(NOT_INSTALLED) from error
    whole, blanks = _parted(planned.raw)
    try:
        module = cst.parse_module(whole)
    except (cst.ParserSyntaxError, UnicodeError, LookupError, RecursionError) as error:
        raise DoctorError(f"{planned.path}: libcst cannot read it, so it is left alone") from error
    if module.bytes != whole:
        raise DoctorError(f"{planned.path}: libcst would not keep its layout, so it is left alone")
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    spans = {
        (r.start.line, r.start.column, r.end.line, r.end.column): node
        for node, r in wrapper.resolve(PositionProvider).items()
        if isinstance(node, cst.BaseExpression)
    }
    lost = next((e.occurrence.line for e in edits if _span(e) not in spans), None)
    if lost is not None:
        raise DoctorError(f"{planned.path}: line {lost} was not found again, so it is left alone")
    nodes = {id(spans[_span(e)]): e.source for e in edits}

    class Replace(cst.CSTTransformer):
        def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> Any:
            source = nodes.get(id(original_node))
            if source is None or not isinstance(updated_node, cst.BaseExpression):
                return super().on_leave(original_node, updated_node)
            made = cst.parse_expression(source, config=module.config_for_parsing)
            lpar, rpar = (*updated_node.lpar, *made.lpar), (*made.rpar, *updated_node.rpar)
            return made.with_changes(lpar=lpar, rpar=rpar)

    changed = module.visit(Replace())
    needed = sorted({e.needs for e in edits if e.needs is not None})
    if needed:  # it goes through the whole tree even where there is nothing to add
        context = CodemodContext()
        for needs in needed:
            AddImportsVisitor.add_needed_import(context, *needs)
        changed = AddImportsVisitor(context).transform_module(changed)
    data = changed.bytes + blanks
    _hold(planned, edits, data)
    return data


def _parted(raw: bytes) -> tuple[bytes, bytes]:
    """Return a file without the lines of blanks at its end, and these: they are more than libcst can keep."""
    text = raw.rstrip()
    ended = re.match(rb"[ \t\f]*(?:\r\n|\n|\r)?", raw[len(text) :])
    end = len(text) + (ended.end() if ended is not None else 0)
    return raw[:end], raw[end:]


def suggested(planned: FileEdits) -> bytes:
    """Return the file as it would be with what is only suggested; as it was where that cannot be shown."""
    text = decoded(planned.raw)
    if text.encode("utf-8", "surrogatepass") != planned.raw:
        return planned.raw  # of another encoding: what would be shown is not what would be written
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text.removeprefix("\ufeff"))
    for edit in sorted(planned.suggestions, key=_span, reverse=True):
        line, column, end_line, end_column = _span(edit)
        tail = lines[end_line - 1][end_column:]
        lines[line - 1 : end_line] = [lines[line - 1][:column] + edit.source + tail]
    data = (mark + "".join(lines)).encode("utf-8", "surrogateescape")
    try:
        parse(data)
    except ValueError:
        return planned.raw
    return data


def _span(edit: Edit) -> Span:
    found = edit.occurrence
    return found.line, found.column, found.end_line, found.end_column


def _hold(planned: FileEdits, edits: Sequence[Edit], data: bytes) -> None:
    """Hold the new file to the plan. Raises `DoctorError`."""
    try:
        before, after = parse(planned.raw), parse(data)
    except ValueError as error:
        raise DoctorError(f"{planned.path}: the rewritten file would not parse, so it is left alone") from error
    if _expected(before, planned, edits) != _shape(after):
        raise DoctorError(f"{planned.path}: more than the planned paths would change, so it is left alone")


def _expected(module: ast.Module, planned: FileEdits, edits: Sequence[Edit]) -> list[str]:
    """Return the shape of the file as it must be with the edits made."""
    nodes = Nodes(module, decoded(planned.raw))
    places = {id(nodes.at(e.occurrence)): e.source for e in edits}

    class Place(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            source = places.get(id(node))
            if source is not None:
                return ast.parse(source, mode="eval").body
            done: ast.AST = self.generic_visit(node)
            return done

    return _shape(Place().visit(module))


def _shape(module: ast.AST) -> list[str]:
    """Return the statements of a module without the imports that a rewriting may add."""
    assert isinstance(module, ast.Module)
    return [
        ast.dump(s)
        for s in module.body
        if not (isinstance(s, ast.ImportFrom) and s.level == 0 and s.module in _IMPORTED_FROM)
    ]
