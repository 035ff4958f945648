"""Help pages, completion scripts and the manual page: all of them are made of the parser."""

from __future__ import annotations

import argparse
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sage_doctor.cli.app import COMMANDS, build_parser, command
from sage_doctor.cli.completion import SHELLS, script_file

from .conftest import ROOT, Doctor


def parsers() -> dict[str, argparse.ArgumentParser]:
    subs = next(a for a in build_parser({})._actions if isinstance(a, argparse._SubParsersAction))
    return dict(subs.choices)


def test_a_short_option_means_one_thing_everywhere() -> None:
    meanings: dict[str, set[str]] = {}
    for parser in parsers().values():
        for action in parser._actions:
            if action.help is argparse.SUPPRESS:
                continue  # an old name
            for short in (o for o in action.option_strings if not o.startswith("--")):
                meanings.setdefault(short, set()).add(action.option_strings[-1])
    assert {short: names for short, names in meanings.items() if len(names) > 1} == {}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_that_are_commands(name: str) -> None:
    parser = parsers()[name]
    page = parser.format_help()
    assert "examples:\n  sage-doctor " in page
    assert all(action.help for action in parser._actions)
    for words, what in command(name).EXAMPLES:
        assert what
        assert max(len(words), len(what)) < 74
        own = words.split(" > ")[0].split(" >> ")[0].split(" | ")[0].split(" < ")[0].split(" -- ")[0]
        assert f"{own} ".startswith(f"{name} ")
        rest = own.removeprefix(name).replace('"CUDA out of memory"', "CUDA").split()
        if name == "install":
            continue  # its schedules are looked at later
        parser.parse_args(rest)


def test_old_spellings_work_and_say_so(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "sage-doctor.toml").write_text("schema = 1\n")
    done = doctor("history", "-n", "5")
    assert done.code == 0
    assert "`-n` is now `--limit`" in done.err


def test_the_scripts_are_those_of_the_parser() -> None:
    pytest.importorskip("shtab")
    from tools.completions import completion

    for shell in SHELLS:
        made = completion(shell)
        if os.environ.get("UPDATE_GOLDEN"):
            script_file(shell).write_text(made)
        assert made == script_file(shell).read_text(), "run `make completions`"


def test_the_manual_page_has_every_command() -> None:
    pytest.importorskip("argparse_manpage")
    from tools.completions import manual_page

    page = manual_page()
    assert "sage\\-doctor \\- check whether this machine can run its local models now" in page
    assert all(f"'sage\\-doctor {name}'" in page for name in COMMANDS)
    assert not [line for line in page.splitlines() if line.startswith("./")]


QUESTIONS = {
    "check sm": "smollm2",
    "check --lev": "--level",
    "check --level st": "static",
    "gate nig": "nightly",
    "history cal": "calibrate",
    "explain adapter-base-uns": "adapter-base-unset",
    "init zo": "zoo",
}


@pytest.fixture
def tree(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """A manifest, a directory, and `sage-doctor` on the path. Returns the environment of a shell there."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[roles.nightly]\nmodels = ["smollm2"]\n[models.smollm2]\nkind = "full"\npath = "zoo"\n'
    )
    program = tmp_path / "bin" / "sage-doctor"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m sage_doctor "$@"\n')
    program.chmod(0o755)
    return {**environment, "PATH": f"{program.parent}:{os.environ['PATH']}", "TERM": "dumb"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes(tmp_path: Path, tree: dict[str, str]) -> None:
    script = f"""source {script_file("bash")}
    function=$(complete -p sage-doctor | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
    ask() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); "$function"; echo "${{COMPREPLY[*]}}"; }}
    """
    script += "\n".join(f"ask sage-doctor {question}" for question in QUESTIONS)
    done = subprocess.run(["bash", "--norc", "-c", script], cwd=tmp_path, env=tree, capture_output=True, check=True)
    assert done.stdout.decode().split() == list(QUESTIONS.values()), done.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes(tmp_path: Path, tree: dict[str, str]) -> None:
    script = f"source {script_file('fish')}\n"
    script += "\n".join(f"complete -C 'sage-doctor {question}' | cut -f1" for question in QUESTIONS)
    done = subprocess.run(["fish", "-N", "-c", script], cwd=tmp_path, env=tree, capture_output=True, check=True)
    assert [word.rstrip("/") for word in done.stdout.decode().split()] == list(QUESTIONS.values()), done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_completes(tmp_path: Path, tree: dict[str, str]) -> None:
    functions = tmp_path / "functions"
    functions.mkdir()
    shutil.copy(script_file("zsh"), functions / "_sage-doctor")  # as an installation puts it
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(tmp_path)
        os.execvpe("zsh", ["zsh", "-f", "-i"], tree)
    try:
        ready = f"fpath=({functions} $fpath); autoload -U compinit; compinit -u -D; PS1='ready> '\n"
        os.write(terminal, ready.encode())
        read_until(terminal, "\rready> ", "\nready> ")
        for question, answer in QUESTIONS.items():
            os.write(terminal, f"sage-doctor {question}\t".encode())
            read_until(terminal, f"{question.rpartition(' ')[0]} {answer}")
            os.write(terminal, b"\x15")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def read_until(terminal: int, *wanted: str) -> None:
    """Read what the shell draws until one of the texts is there."""
    drawn, until = "", time.monotonic() + 60
    while not any(text in drawn for text in wanted):
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert ready, drawn
        drawn += os.read(terminal, 1 << 16).decode(errors="replace")
