"""Command lines that a shell script hands on as one text: `bash -c "…"`, also behind `srun`, `nohup`, `timeout`.

They are made part of the script, byte for byte in their places, so that all that is known of the script holds for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sage_doctor.paths.find.shell_elsewhere import foreign_words, names_for_elsewhere
from sage_doctor.paths.find.shell_values import nodes_below, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh", "ash"})
COMMAND_OPTION = re.compile(r"-[a-zA-Z]*c")
_QUOTE = re.compile(rb'\\"')


def opened(root: Node, raw: bytes) -> bytes:
    """Return a script with the texts that its shells get as subshells: `:&& ( … )`."""
    nodes = nodes_below(root)
    elsewhere = names_for_elsewhere(nodes)
    made = bytearray(raw)
    for command in (n for n in nodes if n.type == "command"):
        words = command.children
        texts = [text_of(w) for w in words]
        if texts[0] == "eval" and len(words) == 2 and _is_constant(words[1]):
            text = words[1]
            made[command.start_byte : text.start_byte + 1] = b" " * (text.start_byte + 1 - command.start_byte)
            made[text.end_byte - 1 : text.end_byte] = b" "
            continue
        shell = next((i for i, t in enumerate(texts) if t.rpartition("/")[2] in SHELLS), None)
        if shell is None or len(words) != shell + 3 or COMMAND_OPTION.fullmatch(texts[shell + 1]) is None:
            continue
        text = words[-1]
        if text.type not in ("string", "raw_string") or text.id in foreign_words(command, elsewhere):
            continue
        start, first, last = words[shell].start_byte, text.start_byte, text.end_byte - 1
        made[start : first + 1] = b":&&".ljust(first - start) + b"("
        if text.type == "string":
            made[first + 1 : last] = _unescaped(bytes(made[first + 1 : last]))
        made[last : last + 1] = b")"
    return bytes(made)


def _is_constant(word: Node) -> bool:
    """Whether a quoted word is one text, without variables and commands."""
    inner = [c.type for c in word.children if c.type != '"']
    return word.type == "raw_string" or (
        word.type == "string" and inner == ["string_content"] and b"\\" not in (word.text or b"")
    )


def _unescaped(text: bytes) -> bytes:
    """Return a quoted text with its inner quotation marks as they are meant, each with a blank on its outer side."""
    marks = iter(range(text.count(b'\\"')))
    return _QUOTE.sub(lambda _: b' "' if next(marks) % 2 == 0 else b'" ', text)
