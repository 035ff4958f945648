"""The commands and their options. Without a command, `check` runs.

argparse, because it imports in a tenth of the time of click or typer: a gate with a recorded result takes a quarter of
a second. Every option is mirrored by SAGE_DOCTOR_<OPTION>; the command line wins.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import NoReturn

from sage_doctor import __version__
from sage_doctor.cli.help_page import HelpPage, description, epilog, examples, summary
from sage_doctor.errors import UnknownTarget, UsageError
from sage_doctor.text import printable

# Each is a module of this package (a blank is `_` there, and `list` would hide Python's own) and is imported only if it
# is the one to run.
COMMANDS = (
    "check",
    "gate",
    "fix",
    "sync",
    "fleet check",
    "fleet install",
    "init",
    "setup",
    "lock",
    "merge",
    "install",
    "paths",
    "explain",
    "list",
    "report",
    "where",
    "env",
    "history",
    "history accept",
    "history calibrate",
    "demo",
    "completion",
)
# Those that only look. What changes the disk is not left behind halfway; `check` and `gate` keep their own time.
BOUNDED = frozenset({"list", "where", "env", "paths"})
# The old spellings, which work in 0.2 only.
RENAMED = {"accept": "history accept", "calibrate": "history calibrate"}
PREFIX = "SAGE_DOCTOR_"
EPILOG = "Without a command, `check` runs. Every option has a variable: SAGE_DOCTOR_LEVEL=static stands for -l static."
EXAMPLES = (
    ("", "check what this machine's roles need"),
    ("check ./model", "check a directory; no manifest is needed"),
    ("init", "write a manifest"),
    ("fix --dry-run", "what can be repaired here"),
    ("help fix", "the options and examples of a command"),
)


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors as `UsageError` and takes its defaults from the environment."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with the nearest value that there is, and where the options are listed."""
        chosen = re.fullmatch(r"(.*invalid choice: '(.*)' )\(choose from (.*)\)", message)
        near = _nearest(chosen[2], chosen[3].replace("'", "").split(", ")) if chosen else None
        told = f"{chosen[1]}(did you mean {near}?)" if chosen and near else message
        raise UsageError(f"{printable(told, limit=500)}\n`{self.prog} --help` lists the options")

    def unrecognized(self, words: list[str]) -> NoReturn:
        """Raise `UsageError` for words that are no options, with the option most like the first."""
        options = [o for action in self._actions for o in action.option_strings if len(o) > 2]
        first = next((w.partition("=")[0] for w in words if w.startswith("-")), "")
        near = _nearest(first.lstrip("-"), (o.lstrip("-") for o in options))  # the dashes make every two of them alike
        near = next((o for o in options if o.lstrip("-") == near), None)
        self.error(f"unrecognized arguments: {' '.join(words)}" + (f"; did you mean {near}?" if near else ""))

    def take_defaults(self, environ: Mapping[str, str]) -> None:
        """Let SAGE_DOCTOR_LEVEL stand for --level, and so on. Raises `UsageError` for an invalid value."""
        for action in self._actions:
            name = PREFIX + action.dest.upper()
            text = environ.get(name)
            if not action.option_strings or action.dest in ("help", "manifest") or not text:
                continue  # find_manifest reads the manifest's variable, after the search upwards
            if action.nargs == 0:
                action.default = _switch(name, text)
                continue
            try:
                values = [self._get_value(action, part) for part in text.split()] if _repeats(action) else None
                value = values if values is not None else self._get_value(action, text)
                if action.choices is not None:
                    self._check_value(action, value)
            except argparse.ArgumentError as error:
                raise UsageError(f"{name}={printable(text, limit=200)}: {error.message}") from error
            action.default = value


def _switch(name: str, text: str) -> bool:
    """Return the value of a variable for a switch: `0` must not mean yes."""
    said = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in said:
        raise UsageError(f"{name}={printable(text, limit=200)}: write 1 or 0")
    return said[text.lower()]


def _repeats(action: argparse.Action) -> bool:
    return isinstance(action.default, list)


def command(name: str) -> ModuleType:
    """Return the module of a command: it has `add_options` and `run`, and `EXAMPLES` for its help."""
    module = "list_models" if name == "list" else name.replace(" ", "_")
    return importlib.import_module(f"sage_doctor.cli.{module}")


def build_parser(environ: Mapping[str, str], only: str | None = None) -> Parser:
    """Return the parser of the whole command line, or of one command `only`, which is faster."""
    return _build(environ, only)[0]


def _build(environ: Mapping[str, str], only: str | None) -> tuple[Parser, dict[str, Parser]]:
    parsers: dict[str, Parser] = {}
    parser = Parser(
        prog="sage-doctor",
        description="Check whether this machine can run its local models now; if not, say why and repair it.",
        epilog=f"{EPILOG}\n\n{examples(EXAMPLES)}",
        formatter_class=HelpPage,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sage-doctor {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name in COMMANDS if only is None else (only,):
        module = command(name)
        parsed = commands.add_parser(
            name,
            help=summary(module).replace("%", "%%"),
            description=description(module).replace("%", "%%"),
            epilog=epilog(module).replace("%", "%%"),
            formatter_class=HelpPage,
            allow_abbrev=False,
        )
        module.add_options(parsed)
        parsed.take_defaults(environ)
        parsers[name] = parsed
    return parser, parsers


def run(arguments: list[str], environ: Mapping[str, str] | None = None) -> int:
    """Run one command and return its exit code. Raises `DoctorError` and `KeyboardInterrupt`."""
    arguments = _with_whole_command(_without_help(arguments))
    first = arguments[0] if arguments else None
    named = first in COMMANDS or first in ("-h", "--help", "--version")
    words, started = _split(arguments) if first == "gate" else (arguments, None)
    parser, commands = _build(os.environ if environ is None else environ, only=first if first in COMMANDS else None)
    try:
        options, rest = parser.parse_known_args(words if named else ["check", *words])
    except SystemExit as leave:  # --help and --version
        return int(leave.code or 0)
    if rest and (any(text.startswith("-") for text in rest) or not hasattr(options, "targets")):
        commands.get(options.command, parser).unrecognized(rest)
    if rest:
        options.targets += rest  # argparse ends a list of words at the first option
    options.started = started
    try:
        chosen = command(options.command)
        if options.command not in BOUNDED:
            return int(chosen.run(options))
        from sage_doctor.cli.bounded_command import run_in_time  # noqa: PLC0415 - few commands need it

        return run_in_time(lambda: int(chosen.run(options)))
    except UnknownTarget as error:
        near = _nearest(first or "", COMMANDS) if not named else None
        if near is None:
            raise
        raise UnknownTarget(f"{error}; did you mean the command `{near}`?") from error


def _nearest(word: str, known: Iterable[str]) -> str | None:
    from sage_doctor.manifest.names import nearest  # noqa: PLC0415 - only after a mistake

    return nearest(word, known)


def _without_help(arguments: list[str]) -> list[str]:
    """Return `CMD --help` for `help CMD`, as people type it."""
    return [*arguments[1:], "--help"] if arguments[:1] == ["help"] else arguments


def _with_whole_command(arguments: list[str]) -> list[str]:
    """Return the arguments with a command of two words as one, and an old name replaced."""
    if " ".join(arguments[:2]) in COMMANDS:
        return [" ".join(arguments[:2]), *arguments[2:]]
    new = RENAMED.get(arguments[0]) if arguments else None
    if new is None:
        return arguments
    sys.stderr.write(f"sage-doctor: `{arguments[0]}` is now `{new}`; the old name works in 0.2 only\n")
    return [new, *arguments[1:]]


def _split(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """Return the arguments before `--`, and the command after it."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]
