"""Write the completion scripts again, or the manual page: what shtab and argparse-manpage make of the parser.

    python -m tools.completions              the scripts, in sage_doctor/cli/completions
    python -m tools.completions man FILE     the manual page

Both packages are for development only. The scripts are kept, so that an installation needs neither.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, cast

from sage_doctor import __version__
from sage_doctor.cli.app import COMMANDS, EPILOG, build_parser, command
from sage_doctor.cli.completion import SHELLS, script_file

_NAMES = "sage-doctor list --names 2>/dev/null"
_CODES = "sage-doctor explain --list 2>/dev/null | sed -n 's/^  \\([a-z0-9-]*\\) .*/\\1/p'"
_FISH = {"file": "(__fish_complete_path (commandline -ct))", "directory": "(__fish_complete_directories)"}
# What an argument takes, by the command and its name; other arguments that name a place are told by their metavar.
_NAMED = {"targets", "role", "adapter", "base", "model", "name", "names"}
_PLACES = {"FILE": "file", "OTHER": "file", "DIR": "directory", "FORMAT:PATH": "file"}


def _words(name: str, command: str, place: str) -> dict[str, Any]:
    """Return what shtab takes for an argument that is completed with the words of a command, or with a path."""
    dirs, files = ("-d", "-/") if place == "directory" else ("-f", "")
    return {
        "bash": f"_sage_doctor_{name}",
        "zsh": f"_sage_doctor_{name}",
        "fish": f"({command}; {_FISH[place].strip('()')})" if place == "directory" else f"({command}) {_FISH[place]}",
        "preamble": {
            "bash": f'_sage_doctor_{name}() {{ compgen -W "$({command})" -- "$1"; compgen {dirs} -- "$1"; }}\n',
            "zsh": f'_sage_doctor_{name}() {{ local -a known; known=(${{(f)"$({command})"}}); '
            f"compadd -a known; _files {files} }}\n",
        },
    }


def completion(shell: str) -> str:
    """Return the completion script of a shell."""
    import shtab

    parser = build_parser({})
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001 - argparse offers no other way
    for name in [n for n in commands.choices if " " in n]:  # shells see two words: the second is completed below
        del commands.choices[name]
    commands._choices_actions = [a for a in commands._choices_actions if a.dest in commands.choices]  # noqa: SLF001
    for name, sub in commands.choices.items():
        for action in sub._actions:  # noqa: SLF001
            _mark(cast("Any", action), name)
    return cast("str", shtab.complete(parser, shell))


def _mark(action: Any, command: str) -> None:
    """Say what an argument is completed with."""
    if action.choices is not None or action.nargs == 0:
        return
    if command == "explain" and action.dest == "code":
        action.complete = _words("codes", _CODES, "file")
    elif command == "history" and action.dest == "name":
        action.complete = _words("history", f"echo accept; echo calibrate; {_NAMES}", "directory")
    elif action.dest in _NAMED and command not in ("init", "history accept"):
        action.complete = _words("names", _NAMES, "directory")
    elif command == "init" and action.dest == "targets":
        action.complete = {shell: _shell_place(shell, "directory") for shell in SHELLS}
    elif action.metavar in _PLACES:
        action.complete = {shell: _shell_place(shell, _PLACES[action.metavar]) for shell in SHELLS}


def _shell_place(shell: str, place: str) -> str:
    import shtab

    return str(shtab.CHOICE_FUNCTIONS[place][shell])


def manual_page() -> str:
    """Return the manual page of all commands, in roff, with the examples of each."""
    from argparse_manpage.manpage import Manpage

    parser: Any = build_parser({})
    parser._manpage = []  # noqa: SLF001 - what argparse-manpage reads
    words = {
        "project_name": "sage-doctor",
        "version": __version__,
        "manual_title": "sage-doctor manual",
        "description": parser.description.partition(";")[0].lower(),
        "format": "single-commands-section",
    }
    parser.epilog = EPILOG
    page = re.sub(r"(?m)^\.(?=/)", r"\\&.", str(Manpage(parser, _data=words)))  # a path is no request to roff
    shown = [
        (f"sage-doctor {words}", what) for name in COMMANDS for words, what in getattr(command(name), "EXAMPLES", ())
    ]
    lines = [f".TP\n\\fB{_roff(words)}\\fR\n{_roff(what)}" for words, what in shown]
    return "\n".join([page.rstrip("\n"), ".SH EXAMPLES", *lines, ""])


def _roff(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def main(arguments: list[str]) -> None:
    """Write what was asked for."""
    if arguments[:1] == ["man"]:
        Path(arguments[1]).write_text(manual_page(), encoding="utf-8")
        return
    for shell in SHELLS:
        script_file(shell).write_text(completion(shell), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
