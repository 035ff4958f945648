"""`sage-doctor completion`: print the completion script of a shell: commands, options, models and roles.

An installation for your user or the machine brings these files to where shells look; one in a virtual environment does
not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")
EXAMPLES = (
    ("completion bash > ~/.local/share/bash-completion/completions/sage-doctor", "bash, with bash-completion"),
    ("completion zsh > ~/.zfunc/_sage-doctor", "zsh, with fpath=(~/.zfunc $fpath) before compinit in .zshrc"),
    ("completion fish > ~/.config/fish/completions/sage-doctor.fish", "fish"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    sys.stdout.write(script_file(options.shell).read_text(encoding="utf-8"))
    return 0


def script_file(shell: str) -> Path:
    """Return the script of a shell. `make completions` writes it."""
    return Path(__file__).with_name("completions") / f"sage-doctor.{shell}"
