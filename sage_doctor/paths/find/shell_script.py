"""The machine paths of a shell script: by bash's grammar where its parser is installed, else line by line.

The parser is tree-sitter with its bash grammar (the extra `paths`). Lines alone cannot tell what is quoted, what is
a condition, and where a here-document ends, so what is found that way is said to be unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sage_doctor.paths.find.line_text import start_of
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.reference import Context, PathReference

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

UNVERIFIED = "read line by line, because the shell's grammar is not installed: pip install 'sage-doctor[paths]'"

_LEAVES = frozenset(
    {"word", "string_content", "raw_string", "ansi_c_string", "heredoc_body", "heredoc_content", "comment"}
)
_SAYING = frozenset({b"echo", b"printf", b"logger", b"say", b"log", b"die", b"warn", b"info", b"error"})
_ASKING = frozenset({b"test", b"[", b"[["})
_WHO = re.compile(rb"\b(hostname|uname|whoami|HOSTNAME|SAGE_MACHINE|USER|HOME|LOGNAME)\b")


def shell_parser() -> Parser | None:
    """Return the parser of shell scripts, None where it is not installed."""
    try:
        import tree_sitter  # noqa: PLC0415 - an extra, and only for shell scripts
        import tree_sitter_bash  # noqa: PLC0415 - likewise

        return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
    except (ImportError, ValueError, TypeError):  # a grammar of another ABI is as good as none
        return None


def shell_occurrences(raw: bytes, landscape: PathMap) -> tuple[list[PathReference], str]:
    """Return the paths of a script, and why they are not certain, an empty text where they are."""
    parser = shell_parser()
    if parser is None:
        return list(_by_lines(raw, landscape)), UNVERIFIED
    root = parser.parse(raw).root_node
    problem = "parts of it are no syntax that the shell's grammar knows" if root.has_error else ""
    return list(_by_grammar(root, landscape, raw)), problem


def _by_grammar(root: Node, landscape: PathMap, raw: bytes) -> Iterator[PathReference]:
    # A path in a string or word may be cut by expansions: only its constant start is looked at.
    waiting: list[tuple[Node, Context]] = [(root, "use")]
    while waiting:
        node, context = waiting.pop()
        context = _context(node, context)
        if node.type in _LEAVES and not node.named_child_count:
            yield from _in_text(node, context, landscape, raw)
            continue
        if node.type == "command" and node.children and node.children[0].text in _SAYING:
            context = _stronger(context, "documentation")
        if node.type == "command" and node.children and node.children[0].text in _ASKING:
            context = _stronger(context, "detection")
        guarded = node.type == "if_statement" and _asks_machine(node, landscape)
        by_machine = node.type == "case_statement" and _WHO.search(node.children[1].text or b"") is not None
        for child in reversed(node.children):
            asked = (guarded and child.type != "if") or by_machine
            waiting.append((child, _stronger(context, "detection") if asked else context))


def _context(node: Node, context: Context) -> Context:
    if node.type in ("comment", "heredoc_body"):
        return "documentation"
    if node.type == "test_command":
        return _stronger(context, "detection")
    if node.type == "expansion":
        return _stronger(context, "fallback")
    return context


def _stronger(one: Context, other: Context) -> Context:
    order: list[Context] = ["use", "fallback", "data", "detection", "documentation"]
    return max(one, other, key=order.index)


def _asks_machine(node: Node, landscape: PathMap) -> bool:
    condition = node.child_by_field_name("condition")
    text = (condition.text or b"") if condition is not None else b""
    if _WHO.search(text):
        return True
    asked = text.lstrip().startswith((b"[", b"test ", b"!"))
    return asked and landscape.pattern.search(text.decode("utf-8", "replace")) is not None


def _in_text(node: Node, context: Context, landscape: PathMap, raw: bytes) -> Iterator[PathReference]:
    text = (node.text or b"").decode("utf-8", "replace")
    spaced = _spaced(node, text, landscape)
    for match in landscape.pattern.finditer(text):
        before = text[: match.start()]
        line = node.start_point[0] + 1 + before.count("\n")
        column = len(before.rpartition("\n")[2])
        if "\n" not in before:  # the grammar counts bytes
            column += len(raw[node.start_byte - node.start_point[1] : node.start_byte].decode("utf-8", "replace"))
        path = spaced or match[0]
        yield PathReference(text=path, line=line, column=column, end_line=line, context=context, form="words")
        if spaced:
            return


def _spaced(node: Node, text: str, landscape: PathMap) -> str:
    """Return the path with blanks that a whole word or quoted text is, an empty text where it is none."""
    if node.type == "raw_string":
        text = text[1:-1]
    elif node.type == "word":
        text = re.sub(r"\\(.)", r"\1", text)
    elif node.type != "string_content" or node.parent is None or node.parent.named_child_count != 1:
        return ""
    above: Node | None = node
    while above is not None and above.type not in ("variable_assignment", "command"):
        above = above.parent
    command = node.type != "word" and (above is None or above.type == "command")
    return text if landscape.is_spaced(text, command=command) else ""


def _by_lines(raw: bytes, landscape: PathMap) -> Iterator[PathReference]:
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
        words = line.strip()
        context: Context = "use"
        if words.startswith(("#", "echo ", "printf ")):
            context = "documentation"
        elif re.match(r"(if|elif|while|test|case|\[)\b|\[|.*\)\s*$", words) or re.search(r"\[\s|\btest\s", words):
            context = "detection"
        for match in landscape.pattern.finditer(line):
            yield PathReference(text=start_of(match[0]), line=number, column=match.start(), context=context)
