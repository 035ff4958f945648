"""The machine paths of a Python file, by its syntax tree."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator

from sage_doctor.paths.find.folding import Folded, wider
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Context, PathReference, ReferenceForm
from sage_doctor.paths.find.usages import Usage, UsageContext

_PIECES = frozenset({"/", "/home", "home", "/home/", "/Users", "Users", "/Users/"})
_LINE = re.compile(r"\r\n|\r|\n")
_HOLE = re.compile(r"[%{]")


def parse(raw: bytes) -> ast.Module:
    """Return the syntax tree of a file's bytes, in the encoding that they declare (PEP 263).

    Raises `ValueError` with a short reason where they are not this Python's syntax.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are the script's own business
            return ast.parse(raw)
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        raise ValueError(f"it is not the syntax of this Python{where}") from error
    except (ValueError, RecursionError, MemoryError, UnicodeError, LookupError) as error:
        raise ValueError("it cannot be parsed") from error


def decoded(raw: bytes) -> str:
    """Return a file's text as Python decodes it. Raises `ValueError`."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return raw.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise ValueError("its encoding is not the one that it declares") from error


def python_occurrences(raw: bytes, landscape: PathMap) -> list[PathReference]:
    """Return every path of some machine in a Python file. Raises `ValueError` where it cannot be parsed."""
    module = parse(raw)
    lines = _LINE.split(decoded(raw).removeprefix("\ufeff"))
    around = UsageContext(module, landscape)
    found: dict[int, PathReference] = {}
    for node in around.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            for whole, occurrence in _of_constant(node, around, lines):
                found.setdefault(id(whole), occurrence)
    comments = _comments(lines, landscape)
    return sorted([*found.values(), *comments], key=lambda o: (o.line, o.column))


def _of_constant(node: ast.Constant, around: UsageContext, lines: list[str]) -> Iterator[tuple[ast.AST, PathReference]]:
    text = node.value.decode("utf-8", "replace") if isinstance(node.value, bytes) else str(node.value)
    pattern = around.landscape.pattern
    if text not in _PIECES and pattern.search(text) is None:
        return
    whole, folded = wider(node, around.parents)
    match = pattern.search(folded.text)
    if match is None:
        return
    parent = around.parents.get(whole)
    if isinstance(parent, ast.JoinedStr):
        if parent.values[0] is not whole and pattern.match(folded.text):
            return  # it goes on from something that is only known at run time
        yield from _started(parent, folded, match, around, lines)
        return
    purpose = around.purpose(whole)
    spaced = around.landscape.is_spaced(folded.text, command=purpose.shell)
    form, context, path = _form(whole, parent, folded, match, purpose, spaced=spaced)
    yield whole, _occurrence(whole, lines, path, context, form, folded)


def _started(
    node: ast.JoinedStr, folded: Folded, match: re.Match[str], around: UsageContext, lines: list[str]
) -> Iterator[tuple[ast.AST, PathReference]]:
    """An f-string: its constant start is a path, or it is text that mentions one."""
    purpose = around.purpose(node)
    starts = match.start() == 0 and node.values[0].__class__ is ast.Constant
    context: Context = purpose.context
    if not starts and not purpose.shell and re.search(r"\s", folded.text):
        context = "documentation" if context in ("use", "fallback") else context
    whole = folded.text if starts and around.landscape.is_spaced(folded.text, command=purpose.shell) else match[0]
    path = whole.rpartition("/")[0] if match.start() + len(whole) == len(folded.text) and "/" in whole else whole
    yield node, _occurrence(node, lines, path or match[0], context, "f-string", folded)


def _form(
    node: ast.expr, parent: ast.AST | None, folded: Folded, match: re.Match[str], purpose: Usage, *, spaced: bool
) -> tuple[ReferenceForm, Context, str]:
    """Return how a path is written, what it is for, and the path itself."""
    text = folded.text
    words = re.search(r"\s", text) is not None and not spaced
    whole = match.start() == 0 and "\n" not in text and (match.end() == len(text) or not words)
    if not whole:
        if words and not purpose.shell and purpose.context in ("use", "fallback"):
            return "words", "documentation", match[0]
        return "embedded", purpose.context, match[0]
    if folded.value == "bytes":
        return "bytes", purpose.context, text
    formatted = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mod) and parent.left is node
    if formatted or (isinstance(parent, ast.Attribute) and parent.attr == "format"):
        return "format", purpose.context, _HOLE.split(text)[0].rpartition("/")[0] or text
    if purpose.form is not None:
        return purpose.form, purpose.context, text
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add) and parent.left is node:
        return "prefix", purpose.context, text
    if match.end() != len(text) and not spaced:  # a list of paths with colons, or a path with brackets of its own
        return "embedded", purpose.context, match[0]
    return ("literal" if isinstance(node, ast.Constant) else "joined"), purpose.context, text


def _occurrence(
    node: ast.expr, lines: list[str], text: str, context: Context, form: ReferenceForm, folded: Folded
) -> PathReference:
    last = node.end_lineno or node.lineno
    return PathReference(
        text=text,
        line=node.lineno,
        column=_characters(lines, node.lineno, node.col_offset),
        end_line=last,
        end_column=_characters(lines, last, node.end_col_offset or 0),
        context=context,
        form=form,
        value=folded.value,
    )


def _characters(lines: list[str], line: int, column: int) -> int:
    """Return the column in characters; the syntax tree counts bytes of UTF-8."""
    text = lines[line - 1] if line <= len(lines) else ""
    return column if text.isascii() else len(text.encode("utf-8", "replace")[:column].decode("utf-8", "replace"))


def _comments(lines: list[str], landscape: PathMap) -> Iterator[PathReference]:
    """Comments are only counted: a line's text behind a # that no quote follows is one."""
    for number, line in enumerate(lines, 1):
        _, mark, comment = line.partition("#")
        match = landscape.pattern.search(comment) if mark and '"' not in comment and "'" not in comment else None
        if match is not None:
            yield PathReference(text=match[0], line=number, context="documentation", form="words")
