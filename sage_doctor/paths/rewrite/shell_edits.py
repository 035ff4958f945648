"""Plans the edits of a shell script: the root of a path becomes a variable.

All of them are suggestions: what a word means to the program that gets it is never certain.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.paths.find.batch_job import DIRECTIVE
from sage_doctor.paths.find.path_map import ClassifiedPath
from sage_doctor.paths.find.reference import PathReference
from sage_doctor.paths.find.shell_elsewhere import ELSEWHERE
from sage_doctor.paths.find.shell_script import UNVERIFIED, parse_shell, shell_parser
from sage_doctor.paths.rewrite.file_edits import (
    UNQUOTED_PATH,
    Edit,
    FileEdits,
    RewriteContext,
    Span,
    root_in,
    target_of,
)
from sage_doctor.paths.rewrite.shell_roots import ShellRoot, computed_roots, script_roots

if TYPE_CHECKING:
    from tree_sitter import Node

# Their arguments are paths of another machine or container, or texts to search for.
FOREIGN = ELSEWHERE | {"sed", "grep", "egrep", "fgrep", "rg", "awk", "gawk", "perl", "curl", "wget"}
_BOTH = frozenset({"scp", "rsync"})
_SPECIAL = re.compile(r"[$`\"\\!]")
_GOES_ON = re.compile(r"[\"']?[$`{\w\\*?\[]|[\"']{2}")


def plan_shell_edits(
    path: Path, raw: bytes, wanted: list[tuple[PathReference, ClassifiedPath]], context: RewriteContext
) -> FileEdits:
    """Return the suggestions for these paths of a script. Raises `ValueError` if it cannot be parsed."""
    parser = shell_parser()
    if parser is None:
        raise ValueError(UNVERIFIED)
    program = parse_shell(parser, raw)
    if program.has_error:
        raise ValueError("parts of it are not valid shell syntax")
    if b"\r" in raw:
        raise ValueError("a shell cannot read its line ends")
    text = raw.decode("utf-8")
    roots = script_roots(program, path, context)
    if not DIRECTIVE.search(text):  # a batch system runs a copy of the script
        roots += computed_roots(text, path, context)
    if context.home is not None and not re.search(r"\bHOME=", text):
        roots.append(ShellRoot(name="HOME", path=context.home))
    lines = text.split("\n")
    found = [_edit(o, p, program, lines, roots) for o, p in wanted]
    made: list[Edit] = []
    for edit in (e for e in found if e is not None):
        if not made or made[-1].span[2:] <= edit.span[:2]:
            made.append(edit)
    return FileEdits(
        path=path, language="shell", raw=raw, suggestions=tuple(made), unresolved_count=len(wanted) - len(made)
    )


def _edit(
    reference: PathReference, classified: ClassifiedPath, program: Node, lines: list[str], roots: list[ShellRoot]
) -> Edit | None:
    target = target_of(classified)
    if target is None or reference.line > len(lines):
        return None
    byte = sum(len(line.encode()) + 1 for line in lines[: reference.line - 1])
    byte += len(lines[reference.line - 1][: reference.column].encode())
    node = program.descendant_for_byte_range(byte, byte + 1)
    before = lines[reference.line - 1][: reference.column]
    if node is None or _is_elsewhere(node, before):
        return None
    for known in roots:
        if known.from_byte > byte or not target.is_relative_to(known.path):
            continue
        if known.name == "HOME" and not (classified.exists and classified.local_root == known.path):
            continue
        root = root_in(reference, target, known.path)
        if root is None:
            continue
        rest = lines[reference.line - 1][reference.column + len(root) :]
        if not rest.startswith("/") and _GOES_ON.match(rest):
            return None
        made = _word(node, byte, reference.text, root, known)
        if made is None:
            return None
        first, last, source = made
        span: Span = (*_position(lines, first), *_position(lines, last))
        return Edit(reference=reference, source=source, own_span=span, defines=known.defines, certain=False)
    return None


def _word(node: Node, byte: int, path: str, root: str, known: ShellRoot) -> tuple[int, int, str] | None:
    """Return the first byte that is replaced, the byte behind the last, and the replacement.

    That is a path in a leaf of the syntax tree, or a whole leaf in single quotation marks.
    """
    raw = node.text or b""
    text, at = raw.decode(), len(raw[: byte - node.start_byte].decode())
    if not text.startswith(root, at):
        return None
    blanks = re.search(r"\s", text) is not None and " " not in path
    path = path if text.startswith(path, at) else root
    if _SPECIAL.search(str(known.path)) or (blanks and UNQUOTED_PATH.fullmatch(str(known.path)) is None):
        return None  # it may be a command line, and the root is not one word in every shell
    quoting = _quoting(node)
    rest, after = path[len(root) :], text[at + len(root) :]
    bare = f"${known.name}" if after[:1] in ("", "/", " ", "'") else f"${{{known.name}}}"
    end = byte + len(path.encode())
    if quoting == "double" and node.type in ("string_content", "word"):  # a word: the default within "${A:-…}"
        return byte, end, f"{bare}{rest}"
    if quoting == "none" and node.type == "word":
        return byte, end, f'"${known.name}"{rest}'
    if quoting != "none" or node.type != "raw_string" or root in after:
        return None
    before = text[:at]
    if not _SPECIAL.search(text):
        return node.start_byte, node.end_byte, f'"{before[1:]}{bare}{after[:-1]}"'
    head = f"{before}'" if before != "'" else ""
    return node.start_byte, node.end_byte, f'{head}"${known.name}"\'{after}'


def _quoting(node: Node) -> str:
    """Return the quoting of a leaf: `double` quotation marks, `none`, or `other`, which is left alone."""
    found = "double" if node.type == "string_content" else "none"
    above = node.parent
    while above is not None:
        if above.type == "command_substitution":
            return found if (above.text or b"").startswith(b"$(") else "other"
        if above.type in ("heredoc_body", "arithmetic_expansion", "test_command", "process_substitution"):
            return "other" if above.type != "process_substitution" else found
        if above.type == "string" and found == "none":
            found = "double"
        above = above.parent
    return found


def _is_elsewhere(node: Node, before: str) -> bool:
    """Whether a word is an argument of a program that uses it on another machine or searches for it."""
    above: Node | None = node
    while above is not None and above.type != "command":
        above = above.parent
    if above is None:
        return False
    words = [(c.text or b"").decode("utf-8", "replace").rpartition("/")[2] for c in above.children]
    if any(w in FOREIGN for w in words):
        return True
    return any(w in _BOTH for w in words) and before.endswith(":")


def _position(lines: list[str], byte: int) -> tuple[int, int]:
    """Return the line, counted from 1, and the column in characters of a byte."""
    for number, line in enumerate(lines, 1):
        size = len(line.encode())
        if byte <= size:
            return number, len(line.encode()[:byte].decode())
        byte -= size + 1
    return len(lines), len(lines[-1])
