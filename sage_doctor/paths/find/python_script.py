"""The references of a Python file, by its syntax tree."""

from __future__ import annotations

import ast
import dataclasses
import io
import re
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from sage_doctor.paths.find.bindings import once_per_module
from sage_doctor.paths.find.folding import Folded, Folding, names_a_user
from sage_doctor.paths.find.needs import NeedAnalysis
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import PathReference, ReferenceForm, UsageKind
from sage_doctor.paths.find.shell_elsewhere import runs_elsewhere
from sage_doctor.paths.find.shell_programs import makes_what_follows
from sage_doctor.paths.find.usages import Usage, UsageAnalysis

_ELSEWHERE = frozenset(
    {"modal", "beam", "sky", "cog", "truss", "runpod", "docker", "kubernetes", "fabric", "paramiko", "asyncssh"}
)
_PATH_PARTS = frozenset({"/", "/home", "home", "/home/", "/Users", "Users", "/Users/"})
_COMPUTING = (ast.Constant, ast.Name, ast.Call, ast.Subscript)
_HOMELY = re.compile(r"~/[^\s*?\[\]{}$%<>|;&]+")  # a path of the user's home, to be expanded
_LINE = re.compile(r"\r\n|\r|\n")
_PLACEHOLDER = re.compile(r"[%{]")


def parse(raw: bytes) -> ast.Module:
    """Return the syntax tree of a file's bytes, in the encoding that they declare (PEP 263).

    Raises `ValueError` with a short reason where they are not this Python's syntax.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are not what is examined here
            return ast.parse(raw)
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        raise ValueError(f"it is not the syntax of this Python{where}") from error
    except (ValueError, RecursionError, MemoryError, UnicodeError, LookupError) as error:
        raise ValueError("it cannot be parsed") from error


_read_tree = once_per_module(parse)


def decoded(raw: bytes) -> str:
    """Return a file's text as Python decodes it. Raises `ValueError`."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return raw.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise ValueError("its encoding is not the one that it declares") from error


class PythonModule:
    """One module and what is known of it; with `program`, as a part of one, of which it is the `main` module or not.

    In one that another program started, as in an imported one, names that nobody uses say nothing. Raises `ValueError`
    if it cannot be parsed.
    """

    def __init__(
        self,
        raw: bytes,
        path_map: PathMap,
        file: Path | None = None,
        *,
        program: bool = False,
        main: bool = True,
        started: bool = False,
    ) -> None:
        module = _read_tree(raw)
        self.body = module.body
        self._lines = _LINE.split(decoded(raw).removeprefix("\ufeff"))
        self._elsewhere = any(_works_elsewhere(node) for node in module.body)
        self._path_map = dataclasses.replace(path_map, anywhere=False) if self._elsewhere else path_map
        self.folding = Folding(module, path_map.home, file)
        self.usages = UsageAnalysis(self.folding, self._path_map, program=program, main=main)
        self.needs = NeedAnalysis(self.usages, main=main and not started)

    def references(self) -> list[PathReference]:
        """Return every path of a machine in the module."""
        folding, analysis, path_map, lines = self.folding, self.usages, self._path_map, self._lines
        found: dict[ast.AST, PathReference | None] = {}  # by the expression or f-string that holds the path
        for node in analysis.nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and _names_path(node, path_map):
                whole, folded = folding.widest(node)
                if whole not in found:
                    found[whole] = _of_expression(whole, folded, analysis, lines)
                parent = analysis.parents.get(whole)
                if isinstance(parent, ast.JoinedStr) and found.get(parent) is None:
                    found[parent] = _of_f_string(parent, whole, folded, analysis, lines)
            elif names_a_user(node) and isinstance(node, ast.JoinedStr) and found.get(node) is None:
                folded_user = folding.fold(node)
                if folded_user is not None:
                    usage = analysis.usage_of(node)
                    found[node] = _reference(node, lines, folded_user.text, usage.kind, "computed", folded_user)
            elif isinstance(node, _COMPUTING):
                _add_computed(node, folding, analysis, lines, found)
        references = _with_needs(found, analysis, self.needs, path_map)
        if self._elsewhere:  # /root is the home of a container
            references = [
                dataclasses.replace(r, usage="data") if r.text.startswith("/root/") else r for r in references
            ]
        return sorted([*references, *_comments(lines, path_map)], key=lambda o: (o.line, o.column))


def python_references(raw: bytes, path_map: PathMap, file: Path | None = None) -> list[PathReference]:
    """Return every path of a machine in a Python file. Raises `ValueError` if it cannot be parsed."""
    return PythonModule(raw, path_map, file).references()


def _with_needs(
    found: Mapping[ast.AST, PathReference | None], analysis: UsageAnalysis, needs: NeedAnalysis, path_map: PathMap
) -> list[PathReference]:
    """Return the references with what the program needs of them; asked only for what is not there."""
    written = {r.text for r in found.values() if r is not None and r.form != "computed"}
    references = []
    for node, reference in sorted(_present(found), key=lambda pair: (pair[1].line, pair[1].column)):
        if reference.form == "computed" and reference.text in written:
            continue  # a name of what is written elsewhere
        written.add(reference.text)
        placed = path_map.classify(reference.text)
        reference = dataclasses.replace(reference, condition=analysis.usage_of(node).condition)  # noqa: PLW2901
        if reference.need == "unknown" and reference.used and not placed.exists:
            need, condition = needs.need_of(node, by_name=not path_map.may_be_route(reference.text))
            condition = reference.condition or condition
            reference = dataclasses.replace(reference, need=need, condition=condition)  # noqa: PLW2901
        elif reference.usage == "detection" and placed.origin == "gone":
            test = needs.demanding_test(node)
            if test is not None and analysis.usage_of(test).kind == "use":  # no branch that only some machines take
                reference = dataclasses.replace(reference, usage="use", need="needed")  # noqa: PLW2901
            elif test is None and placed.local_root is None:
                reference = dataclasses.replace(reference, need=needs.need_of(node, by_name=False)[0])  # noqa: PLW2901
        references.append(reference)
    return references


def _works_elsewhere(statement: ast.stmt) -> bool:
    """Whether a statement imports what runs a module's functions or commands in containers or on other machines."""
    names = [a.name for a in statement.names] if isinstance(statement, ast.Import) else []
    names += [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
    return any(n.partition(".")[0] in _ELSEWHERE for n in names)


def _present(found: Mapping[ast.AST, PathReference | None]) -> Iterator[tuple[ast.AST, PathReference]]:
    yield from ((node, reference) for node, reference in found.items() if reference is not None)


def _add_computed(
    node: ast.expr,
    folding: Folding,
    analysis: UsageAnalysis,
    lines: list[str],
    found: dict[ast.AST, PathReference | None],
) -> None:
    """Add the path that comes from the user's home, the file's own place, or a name.

    One that comes from a place or a name counts only where it is missing: what it starts from is a path of its own.
    """
    text = node.value if isinstance(node, ast.Constant) else None
    if isinstance(text, str):
        if _HOMELY.fullmatch(text) is None or folding.is_part(node):
            return
        whole: ast.expr = node
        folded = Folded(text=f"{analysis.path_map.home}{text[1:]}", value_type="str", computed="home")
    else:
        start = folding.fold(node)
        if start is None or not start.computed:
            return
        whole, folded = folding.widest(node, computed=True)
    if found.get(whole) is not None or isinstance(whole, ast.Name) or "\n" in folded.text:
        return
    classified = analysis.path_map.classify(folded.text)
    if folded.text == str(analysis.path_map.home):
        return
    if classified.origin not in ("here", "gone"):
        return
    if folded.computed == "home" or classified.origin == "gone":
        found[whole] = _reference(whole, lines, folded.text, analysis.usage_of(whole).kind, "computed", folded)


def _names_path(node: ast.Constant, path_map: PathMap) -> bool:
    text = node.value.decode("utf-8", "replace") if isinstance(node.value, bytes) else str(node.value)
    return text in _PATH_PARTS or path_map.first(text) is not None


def _of_expression(whole: ast.expr, folded: Folded, analysis: UsageAnalysis, lines: list[str]) -> PathReference | None:
    """Return the path of a constant expression; None where it holds none, or is a part of an f-string."""
    match = analysis.path_map.first(folded.text)
    parent = analysis.parents.get(whole)
    if match is None or isinstance(parent, ast.JoinedStr):
        return None
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add) and whole is parent.right and not match.start():
        return None  # what precedes it is only known at run time
    usage = analysis.usage_of(whole)
    if usage.shell and runs_elsewhere(folded.text[: match.start()]):
        usage = dataclasses.replace(usage, kind="data")
    spaced = analysis.path_map.is_path_with_blanks(folded.text, command=usage.shell)
    form, kind, path = _form(whole, parent, folded, match, usage, spaced=spaced)
    found = _reference(whole, lines, path, kind, form, folded)
    before = folded.text[: match.start()]
    made = (usage.shell or before.startswith("mkdir ")) and makes_what_follows(before)
    if usage.shell and re.search(r"\|\|(?!\s*exit)", folded.text[match.end() :]):
        return dataclasses.replace(found, need="optional")
    return dataclasses.replace(found, need="created") if made else found


def _of_f_string(
    node: ast.JoinedStr, part: ast.expr, folded: Folded, analysis: UsageAnalysis, lines: list[str]
) -> PathReference | None:
    """Return the path of an f-string: its constant start is a path, or a part of it is text that mentions one."""
    match = analysis.path_map.first(folded.text)
    if match is None or (match.start() == 0 and node.values[0] is not part):
        return None  # what precedes it is only known at run time
    usage = analysis.usage_of(node)
    starts = match.start() == 0 and node.values[0].__class__ is ast.Constant
    kind: UsageKind = usage.kind
    if not starts and not usage.shell and re.search(r"\s", folded.text):
        kind = "documentation" if kind in ("use", "fallback") else kind
    spaced = starts and analysis.path_map.is_path_with_blanks(folded.text, command=usage.shell)
    whole = folded.text if spaced else match[0]
    path = whole.rpartition("/")[0] if match.start() + len(whole) == len(folded.text) and "/" in whole else whole
    return _reference(node, lines, path or match[0], kind, "f-string", folded)


def _form(
    node: ast.expr, parent: ast.AST | None, folded: Folded, match: re.Match[str], usage: Usage, *, spaced: bool
) -> tuple[ReferenceForm, UsageKind, str]:
    """Return how a path is written, what it is for, and the path itself."""
    text = folded.text
    words = re.search(r"\s", text) is not None and not spaced
    whole = match.start() == 0 and "\n" not in text and (match.end() == len(text) or not words)
    if not whole:
        if words and not usage.shell and usage.kind in ("use", "fallback"):
            return "words", "documentation", match[0]
        return "embedded", usage.kind, match[0]
    if folded.value_type == "bytes":
        return "bytes", usage.kind, text
    formatted = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mod) and parent.left is node
    if formatted or (isinstance(parent, ast.Attribute) and parent.attr == "format"):
        return "format", usage.kind, _PLACEHOLDER.split(text)[0].rpartition("/")[0] or text
    if usage.form is not None:
        return usage.form, usage.kind, text
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add) and parent.left is node:
        return "prefix", usage.kind, text
    if match.end() != len(text) and not spaced:  # a list of paths with colons, or a path with brackets of its own
        return "embedded", usage.kind, match[0]
    return ("literal" if isinstance(node, ast.Constant) else "joined"), usage.kind, text


def _reference(
    node: ast.expr, lines: list[str], text: str, usage: UsageKind, form: ReferenceForm, folded: Folded
) -> PathReference:
    last = node.end_lineno or node.lineno
    return PathReference(
        text=text,
        line=node.lineno,
        column=character_column(lines, node.lineno, node.col_offset),
        end_line=last,
        end_column=character_column(lines, last, node.end_col_offset or 0),
        usage=usage,
        form=form,
        value_type=folded.value_type,
    )


def character_column(lines: list[str], line: int, column: int) -> int:
    """Return the column in characters; the syntax tree counts bytes of UTF-8."""
    text = lines[line - 1] if line <= len(lines) else ""
    return column if text.isascii() else bisect_right(_byte_ends(text), column)


@lru_cache(maxsize=4)
def _byte_ends(text: str) -> list[int]:
    """Return where each character ends in UTF-8: a line of megabytes is asked thousands of times."""
    return list(accumulate(len(c.encode("utf-8", "replace")) for c in text))


def _comments(lines: list[str], path_map: PathMap) -> Iterator[PathReference]:
    """Comments are only counted: a line's text behind a # that no quote follows is one."""
    for number, line in enumerate(lines, 1):
        _, mark, comment = line.partition("#")
        match = path_map.pattern.search(comment) if mark and '"' not in comment and "'" not in comment else None
        if match is not None:
            yield PathReference(text=match[0], line=number, usage="documentation", form="words")
