"""Longer texts that contain a root, with an f-string field for it. Each is parsed and compared with the old one."""

from __future__ import annotations

import ast
import re

from sage_doctor.paths.rewrite.expressions import RootExpression
from sage_doctor.paths.rewrite.file_edits import UNQUOTED_PATH
from sage_doctor.paths.rewrite.shell_edits import FOREIGN
from sage_doctor.system.frozen import frozen

_LITERAL = re.compile(
    r"""(?P<prefix>[A-Za-z]{0,2})(?P<quote>\"\"\"|'''|"|')(?P<body>(?:\\.|(?!(?P=quote)).)*)(?P=quote)""", re.DOTALL
)
_GAP = re.compile(r"(?:\s|\\\n|#[^\n]*\n)*")
_FOREIGN = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted({*FOREIGN, 'scp', 'rsync'})))})\s")
Flat = list[str | tuple[str]]


@frozen
class _Literal:
    """One of several adjacent literals: `gap` is what precedes it."""

    gap: str
    prefix: str
    quote: str
    body: str

    def __str__(self) -> str:
        return f"{self.gap}{self.prefix}{self.quote}{self.body}{self.quote}"


def splice(node: ast.expr, segment: str, root: str, start: RootExpression) -> str | None:
    """Return a text with `start` where it names `root`; None if that is uncertain.

    `segment` is the source of the text, a constant or an f-string. A text with blanks may be a command line: it is left
    alone where the root here is none that every shell takes for one word.
    """
    literals = _literals(segment)
    if not literals or not root:
        return None
    if re.search(r"\s", segment) and (UNQUOTED_PATH.fullmatch(str(start.path)) is None or _FOREIGN.search(segment)):
        return None
    source = "".join(str(_with_field(p, root, start)) for p in literals)
    source = f"({source})" if any("\n" in p.gap for p in literals) else source
    made = _parsed(source)
    if made is None or _flat(made, start, root) != _flat(node, start, root) or _flat(made, None, "") == _flat(node):
        return None
    return source


def _literals(segment: str) -> list[_Literal]:
    """Return the literals of a source, an empty list where there is anything else in it."""
    found: list[_Literal] = []
    position = 0
    while position < len(segment):
        gap = _GAP.match(segment, position)
        match = _LITERAL.match(segment, gap.end() if gap is not None else position)
        if match is None or gap is None:
            return []
        found.append(_Literal(gap=gap[0], prefix=match["prefix"], quote=match["quote"], body=match["body"]))
        position = match.end()
    return found


def _named(root: str) -> re.Pattern[str]:
    """Match a root where it is one: not the beginning of a longer name."""
    return re.compile(rf"(?<![\w.~/$}}\\-]){re.escape(root)}(?=[/\s'\"`:;,)(\]\[<>|&\\]|$)")


def _with_field(literal: _Literal, root: str, start: RootExpression) -> _Literal:
    pattern = _named(root)
    if pattern.search(literal.body) is None:
        return literal
    source = start.source
    if (
        len(literal.quote) == 1 and literal.quote in source
    ):  # before Python 3.12 a field may not have the text's own quotes
        source = source.replace(literal.quote, "'" if literal.quote == '"' else '"')
    body, prefix = literal.body, literal.prefix
    if "f" not in prefix.lower():
        body = body.replace("{", "{{").replace("}", "}}")
        prefix = "f" + prefix.replace("u", "").replace("U", "")
    body = pattern.sub(lambda _match: f"{{{source}}}", body)
    return _Literal(gap=literal.gap, prefix=prefix, quote=literal.quote, body=body)


def _parsed(source: str) -> ast.expr | None:
    try:
        return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _flat(node: ast.expr, start: RootExpression | None = None, root: str = "") -> Flat | None:
    """Return a text as its constant parts and its fields; a field that is `start` counts as the text `root`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _merged([node.value])
    if not isinstance(node, ast.JoinedStr):
        return None
    wanted = _parsed(start.source) if start is not None else None
    wanted_dump = ast.dump(wanted) if wanted is not None else ""
    parts: Flat = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        elif (
            isinstance(value, ast.FormattedValue)
            and value.conversion == -1
            and value.format_spec is None
            and ast.dump(value.value) == wanted_dump
        ):
            parts.append(root)
        else:
            parts.append((ast.dump(value),))
    return _merged(parts)


def _merged(parts: Flat) -> Flat:
    found: Flat = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part:
            found.append(part)
    return found
