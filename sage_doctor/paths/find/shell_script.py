"""The references of a shell script: by bash's grammar if its parser is installed, otherwise line by line.

The parser is tree-sitter with its bash grammar (the extra `paths`). Lines alone cannot tell what is quoted, what is
a condition, and where a here-document ends, so what is found that way is unverified.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sage_doctor.paths.find.batch_job import directive_references
from sage_doctor.paths.find.branches import nested
from sage_doctor.paths.find.command_text import opened
from sage_doctor.paths.find.here_document import argument_references, document_references
from sage_doctor.paths.find.line_text import start_of
from sage_doctor.paths.find.path_map import PathMap
from sage_doctor.paths.find.python_script import character_column
from sage_doctor.paths.find.reference import PathReference, UsageKind
from sage_doctor.paths.find.shell_elsewhere import binds, is_second_half
from sage_doctor.paths.find.shell_needs import ShellNeeds
from sage_doctor.paths.find.shell_values import WORDS, ScriptLine, is_home_in_test

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

UNVERIFIED = "read line by line, because the shell's grammar is not installed: pip install 'sage-doctor[paths]'"

_LEAVES = frozenset(
    {"word", "string_content", "raw_string", "ansi_c_string", "heredoc_body", "heredoc_content", "comment"}
)
_FEWEST_WORDS = 8
_PAIR_MARK = 16  # characters in which what marks the second half of a pair is found
_PROSE = re.compile(r"\b(?:the|and|to|in|is|with|for|from|of|you|your|then|that|was)\s")
_PRINTING_COMMANDS = frozenset({b"echo", b"printf", b"logger", b"say", b"log", b"die", b"warn", b"info", b"error"})
_VALUES = frozenset({"simple_expansion", "expansion", "command_substitution", "string"})
_TEST_COMMANDS = frozenset({b"test", b"[", b"[["})
_LAST_BACKSLASH = re.compile(rb"\\(?=\n\s*\Z|\Z)")


def shell_parser() -> Parser | None:
    """Return the parser of shell scripts, None where it is not installed."""
    try:
        import tree_sitter  # noqa: PLC0415 - an extra, and only for shell scripts
        import tree_sitter_bash  # noqa: PLC0415 - likewise

        return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
    except (ImportError, ValueError, TypeError):  # a grammar of another ABI cannot be used
        return None


def parse_shell(parser: Parser, raw: bytes) -> Node:
    """Return the syntax tree of a script. What the grammar stumbles over and a shell does not becomes blanks."""
    lines = _LAST_BACKSLASH.sub(b" ", raw).split(b"\n")
    for number, line in enumerate(lines):
        before, mark, after = line.partition(b"<<")  # a here-document, whose line the grammar ends at `2>&1`
        if mark and b"2>&1" in after:
            lines[number] = before + mark + after.replace(b"2>&1", b"    ")
    return parser.parse(b"\n".join(lines)).root_node


def parse_opened(parser: Parser, raw: bytes) -> tuple[Node, bytes]:
    """Return the syntax tree of a script in which the texts that its shells get are opened, and that script."""
    root = parse_shell(parser, raw)
    whole = opened(root, raw)
    if whole != raw and (again := parse_shell(parser, whole)).has_error <= root.has_error:
        return again, whole
    return root, raw


def shell_references(
    raw: bytes, path_map: PathMap, lines: Sequence[ScriptLine] | None = None, *, program: bool = False
) -> tuple[list[PathReference], str]:
    """Return the references of a script, and why they are uncertain (empty if they are certain).

    `lines` say where each line is from; a `program` is one with all that it reaches.
    """
    parser = shell_parser()
    if parser is None:
        return list(_by_lines(raw, path_map)), UNVERIFIED
    root, raw = parse_opened(parser, raw)
    problem = "parts of it are not valid shell syntax" if root.has_error else ""
    return list(_by_grammar(root, path_map, raw, ShellNeeds(root, path_map, lines, program=program))), problem


def _by_grammar(root: Node, path_map: PathMap, raw: bytes, needs: ShellNeeds) -> Iterator[PathReference]:
    lines = raw.decode("utf-8", "replace").split("\n")
    first = next((c.start_byte for c in root.children if c.type != "comment"), len(raw))
    waiting: list[_Place] = [_Place(root, "use", None, in_command=True)]
    while waiting:
        place = waiting.pop()
        node, usage = place.node, _node_usage(place.node, place.usage)
        computed = (
            _computed(place, usage, needs, path_map, lines) if node.type in WORDS or is_home_in_test(node) else None
        )
        if computed is not None:
            yield _judged(computed, place, needs, path_map)
        held = _held(place, needs, path_map)
        if held is not None:
            yield from held
            continue
        if node.type == "comment" and node.start_byte < first:
            directive = directive_references(
                (node.text or b"").decode("utf-8", "replace"), node.start_point[0] + 1, path_map
            )
            if directive is not None:
                yield from directive
                continue
        if node.type in _LEAVES and not node.named_child_count:
            yield from (_judged(r, place, needs, path_map) for r in _in_text(place, usage, path_map, lines))
            continue
        children = node.children
        if node.type == "command" and children and children[0].text in _PRINTING_COMMANDS:
            usage = _stronger(usage, "documentation")
        tests = node.type == "command" and bool(children) and children[0].text in _TEST_COMMANDS
        if tests:
            usage = _stronger(usage, "detection")
        in_test = place.in_test or tests or node.type == "test_command"
        command = node.type == "command"
        in_command = command or (place.in_command and node.type != "variable_assignment")
        foreign = needs.foreign_words(node) if command else ()
        pairs = binds(node) if command else place.pairs
        before = [None, *children]
        for child, left in zip(reversed(children), reversed(before[:-1]), strict=True):
            below = _stronger(usage, "data") if child.id in foreign else usage
            behind_c = command and left is not None and left.text == b"-c"
            waiting.append(_Place(child, below, node, in_command, in_test, pairs, behind_c))


def _computed(
    place: _Place, usage: UsageKind, needs: ShellNeeds, path_map: PathMap, lines: list[str]
) -> PathReference | None:
    """Return the path of a word that starts from the user's home or from a variable of the script.

    One from a variable counts only where it is missing: what it starts from is a path of its own.
    """
    node = place.node
    if place.parent is not None and place.parent.type in WORDS:
        return None
    text = node.text or b""
    if b"$" not in text and not text.startswith(b"~/"):
        return None
    found = needs.values.value(node)
    if found is not None and place.pairs:
        found = (found[0].partition(":")[0], found[1])
    if found is None or not found[1] or found[0].rstrip("/") == str(path_map.home) or re.search(r"\s", found[0]):
        return None
    origin = path_map.classify(found[0]).origin
    alone = node.type == "string" and node.named_child_count == 1  # the variable itself, whose value is told elsewhere
    if origin not in ("here", "gone") or (found[1] != "home" and (origin == "here" or alone)):
        return None
    usage = _stronger(usage, "fallback" if found[1] == "default" else "use")
    line = node.start_point[0] + 1
    return PathReference(
        text=found[0], line=line, column=_column(node, lines), end_line=line, usage=usage, form="computed"
    )


class _Place(NamedTuple):
    """A node on the way down. What is around it says the rest; a node's own parent is slow to ask for.

    `in_test` is whether a test is around it, `pairs` whether words of its command may be pairs of a path here and one
    elsewhere, `behind_c` whether the word before it is `-c`.
    """

    node: Node
    usage: UsageKind
    parent: Node | None
    in_command: bool
    in_test: bool = False
    pairs: bool = False
    behind_c: bool = False


def _column(node: Node, lines: list[str]) -> int:
    return character_column(lines, node.start_point[0] + 1, node.start_point[1])


def _node_usage(node: Node, usage: UsageKind) -> UsageKind:
    if node.type in ("comment", "heredoc_body"):
        return "documentation"
    if node.type == "test_command":
        return _stronger(usage, "detection")
    if node.type == "expansion":
        return _stronger(usage, "fallback")
    return usage


def _held(place: _Place, needs: ShellNeeds, path_map: PathMap) -> list[PathReference] | None:
    """Return the references of a here-document that is a program; what is only tried there is not needed."""
    redirect = place.parent
    found = None
    if place.node.type == "heredoc_body" and redirect is not None:
        statement = needs.values.parents.get(redirect.id)
        found = document_references(statement, redirect, place.node, path_map) if statement is not None else None
    elif redirect is not None and place.behind_c and place.node.type in ("string", "raw_string"):
        found = argument_references(redirect, place.node, path_map)
    if found is None or redirect is None:
        return None
    branch, tried = needs.branches.of(redirect), needs.is_tried(redirect)
    above = place.usage if branch.taken else _stronger(place.usage, "detection")
    return [
        dataclasses.replace(
            r,
            usage=_stronger(above, r.usage),
            need="optional" if tried and r.need == "needed" else r.need,
            condition=nested(branch.condition, r.condition),
        )
        for r in found
    ]


def _judged(reference: PathReference, place: _Place, needs: ShellNeeds, path_map: PathMap) -> PathReference:
    """Return a reference with its branch, and what the script needs of it; that is asked only for what is not there."""
    branch = needs.branches.of(place.node)
    if not branch.taken:
        return dataclasses.replace(reference, usage=_stronger(reference.usage, "detection"))
    placed = path_map.classify(reference.text)
    need, condition, usage = reference.need, branch.condition, reference.usage
    if not placed.exists and (reference.used or placed.origin == "gone"):
        need, used_where = needs.need_of(place.node, reference.text, by_name=not path_map.may_be_route(reference.text))
        condition = condition or used_where
        if usage == "detection" and need == "needed" and place.in_test:
            usage = "use"  # a test that ends the script
    return dataclasses.replace(reference, need=need, condition=condition, usage=usage)


def _stronger(one: UsageKind, other: UsageKind) -> UsageKind:
    order: list[UsageKind] = ["use", "fallback", "data", "detection", "documentation"]
    return max(one, other, key=order.index)


def _in_text(place: _Place, usage: UsageKind, path_map: PathMap, lines: list[str]) -> Iterator[PathReference]:
    node = place.node
    text = (node.text or b"").decode("utf-8", "replace")
    if node.type != "comment" and len(text.split()) >= _FEWEST_WORDS and len(_PROSE.findall(text)) > 1:
        usage = _stronger(usage, "documentation")  # a prompt, or a message
    spaced = _spaced(place, text, path_map)
    line, first, column, at = node.start_point[0] + 1, True, 0, 0
    follows = _follows_value(place)  # its start is only known at run time
    for match in path_map.wide_pattern.finditer(text):
        if follows and match.start() == 0:
            continue
        between = text[at : match.start()]
        if first:
            column = _column(node, lines)
        if "\n" in between:
            line, column = line + between.count("\n"), -between.rindex("\n") - 1
        first, at, column = False, match.start(), column + len(between)
        path = spaced or match[0]
        apart = place.pairs and is_second_half(text[max(0, match.start() - _PAIR_MARK) : match.start()])
        kind = _stronger(usage, "data") if apart else usage
        yield PathReference(text=path, line=line, column=column, end_line=line, usage=kind, form="words")
        if spaced:
            return


def _follows_value(place: _Place) -> bool:
    """Return whether a text goes on from a variable or a command's output: `"$ROOT/models"`, `"$ROOT"/models`."""
    node, before = place.node, place.node.prev_sibling
    if before is not None and before.type == '"' and place.parent is not None:
        node, before = place.parent, place.parent.prev_sibling
    return before is not None and before.type in _VALUES and before.end_byte == node.start_byte


def _spaced(place: _Place, text: str, path_map: PathMap) -> str:
    """Return a whole word or quoted text that is a path with blanks; otherwise an empty text."""
    node = place.node
    if node.type == "raw_string":
        text = text[1:-1]
    elif node.type == "word":
        text = re.sub(r"\\(.)", r"\1", text)
    elif node.type != "string_content" or place.parent is None or place.parent.named_child_count != 1:
        return ""
    command = node.type != "word" and place.in_command
    return text if path_map.is_path_with_blanks(text, command=command) else ""


def _by_lines(raw: bytes, path_map: PathMap) -> Iterator[PathReference]:
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
        words = line.strip()
        usage: UsageKind = "use"
        if words.startswith(("#", "echo ", "printf ")):
            usage = "documentation"
        elif re.match(r"(if|elif|while|test|case|\[)\b|\[|.*\)\s*$", words) or re.search(r"\[\s|\btest\s", words):
            usage = "detection"
        for match in path_map.wide_pattern.finditer(line):
            yield PathReference(text=start_of(match[0]), line=number, column=match.start(), usage=usage)
