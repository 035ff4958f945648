"""The new contents of a shell script: words replaced, required lines added at its top, and nothing else changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sage_doctor.errors import DoctorError
from sage_doctor.paths.find.shell_script import UNVERIFIED, parse_shell, shell_parser
from sage_doctor.paths.rewrite.file_edits import Edit, FileEdits

if TYPE_CHECKING:
    from tree_sitter import Node

_SHAPED = frozenset(
    {
        "command", "variable_assignment", "redirected_statement", "file_redirect", "array", "for_statement",
        "if_statement", "function_definition", "case_item", "pipeline",
    }
)  # fmt: skip


def shell_rewritten(planned: FileEdits, edits: Sequence[Edit]) -> bytes:
    """Return the script with these edits applied. Raises `DoctorError` if its structure would change."""
    parser = shell_parser()
    if parser is None:
        raise DoctorError(UNVERIFIED)
    old = parse_shell(parser, planned.raw)
    lines = planned.raw.decode("utf-8").split("\n")
    for edit in sorted(edits, key=lambda e: e.span, reverse=True):
        line, column, end_line, end_column = edit.span
        tail = lines[end_line - 1][end_column:]
        lines[line - 1 : end_line] = (lines[line - 1][:column] + edit.source + tail).split("\n")
    defined = list(dict.fromkeys(line for edit in edits for line in edit.defines))
    first = next((c.start_point[0] for c in old.children if c.type != "comment"), 0)
    lines[first:first] = defined
    data = "\n".join(lines).encode("utf-8")
    new = parse_shell(parser, data)
    extra = parser.parse("\n".join(defined).encode()).root_node
    if new.has_error or _shape(new) != _shape(old) + _shape(extra):
        raise DoctorError(f"{planned.path}: more than the planned paths would change, so it is left alone")
    return data


def _shape(root: Node) -> Counter[tuple[str, int]]:
    """Return how often each kind of statement is there with how many words."""
    found: Counter[tuple[str, int]] = Counter()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.type in _SHAPED:
            found[node.type, node.child_count] += 1
        waiting += node.children
    return found
