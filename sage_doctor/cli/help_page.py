"""What `--help` shows: the description of a command, its options in groups, and examples."""

from __future__ import annotations

import argparse
import inspect
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

_EXAMPLES = "examples:"


class HelpPage(argparse.HelpFormatter):
    """argparse's own, with paragraphs, with lists of examples, and with the values of an option written once."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.split("\n\n")
        return f"\n\n{indent}".join(_examples(p, width) if p.startswith(_EXAMPLES) else _wrap(p, width) for p in parts)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        values = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {values}"


def _wrap(text: str, width: int) -> str:
    return textwrap.fill(" ".join(text.split()), width, break_on_hyphens=False, break_long_words=False)


def _examples(text: str, width: int) -> str:
    """Return commands with what they do beside them, or below where that is too wide."""
    head, *lines = text.splitlines()
    pairs = [line.partition("\t")[::2] for line in lines]
    longest = max(len(command) for command, _ in pairs)
    beside = longest + 4 + max(len(what) for _, what in pairs) <= width
    shown = [f"  {c.ljust(longest)}  {what}" if beside else f"  {c}\n      {what}" for c, what in pairs]
    return "\n".join([head, *shown])


def summary(module: object) -> str:
    """Return what a command does in one sentence: its docstring, from after the command's name, without a full stop."""
    words = " ".join((inspect.getdoc(module) or "").partition("\n\n")[0].split()).partition(": ")[2].rstrip(".")
    return words[:1].upper() + words[1:]


def description(module: object) -> str:
    """Return that sentence and what else the docstring says."""
    return "\n\n".join([f"{summary(module)}.", *(inspect.getdoc(module) or "").split("\n\n")[1:]])


def epilog(module: object) -> str:
    """Return the examples of a command and what else to look at."""
    parts = [examples(getattr(module, "EXAMPLES", ())), getattr(module, "SEE", "")]
    return "\n\n".join(part for part in parts if part)


def examples(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the words of commands and what they do, as `HelpPage` shows them."""
    return "\n".join([_EXAMPLES, *(f"sage-doctor {words}".rstrip() + f"\t{what}" for words, what in pairs)])


class Renamed(argparse.Action):
    """An option under its old name: hidden, does what the new one does, and says so. It goes with the next release."""

    def __init__(self, option_strings: list[str], dest: str, *, new: str, **words: Any) -> None:
        super().__init__(option_strings, dest, help=argparse.SUPPRESS, **words)
        self.new = new

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value, and say what the option is called now."""
        del parser
        sys.stderr.write(f"sage-doctor: `{option_string}` is now `{self.new}`; the old name works in 0.2 only\n")
        setattr(namespace, self.dest, True if self.nargs == 0 else values)
