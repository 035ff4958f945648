"""Whether a command that fails ends a shell script: `set -e`, `set +e`, `pipefail`, and where another shell begins."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING

from sage_doctor.paths.find.shell_values import ShellValues, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

NEW_OPTIONS = b"set +o"  # stands for the start of another shell, which has none of the options of this one
_ERREXIT = re.compile(r"set\s.*?(?P<sign>[-+])(?:[a-zA-Z]*e|o\s+errexit)|(?P<new>set \+o$)")
_MOST_STEPS = 100
_FIRST_LINE = re.compile(rb"#!\S+\s+-\w*e")


class ShellOptions:
    """The options of one script, as they hold from one command to the next."""

    def __init__(self, values: ShellValues) -> None:
        self._values = values

    @cached_property
    def _set(self) -> list[tuple[Node, bool | None]]:
        """Where the script sets whether a failure ends it; None where another shell begins."""
        found: list[tuple[Node, bool | None]] = []
        for node in self._values.nodes:
            if node.type == "command" and (node.text or b"").startswith(b"set"):
                match = _ERREXIT.match(text_of(node))
                if match is not None:
                    found.append((node, None if match["new"] is not None else match["sign"] == "-"))
        return sorted(found, key=lambda pair: pair[0].start_byte)

    @cached_property
    def _text(self) -> bytes:
        return self._values.root.text or b""

    def ends_script(self, node: Node) -> bool | None:
        """Return whether a command's failure ends the script, by its options; None if they say nothing."""
        above = self._values.parents.get(node.id)
        while above is not None and above.type != "command_substitution":
            above = self._values.parents.get(above.id)
        if above is not None and self._values.parents[above.id].type != "variable_assignment":
            return None  # `echo "$(cat x)"` goes on
        before = bisect_left(self._set, node.start_byte, key=lambda pair: pair[0].start_byte)
        for option, value in self._set[max(0, before - _MOST_STEPS) : before][::-1]:
            if self._holds(option, node):
                return value
        return True if _FIRST_LINE.match(self._text) else None

    def _holds(self, option: Node, node: Node) -> bool:
        above = self._values.parents.get(option.id)
        while above is not None and above.type not in ("subshell", "command_substitution"):
            above = self._values.parents.get(above.id)
        return above is None or node.start_byte < above.end_byte

    def may_fail(self, node: Node) -> bool:
        """Whether a command's failure is passed over: by the options, or by what follows in a pipe."""
        above = self._values.parents.get(node.id)
        while above is not None and above.type in ("redirected_statement", "command_substitution", "string"):
            node, above = above, self._values.parents.get(above.id)
        piped = above is not None and above.type == "pipeline" and node.id != above.children[-1].id
        return not self.ends_script(node) or (piped and b"pipefail" not in self._text)
