"""The commands and their options. `check` is what runs where no command is named.

argparse, because it is there and starts in a tenth of the time that the libraries above it take: a gate asks for a
verdict in a quarter of a second. Every option is mirrored by SAGE_DOCTOR_<OPTION>; the command line wins.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Mapping
from typing import NoReturn, Protocol, cast

from sage_doctor import __version__
from sage_doctor.errors import UsageError
from sage_doctor.text import printable


class Command(Protocol):
    """What a module of this package offers."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's options."""

    def run(self, options: argparse.Namespace) -> int:
        """Do what was asked and return the exit code."""


# Each is a module of this package, and imported when it is the one that was asked for.
COMMANDS = (
    "check",
    "gate",
    "fix",
    "init",
    "lock",
    "merge",
    "install",
    "paths",
    "explain",
    "where",
    "accept",
    "history",
    "calibrate",
    "demo",
)
PREFIX = "SAGE_DOCTOR_"


class Parser(argparse.ArgumentParser):
    """A parser whose complaints leave through the one door for errors, and whose defaults come from the environment."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with the usage line."""
        usage = " ".join(self.format_usage().split())
        raise UsageError(f"{printable(message, limit=500)}\n{usage}")

    def take_defaults(self, environ: Mapping[str, str]) -> None:
        """Let SAGE_DOCTOR_LEVEL stand for --level, and so on. Raises `UsageError` for a value that does not fit."""
        for action in self._actions:
            name = PREFIX + action.dest.upper()
            text = environ.get(name)
            if not action.option_strings or action.dest in ("help", "manifest") or not text:
                continue  # the manifest's variable comes after the search upwards: manifest.find_manifest knows
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
    """Return what a variable says for an option without a value: `0` must not mean yes."""
    said = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in said:
        raise UsageError(f"{name}={printable(text, limit=200)}: write 1 or 0")
    return said[text.lower()]


def _repeats(action: argparse.Action) -> bool:
    return isinstance(action.default, list)


def command(name: str) -> Command:
    """Return the module of a command."""
    return cast("Command", importlib.import_module(f"sage_doctor.cli.{name}"))


def build_parser(environ: Mapping[str, str], only: str | None = None) -> Parser:
    """Return the parser of the whole command line, or of the one command `only`: a gate has no time for the others."""
    parser = Parser(
        prog="sage-doctor",
        description="Say whether this machine can run its local models right now, why not, and what to do.",
        epilog="Without a command, `check` runs: `sage-doctor` alone examines what this machine's roles need.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sage-doctor {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name in COMMANDS if only is None else (only,):
        module = command(name)
        words = (module.__doc__ or "").partition(": ")[2].partition("\n")[0].rstrip(".")
        summary = words[:1].upper() + words[1:]
        words = summary.replace("%", "%%")
        parsed = commands.add_parser(name, help=words, description=words, allow_abbrev=False)
        module.add_options(parsed)
        parsed.take_defaults(environ)
    return parser


def run(arguments: list[str], environ: Mapping[str, str] | None = None) -> int:
    """Run one command and return its exit code. Raises `DoctorError` and `KeyboardInterrupt`."""
    first = arguments[0] if arguments else None
    named = first in COMMANDS or first in ("-h", "--help", "--version")
    words, started = _split(arguments) if first == "gate" else (arguments, None)
    parser = build_parser(os.environ if environ is None else environ, only=first if first in COMMANDS else None)
    try:
        options, rest = parser.parse_known_args(words if named else ["check", *words])
    except SystemExit as leave:  # --help and --version
        return int(leave.code or 0)
    if rest and (any(text.startswith("-") for text in rest) or not hasattr(options, "targets")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.targets += rest  # argparse gives up on a list of words once an option stood among them
    options.started = started
    return command(options.command).run(options)


def _split(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """Return what stands before `--`, and the command after it."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]
